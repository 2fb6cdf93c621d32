"""Is there an order of these operations that explains what every client saw?

The search of Wing and Gong with the memory of Lowe: try the operations that could be next, apply
them to a model, go back where no order works, and never try the same set on the same state twice.
Registers are independent of each other, so each is judged alone (P-compositionality).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from typing_extensions import override

from devnet.sim.world import US_PER_MS

NEVER: Final = 1 << 62
"""The time of an answer that has not come: the operation may have happened at any time, or not."""


class Verb(Enum):
    """What an operation does."""

    PUT = "put"
    SWAP = "swap"
    READ = "read"


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of a client on one register, with what it heard of it.

    `argument` is the value written, `expected` what a swap demands. Of a read, `result` is the
    value seen; of a swap it is 1 if it wrote and 0 if it was refused. No answer: `returned` is
    NEVER, and `result` means nothing.
    """

    client: int
    verb: Verb
    register: int
    argument: int
    expected: int
    invoked: int
    returned: int
    result: int

    @property
    def answered(self) -> bool:
        """Whether its client knows what it did."""
        return self.returned < NEVER

    def apply(self, state: int) -> int | None:
        """The register after it; None if it cannot have happened here with that answer."""
        match self.verb:
            case Verb.PUT:
                return self.argument
            case Verb.READ:
                return state if not self.answered or self.result == state else None
            case Verb.SWAP:
                swaps = state == self.expected
                if self.answered and bool(self.result) != swaps:
                    return None
                return self.argument if swaps else state

    @override
    def __str__(self) -> str:
        end = f"{self.returned / US_PER_MS:.1f}" if self.answered else "never"
        said = f" -> {self.result}" if self.answered else ""
        return (
            f"[{self.invoked / US_PER_MS:.1f}, {end}] client {self.client}: {self.verb.value}"
            f" {self.expected}/{self.argument}{said}"
        )


def first_problem(history: Iterable[Operation]) -> tuple[int, list[Operation]] | None:
    """The first register whose operations fit no order, with them; None if all fit."""
    by_register: dict[int, list[Operation]] = {}
    for operation in history:
        by_register.setdefault(operation.register, []).append(operation)
    for register, operations in sorted(by_register.items()):
        if not is_linearizable(operations):
            return register, sorted(operations, key=lambda op: op.invoked)
    return None


@dataclass(slots=True)
class _Link:
    """A call or its return in the list of what is not yet placed."""

    number: int
    is_call: bool
    before: _Link | None = None
    after: _Link | None = None


def is_linearizable(operations: Sequence[Operation], initial: int = 0) -> bool:
    """Whether some order of the operations of ONE register explains them."""
    useful = [op for op in operations if op.answered or op.verb is not Verb.READ]
    head, returns = _timeline(useful)
    unanswered = {number for number, op in enumerate(useful) if not op.answered}
    left = len(useful) - len(unanswered)
    state, placed = initial, 0
    stack: list[tuple[_Link, int]] = []
    tried: set[tuple[int, int]] = set()
    link = head.after
    while left > 0:
        if link is not None and link.is_call:
            after = useful[link.number].apply(state)
            mask = placed | 1 << link.number
            if after is not None and (mask, after) not in tried:
                tried.add((mask, after))
                stack.append((link, state))
                state, placed = after, mask
                left -= link.number not in unanswered
                _lift(link, returns[link.number])
                link = head.after
            else:
                link = link.after
            continue
        # Something returned that we could not place: take back the last choice.
        if len(stack) == 0:
            return False
        link, state = stack.pop()
        placed &= ~(1 << link.number)
        left += link.number not in unanswered
        _put_back(link, returns[link.number])
        link = link.after
    return True


def _timeline(operations: Sequence[Operation]) -> tuple[_Link, list[_Link]]:
    """All calls and returns in the order of time; a call at the time of a return comes first."""
    links: list[tuple[int, int, int, _Link]] = []
    returns: list[_Link] = []
    for number, operation in enumerate(operations):
        returns.append(_Link(number, is_call=False))
        links.append((operation.invoked, 0, number, _Link(number, is_call=True)))
        links.append((operation.returned, 1, number, returns[-1]))
    head = last = _Link(-1, is_call=False)
    for _, _, _, link in sorted(links, key=lambda entry: entry[:3]):
        last.after, link.before = link, last
        last = link
    return head, returns


def _lift(call: _Link, answer: _Link) -> None:
    """Take an operation out of the list."""
    for link in (call, answer):
        if link.before is not None:
            link.before.after = link.after
        if link.after is not None:
            link.after.before = link.before


def _put_back(call: _Link, answer: _Link) -> None:
    """Undo `_lift`, in the reverse order."""
    for link in (answer, call):
        if link.before is not None:
            link.before.after = link
        if link.after is not None:
            link.after.before = link
