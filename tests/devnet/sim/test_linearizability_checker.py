"""The checker of histories, on histories whose verdict is known, and against a dumb twin."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devnet.sim.linearizability import NEVER, Operation, Verb, first_problem, is_linearizable


def put(value: int, start: int, end: int = NEVER) -> Operation:
    """A write."""
    return Operation(0, Verb.PUT, 1, value, 0, start, end, 1)


def read(value: int, start: int, end: int = NEVER) -> Operation:
    """A read that saw `value`."""
    return Operation(0, Verb.READ, 1, 0, 0, start, end, value)


def swap(expected: int, value: int, done: int, start: int, end: int = NEVER) -> Operation:
    """A conditional write that was done, or refused."""
    return Operation(0, Verb.SWAP, 1, value, expected, start, end, done)


KNOWN = {
    "nothing happened": ([], True),
    "one after the other": ([put(1, 0, 1), read(1, 2, 3)], True),
    "a read of what nobody wrote": ([read(7, 0, 1)], False),
    "a read of the initial value": ([read(0, 0, 1)], True),
    "a stale read": ([put(1, 0, 1), put(2, 2, 3), read(1, 4, 5)], False),
    "a read beside a write may see either": ([put(1, 0, 9), read(0, 1, 2), read(1, 3, 4)], True),
    "but time does not run back": ([put(1, 0, 9), read(1, 1, 2), read(0, 3, 4)], False),
    "an unanswered write may have happened": ([put(1, 0), read(1, 5, 6)], True),
    "or may happen late": ([put(1, 0), read(0, 5, 6), read(1, 7, 8)], True),
    "or never": ([put(1, 0), read(0, 5, 6)], True),
    "but only once": (
        [put(1, 0), read(1, 1, 2), put(2, 3, 4), read(2, 5, 6), read(1, 7, 8)],
        False,
    ),
    "a swap that fits": ([put(1, 0, 1), swap(1, 2, 1, 2, 3), read(2, 4, 5)], True),
    "two swaps of one value": ([swap(0, 1, 1, 0, 5), swap(0, 2, 1, 0, 5)], False),
    "one of them refused": ([swap(0, 1, 1, 0, 5), swap(0, 2, 0, 0, 5)], True),
    "a refusal without a reason": ([swap(0, 1, 0, 0, 1)], False),
    "a lost write": ([put(1, 0, 1), read(0, 2, 3)], False),
    "an answer before the question": ([put(1, 5, 6), read(1, 0, 1)], False),
}


@pytest.mark.parametrize("name", KNOWN)
def test_known_histories_get_their_verdict(name: str) -> None:
    history, verdict = KNOWN[name]
    assert is_linearizable(history) == verdict


def test_registers_are_judged_apart_and_the_wrong_one_is_named() -> None:
    other = Operation(0, Verb.READ, 2, 0, 0, 4, 5, 9)
    problem = first_problem([put(1, 0, 1), read(1, 2, 3), other])
    assert problem is not None
    assert problem[0] == 2


def dumb(operations: list[Operation]) -> bool:
    """Every order of every choice of the unanswered ones."""
    for order in permutations(operations):
        for taken in range(len(order) + 1):
            if fits(order[:taken]) and not any(op.answered for op in order[taken:]):
                return True
    return False


def fits(order: tuple[Operation, ...]) -> bool:
    """Whether the order respects time and the model."""
    state = 0
    for place, operation in enumerate(order):
        if any(later.returned < operation.invoked for later in order[place + 1 :]):
            return False
        after = operation.apply(state)
        if after is None:
            return False
        state = after
    return True


@st.composite
def operations(draw: st.DrawFn) -> Operation:
    """Any operation on values 0 to 2 at times that all differ."""
    start = draw(st.integers(0, 40)) * 2
    end = draw(st.one_of(st.just(NEVER), st.integers(0, 10).map(lambda n: start + 2 * n + 1)))
    value, expected = draw(st.integers(0, 2)), draw(st.integers(0, 2))
    verb = draw(st.sampled_from(Verb))
    result = draw(st.integers(0, 1 if verb is Verb.SWAP else 2))
    return Operation(0, verb, 1, value, expected, start, end, result)


@settings(deadline=None, max_examples=400)
@given(st.lists(operations(), max_size=5))
def test_the_search_agrees_with_trying_every_order(history: list[Operation]) -> None:
    assert is_linearizable(history) == dumb(history)
