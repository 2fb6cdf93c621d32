"""Whose turn it is, against the dumbest reading of the rules, and what that does to a cluster."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.engine import HeightStarted
from consensus.messages import DecidedMessage, Message
from consensus.pbft.turns import Turns, turns_of
from medquorum.block import ValidatorSet
from medquorum.hashing import EMPTY_HASH
from tests.support.engine_adversary import Adversary
from tests.support.engine_world import CHAIN_ID, GENESIS_TIME_MS, validator_set
from tests.support.engines import TIMING, Cluster


def started_at(
    height: int, validators: ValidatorSet, proposers: list[bytes], cycles: int
) -> HeightStarted:
    """A height after blocks of these proposers, all under the same validators."""
    return HeightStarted(
        height,
        validators,
        CHAIN_ID,
        EMPTY_HASH,
        GENESIS_TIME_MS,
        0,
        recent_proposers=tuple(proposers),
        rota_cycles=cycles,
    )


class DumbRota:
    """The rules as they are written, by looking at the whole chain each time."""

    def __init__(self, n: int, cycles: int, first_height: int) -> None:
        self.n, self.rota, self.first = n, cycles * n, first_height
        self.height = first_height
        self.made: dict[int, int] = {}
        self.missed: list[int] = []
        self.spare = n // 3

    def waited(self, who: int) -> tuple[int, int]:
        """Since when: its last block, or its place if it made none since the last rota began."""
        begin = max(self.first, (self.height // self.rota - 1) * self.rota)
        blocks = [at for at, maker in self.made.items() if maker == who and at >= begin]
        return max(blocks, default=-1), (who - begin) % self.n

    def leader(self) -> int:
        """Who has waited longest of those who missed no turn in this rota."""
        present = [who for who in range(self.n) if who not in self.missed]
        return min(present, key=self.waited)

    def decide(self, proposer: int) -> None:
        """A block by `proposer` ends the height."""
        leader = self.leader()
        if proposer != leader:
            self.missed = [*self.missed, leader][-self.spare :] if self.spare > 0 else []
        self.made[self.height] = proposer
        self.height += 1
        if self.height % self.rota == 0:
            self.missed = []


@given(
    st.integers(1, 13),
    st.integers(1, 4),
    st.integers(1, 200),
    st.lists(st.integers(0, 12) | st.none(), max_size=60),
)
@settings(max_examples=300, deadline=None)
def test_turns_are_what_the_dumb_reading_of_the_headers_says(
    n: int, cycles: int, first_height: int, choices: list[int | None]
) -> None:
    """Rules W1, W2, W3, W4."""
    validators = validator_set(n)
    keys = [validator.key for validator in validators.validators]
    dumb = DumbRota(n, cycles, first_height)
    proposers: list[bytes] = []
    for choice in choices:
        turns = turns_of(started_at(dumb.height, validators, proposers, cycles))
        assert sorted(turns.order) == sorted(keys), "everybody leads once in n rounds"
        assert turns.proposer(0) == keys[dumb.leader()]
        assert [keys.index(key) for key in turns.passed_over] == dumb.missed
        assert turns.order[n - len(turns.passed_over) :] == turns.passed_over
        proposer = dumb.leader() if choice is None else choice % n
        dumb.decide(proposer)
        proposers.append(keys[proposer])


@given(st.integers(4, 10), st.integers(1, 3), st.lists(st.integers(0, 9), max_size=80), st.data())
@settings(max_examples=100, deadline=None)
def test_knowing_more_of_the_chain_than_the_rota_changes_no_turn(
    n: int, cycles: int, choices: list[int], data: st.DataObject
) -> None:
    validators = validator_set(n)
    keys = [validator.key for validator in validators.validators]
    proposers = [keys[choice % n] for choice in choices]
    height = len(proposers) + 1
    needed = min(len(proposers), cycles * n + height % (cycles * n))
    kept = data.draw(st.integers(needed, len(proposers)))
    everything = turns_of(started_at(height, validators, proposers, cycles))
    recent = proposers[len(proposers) - kept :]
    assert turns_of(started_at(height, validators, recent, cycles)) == everything


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7, 10, 16])
@pytest.mark.parametrize("cycles", [0, 1, 2, 3])
def test_without_misses_everybody_leads_equally_often(n: int, cycles: int) -> None:
    """Rule W2."""
    led = [turns.proposer(0) for turns in _history(n, cycles, 6 * n, down=set())]
    for first in range(3 * n):
        for turns in (1, 2, 3):
            counts = Counter(led[first : first + turns * n])
            assert all(abs(counts[key] - turns) <= 1 for key in validator_keys(n))


@pytest.mark.parametrize("n", [3, 4, 5, 6, 7, 10, 16])
@pytest.mark.parametrize("cycles", [1, 2, 3])
def test_those_who_are_there_share_the_turns_of_who_is_down(n: int, cycles: int) -> None:
    keys, rotas = validator_keys(n), 12
    down = set(keys[: n // 3])
    history = _history(n, cycles, rotas * cycles * n - 1, down)
    led = Counter(turns.proposer(0) for turns in history)
    assert all(led[key] <= rotas for key in down), "each costs one round a rota"
    made = Counter(next(key for key in turns.order if key not in down) for turns in history)
    present = [made[key] for key in keys if key not in down]
    assert max(present) - min(present) <= 1, "nobody else carries their turns alone"


def test_who_returns_has_its_turns_again_in_the_next_rota() -> None:
    """Rules W1, W3."""
    keys = validator_keys(4)
    history = _history(4, 2, 7, down={keys[1]})
    assert [keys[1] in turns.passed_over for turns in history] == [False, *[True] * 6]
    validators = validator_set(4)
    proposers = [keys[2], *[turns.proposer(0) for turns in history[1:]]]
    assert turns_of(started_at(8, validators, proposers, 2)).passed_over == ()


def test_misses_of_more_than_may_be_down_bring_back_who_missed_first() -> None:
    """Rule W3."""
    keys = validator_keys(4)
    # v1 misses, then v2 does, and v3 makes both blocks.
    turns = turns_of(started_at(3, validator_set(4), [keys[3], keys[3]], 2))
    assert turns.order == (keys[1], keys[0], keys[3], keys[2])
    assert turns.passed_over == (keys[2],)


def test_other_validators_begin_without_misses() -> None:
    keys = validator_keys(4)
    assert turns_of(started_at(6, validator_set(4), [keys[3]] * 5, 2)).passed_over != ()
    assert turns_of(started_at(6, validator_set(5), [], 2)).passed_over == ()


def test_a_returned_leader_that_proposes_in_a_later_round_has_missed_nothing() -> None:
    """Rule W5."""
    # In round n the first leader leads again: its name in the header shows that it is there.
    keys = validator_keys(4)
    assert turns_of(started_at(2, validator_set(4), [keys[1]], 2)).passed_over == ()


def test_a_proposer_that_is_down_costs_one_round_a_rota() -> None:
    cluster = Cluster(seed=3, n=4)
    cluster.boot()
    down = cluster.hosts[1]
    down.engine, down.epoch = None, down.epoch + 1
    others = [host for host in cluster.hosts if host is not down]
    heights = 48
    assert cluster.run(lambda: min(len(host.chain) for host in others) >= heights, 60_000)
    late = [
        started.height
        for started, decided in others[0].chain[:heights]
        if decided.certificate.round > 0
    ]
    assert len(late) <= heights // 8 + 1, f"rounds were lost at {late}"
    made = Counter(decided.header.proposer for _, decided in others[0].chain[:heights])
    assert down.key not in made
    assert max(made.values()) - min(made.values()) <= heights // 8, "its rounds, and its turns"


@pytest.mark.parametrize("seed", range(6))
def test_liars_on_a_timely_network_take_no_honest_validators_turn(seed: int) -> None:
    cluster = Cluster(seed, 4, puppets=[0], timing=replace(TIMING, round_ms=400))
    Adversary(cluster, (cluster.keys[0],), 0.2).watch()
    for host in cluster.correct:
        host.has_work = seed % 2 == 0
    cluster.boot()
    cluster.run(lambda: min(cluster.heights()) >= 20, 60_000)
    if seed % 2 == 0:
        assert min(cluster.heights()) >= 20
    for started, decided in cluster.correct[0].chain:
        leader = turns_of(started).proposer(0)
        assert leader in (decided.header.proposer, cluster.keys[0])


def test_a_proposer_that_hears_of_work_it_lacks_shows_that_it_is_there() -> None:
    cluster = Cluster(seed=1, n=4)
    for host in cluster.hosts:
        host.has_work = False
    cluster.boot()
    # v1 leads height 1 and has nothing to propose; what v2 has never came to it.
    cluster.hosts[2].offer_work()
    assert cluster.run(lambda: min(cluster.heights()) >= 1, 2_000)
    assert {host.chain[0][1].certificate.round for host in cluster.hosts} == {0}
    assert {host.chain[0][1].header.proposer for host in cluster.hosts} == {cluster.keys[1]}


def test_after_a_crash_and_a_catch_up_everybody_knows_the_same_turns() -> None:
    cluster = Cluster(seed=5, n=4)
    alone = cluster.keys[3]

    def lose(sender: bytes, receiver: bytes, message: Message) -> bool:
        cut = 100 < cluster.now < 900 and alone in (sender, receiver)
        return cut or (cluster.now < 900 and isinstance(message, DecidedMessage))

    cluster.network.lose = lose
    cluster.boot()
    cluster.later(400, cluster.hosts[0].crash)
    cluster.run_for(2_000)
    height = min(cluster.heights())
    assert height > 8
    known = {tuple(turns_of(host.chain[height - 1][0]).order) for host in cluster.hosts}
    assert len(known) == 1
    assert cluster.faults == set(), "nobody took an honest proposer for an impostor"


def validator_keys(n: int) -> list[bytes]:
    """The keys of so many validators."""
    return [validator.key for validator in validator_set(n).validators]


def _history(n: int, cycles: int, heights: int, down: set[bytes]) -> list[Turns]:
    """The turns of the first heights, if some never propose and all others do when asked."""
    validators, proposers, found = validator_set(n), list[bytes](), list[Turns]()
    for height in range(1, heights + 1):
        turns = turns_of(started_at(height, validators, proposers, cycles))
        found.append(turns)
        proposers.append(next(key for key in turns.order if key not in down))
    return found


def test_blocks_of_those_who_are_no_validators_any_more_cost_the_turn_and_nothing_else() -> None:
    """Rule W3."""
    four, gone = validator_set(4), validator_set(5).validators[4].key
    keys = [validator.key for validator in four.validators]
    turns = turns_of(started_at(9, four, [gone], 2))
    assert turns.passed_over == (keys[0],)
    assert sorted(turns.order) == sorted(keys)
