"""Every judge of a history accepts a good one, and says what is wrong with a bad one."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Sequence
from dataclasses import replace
from xml.etree import ElementTree

import msgspec
import pytest

from devnet.chaos.checks import Chain, chain_is_certified, chains_agree, placed_as_told
from devnet.chaos.recovery import Watch
from devnet.chaos.registers import Movement, Placed, Registers
from devnet.chaos.verdict import Verdict, as_json, as_junit, as_text
from devnet.economy import Till
from devnet.keys import DevnetKeys
from devnet.sim.linearizability import NEVER, Operation, Verb, is_linearizable
from medquorum.history import ValidatorHistory
from tests.support.chain import Chain as Maker


def put(amount: int, invoked: int, returned: int) -> Movement:
    return Movement(0, Verb.PUT, 0, amount, 0, invoked, returned, 1)


def take(amount: int, invoked: int, returned: int, *, done: bool) -> Movement:
    return Movement(0, Verb.SWAP, 0, amount, 0, invoked, returned, int(done))


def read(balance: int, invoked: int, returned: int) -> Movement:
    return Movement(0, Verb.READ, 0, 0, 0, invoked, returned, balance)


def test_a_balance_that_adds_up_is_linearizable() -> None:
    assert is_linearizable(
        [put(5, 0, 1), take(3, 2, 3, done=True), take(3, 4, 5, done=False), read(2, 6, 7)]
    )


@pytest.mark.parametrize(
    "history",
    [
        [put(5, 0, 1), read(0, 2, 3)],
        [put(5, 0, 1), read(10, 2, 3)],
        [take(1, 0, 1, done=True)],
        [put(5, 0, 1), take(5, 2, 3, done=False)],
        [put(5, 0, 9), read(5, 1, 2), read(0, 3, 4)],
    ],
    ids=["lost", "twice", "out of nothing", "refused without a reason", "there and back"],
)
def test_a_balance_that_does_not_add_up_is_not(history: Sequence[Operation]) -> None:
    assert not is_linearizable(history)


def test_an_unanswered_write_may_have_happened_or_not() -> None:
    for seen in (0, 5):
        assert is_linearizable([put(5, 0, NEVER), read(seen, 1, 2)])
    assert not is_linearizable([put(5, 0, NEVER), read(4, 1, 2)])


def test_the_search_agrees_with_trying_every_order() -> None:
    verdicts = set()
    for seed in range(400):
        rng = random.Random(seed)
        history: list[Movement] = []
        for _ in range(5):
            invoked = rng.randrange(12)
            returned = invoked + rng.randrange(1, 8)
            amount = rng.randrange(1, 3)
            kind = rng.randrange(3)
            if kind == 0:
                history.append(put(amount, invoked, returned))
            elif kind == 1:
                history.append(take(amount, invoked, returned, done=rng.random() < 0.5))
            else:
                history.append(read(rng.randrange(4), invoked, returned))
        expected = any(_explains(order) for order in itertools.permutations(history))
        assert is_linearizable(history) is expected, seed
        verdicts.add(expected)
    assert verdicts == {True, False}


def _explains(order: Sequence[Operation]) -> bool:
    state: int | None = 0
    for place, operation in enumerate(order):
        if any(later.returned < operation.invoked for later in order[place + 1 :]):
            return False
        state = operation.apply(0 if state is None else state)
        if state is None:
            return False
    return True


def test_a_final_state_that_changes_is_noticed() -> None:
    till = Till(DevnetKeys("x"), "hospital-a", "billing")
    registers = Registers(bytes(32), till, 1, 100)
    told = Placed(bytes(32), "committed", 7, "ok")
    registers.place(told)
    registers.place(told)
    assert registers.contradictions == []
    registers.place(Placed(bytes(32), "committed", 8, "ok"))
    assert len(registers.contradictions) == 1
    assert registers.height == 8


def made(heights: int, state_root: bytes = bytes(32)) -> tuple[Chain, ValidatorHistory]:
    """A chain that four validators have certified, as a node would show it."""
    maker = Maker(state_root=state_root)
    for _ in range(heights):
        maker.add(())
    return Chain("node0", tuple(b.certified for b in maker.blocks)), ValidatorHistory(maker.genesis)


def test_a_certified_chain_is_one_and_the_same_everywhere() -> None:
    chain, history = made(4)
    assert list(chain_is_certified(chain, history)) == []
    assert list(chains_agree([chain, chain, chain])) == []


def test_another_result_is_a_divergence_and_another_block_a_fork() -> None:
    chain, _ = made(3)
    other, _ = made(3, state_root=b"\1" * 32)
    said = list(chains_agree([chain, other]))
    assert said[0].startswith("divergence: 2 different results at height 1")
    assert said[1].startswith("fork: 2 different blocks at height 2")


def test_a_height_without_its_quorum_or_its_parent_is_noticed() -> None:
    chain, history = made(3)
    first, second, third = chain.blocks
    signed = second.certificate
    few = msgspec.structs.replace(signed, signers=b"\x03", signatures=signed.signatures[:2])
    bent = Chain("node0", (first, replace(second, certificate=few), third))
    (complaint,) = chain_is_certified(bent, history)
    assert "the certificate of height 2 does not hold" in complaint
    gap = Chain("node0", (first, third))
    assert any("does not follow" in said for said in chain_is_certified(gap, history))


def test_what_was_told_is_where_it_was_told() -> None:
    tx_id = bytes(32)
    committed = {tx_id: Placed(tx_id, "committed", 7, "ok")}
    expired = {tx_id: Placed(tx_id, "expired", 0, "")}
    assert list(placed_as_told(committed, {tx_id: 7})) == []
    assert list(placed_as_told(expired, {})) == []
    assert len(list(placed_as_told(committed, {}))) == 1
    assert len(list(placed_as_told(committed, {tx_id: 8}))) == 1
    assert len(list(placed_as_told(expired, {tx_id: 8}))) == 1


def judged(problems: Sequence[str]) -> Verdict:
    verdict = Verdict(name="x", seed=1)
    verdict.examine("it works", [])
    verdict.examine("it <also> works", list(problems))
    return verdict


def test_a_verdict_about_nothing_does_not_hold() -> None:
    assert not Verdict(name="x", seed=1).holds


def test_a_verdict_is_broken_by_one_problem_and_says_so_in_every_form() -> None:
    assert judged([]).holds
    assert json.loads(as_json([judged([])]))["holds"] is True
    broken = judged(['"no" & never'])
    assert not broken.holds
    assert "ok   it works" in as_text(broken)
    assert "FAIL it <also> works" in as_text(broken)
    assert json.loads(as_json([judged([]), broken]))["holds"] is False
    (suite,) = ElementTree.fromstring(as_junit([broken]))  # noqa: S314 - ours
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    failure = suite.find("testcase/failure")
    assert failure is not None
    assert failure.text == '"no" & never'


def watched(*nodes: Sequence[tuple[float, int]]) -> Watch:
    return Watch({str(number): list(node) for number, node in enumerate(nodes)})


def test_a_network_has_recovered_when_its_slowest_node_has() -> None:
    watch = watched([(1, 10), (5, 11)], [(1, 9), (4, 10), (7, 12)])
    assert watch.committed_after(3) == 7
    assert watch.committed_after(0) == 1
    assert watch.committed_after(7) is None
    assert (watch.behind(3), watch.behind(6), watch.behind(7)) == ([], ["0"], ["0", "1"])


def test_a_recovery_that_the_next_fault_interrupts_is_not_measured() -> None:
    watch = watched([(1, 1), (5, 2), (9, 3)], [(1, 1), (6, 2), (9, 3)])
    watch.ended += [(3, "heal"), (7, "start")]
    watch.began += [2.5, 8.0]
    found, interrupted = watch.recoveries(1.0)
    assert [(r.after, r.at_s, r.ms) for r in found] == [("heal", 2.0, 3_000.0)]
    assert interrupted == 1


def test_only_what_was_disturbed_can_be_mended() -> None:
    watch = watched([(1, 1)])
    assert watch.is_calm()
    watch.began.append(2)
    assert not watch.is_calm()
    watch.ended.append((3, "heal"))
    assert watch.is_calm()
