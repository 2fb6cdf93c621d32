"""A validator that comes back never meets its guard's refusal, nor contradicts what it said.

Nor does it take its own votes for a twin's. The histories are those of tests/support/
recovery_tapes.py, what is lost is what recovery_losses.py names, how history goes on is in
recovery_restarts.py. Every crash and every loss of these histories is looked at; of the ways in
which each goes on, `--slow` looks at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import pytest

from consensus.messages import (
    CommittedRecord,
    RoundChangedRecord,
    decode_record,
    encode_record,
)
from consensus.raft.messages import AckedRecord, AppendedRecord, TermRecord
from medquorum.quorum import EngineName
from storage.limits import SIGNED_VOTES_KEPT_MAX
from tests.support.recovery_losses import distinct, losses, may_vote, spoken
from tests.support.recovery_replay import Past, Player
from tests.support.recovery_restarts import CONTINUATIONS, Restarted, live_on, undecided
from tests.support.recovery_tapes import SCRIPTS, record
from tests.support.recovery_validator import Validator

SCHEDULES: Final = [(engine, name) for engine in SCRIPTS for name in SCRIPTS[engine]]
WAYS: Final = ((1, 0, False), (4, 3, True), (2, 4, False))
"""Events a round, rounds a checkpoint, and whether the log is emptied at each commit."""

SOME: Final = (1, (1,))
ALL: Final = (3, (0, 1, 2, 3))
REACHES: Final = [
    pytest.param(SOME, id="some"),
    pytest.param(ALL, id="all", marks=[pytest.mark.slow, pytest.mark.timeout(3_600)]),
]
"""Seeds, and the validators that are looked at."""


def pasts(engine: EngineName, name: str, reach: tuple[int, tuple[int, ...]]) -> Iterator[Past]:
    """What these validators went through, each with logs of several kinds."""
    seeds, victims = reach
    for seed in range(seeds):
        for tape in record(engine, name, seed, victims):
            for batch, every, forgets in WAYS:
                player = Player(tape, batch=batch, compact_every=every, forgets=forgets)
                yield player.play()


@pytest.mark.parametrize("reach", REACHES)
@pytest.mark.parametrize(("engine", "name"), SCHEDULES)
def test_a_crash_anywhere_is_survived_and_who_lost_nothing_votes(
    engine: EngineName, name: str, reach: tuple[int, tuple[int, ...]]
) -> None:
    """Rules L1, L2 and L4 of pbft.md; F1, F2, F4 and F6 of raft.md."""
    started = voted = 0
    for past in pasts(engine, name, reach):
        for number, moment in enumerate(distinct(past.moments)):
            for place, continuation in enumerate(CONTINUATIONS):
                is_next = (number + place) % len(CONTINUATIONS) == 0
                # What the guard has not seen yet is said again when nobody decides.
                if reach == ALL or is_next or (moment.torn and continuation is undecided):
                    restarted = live_on(past, moment, continuation)
                    assert not restarted.observes
                    started += 1
                    voted += moment.started.height in restarted.voted
    assert voted > started / 2


@pytest.mark.parametrize("reach", REACHES)
@pytest.mark.parametrize(("engine", "name"), SCHEDULES)
def test_whatever_is_lost_of_a_log_nobody_votes_twice(
    engine: EngineName, name: str, reach: tuple[int, tuple[int, ...]]
) -> None:
    """Whoever lost what it said observes to the end of the height, nobody else does (rule F3)."""
    number, later = 0, 0
    for past in pasts(engine, name, reach):
        for moment in spoken(past.moments):
            for loss in losses(past, moment):
                restarted = Restarted(past, loss.moment)
                expected = may_vote(restarted.last, loss)
                assert expected is None or restarted.observes is not expected
                number += 1
                if reach == ALL or number % 16 == 0:
                    continuation = CONTINUATIONS[number // 16 % len(CONTINUATIONS)]
                    after = live_on(past, loss.moment, continuation)
                    later += after.observes and max(after.voted, default=0) > 0
    assert number > 100
    assert later > 0


@pytest.mark.parametrize("engine", ["pbft", "raft"])
def test_who_votes_alone_certifies_nothing_that_its_guard_has_not_seen(engine: EngineName) -> None:
    """Rule L6 of pbft.md; its own vote, found in the log, is a quorum."""
    started = 0
    (tape,) = record(engine, "calm", 0, (0,), n=1)
    for batch, every, forgets in WAYS:
        past = Player(tape, batch=batch, compact_every=every, forgets=forgets).play()
        for moment in distinct(past.moments):
            for continuation in CONTINUATIONS:
                assert not live_on(past, moment, continuation).observes
                started += 1
    assert started > 500


def test_the_histories_have_rivals_for_one_term() -> None:
    """Who asks for votes in a term, does not get them, and follows another there: it says nothing
    later than its request until it acknowledges the other's entry.
    """
    found = 0
    for name in ("no_acks", "acks_reach_one"):
        for tape in record("raft", name, 0, (0, 1, 2, 3)):
            past = Player(tape, batch=1, compact_every=0, forgets=False).play()
            records = [decode_record(known) for known in past.moments[-1].log]
            asked = {
                (known.height, known.term)
                for known in records
                if isinstance(known, TermRecord) and known.ballot == (tape.victim.key,)
            }
            acked = {
                (known.height, known.term) for known in records if isinstance(known, AckedRecord)
            }
            led = {
                (known.height, known.term) for known in records if isinstance(known, AppendedRecord)
            }
            found += len(asked & acked - led)
    assert found > 2


def test_a_vote_that_the_guard_has_forgotten_is_not_said_again() -> None:
    """A validator that hears the wishes of others and never enters a round: each wish is another
    vote behind its COMMIT. Rule T4 of pbft.md.
    """
    (tape,) = record("pbft", "calm", 0, (0,))
    past = Player(tape, batch=1, compact_every=0, forgets=False).play()
    moment = next(
        known
        for known in past.moments
        if known.log
        and isinstance(decode_record(known.log[-1]), CommittedRecord)
        and known.said > 1
    )
    for round_ in range(1, 2 * SIGNED_VOTES_KEPT_MAX):
        validator = Validator(tape, moment)
        validator.play(validator.driver.start())
        assert not validator.observes
        wish = encode_record(RoundChangedRecord(moment.started.height, round_))
        moment = replace(moment, log=(*moment.log, wish), sign=validator.sign)
