"""What may become of a log, and whether who starts with the rest may vote."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from consensus.messages import (
    BlockRecord,
    EnteredRecord,
    HaltedRecord,
    LogRecord,
    PreparedRecord,
    ReleasedRecord,
    decode_record,
)
from consensus.raft.messages import TermRecord
from tests.support.recovery_replay import Past
from tests.support.recovery_validator import Moment, stands_halted

SPEECHLESS: Final = (BlockRecord, EnteredRecord, PreparedRecord, HaltedRecord, ReleasedRecord)
"""Records of which, if they are the newest ones, nobody has heard yet."""


@dataclass(frozen=True, slots=True)
class Loss:
    """A moment whose log is not what it was."""

    moment: Moment
    remembers: bool | None
    """Whether the log still holds all that the guard has seen. None: it lacks only what was never
    spoken of, so that either is right.
    """


def distinct(moments: Sequence[Moment]) -> list[Moment]:
    """One of each kind, the first."""
    found: dict[object, Moment] = {}
    for moment in moments:
        key = (moment.log, moment.sign, moment.started.height, moment.index, moment.said)
        found.setdefault(key, moment)
    return list(found.values())


def spoken(moments: Sequence[Moment]) -> list[Moment]:
    """The last one before each save of the guard, each checkpoint, each commit and release."""
    found: dict[object, Moment] = {}
    for moment in moments:
        if not moment.torn:
            records = [decode_record(record) for record in moment.log]
            key = (moment.sign, moment.started.height, moment.log[:1], stands_halted(records))
            found[key] = moment
    return list(found.values())


def losses(past: Past, moment: Moment) -> Iterator[Loss]:
    """All that a changed bit or a backup can make of it, with the sign state as it is."""
    for count in range(len(moment.log) + 1):
        yield Loss(replace(moment, log=moment.log[:count]), _remembers(moment, count))
    saved = next(known for known in past.moments if known.sign == moment.sign)
    seen: set[tuple[int, tuple[bytes, ...]]] = set()
    for earlier in past.moments:
        if earlier is moment:
            return
        height = earlier.started.height
        here = height == moment.started.height
        if (height, earlier.log) in seen or (
            here and earlier.log == moment.log[: len(earlier.log)]
        ):
            continue
        if not here and all(height != known for known, _ in seen):
            # The chain alone is put back.
            yield Loss(replace(earlier, log=moment.log, sign=moment.sign, said=moment.said), None)
        seen.add((height, earlier.log))
        whole: bool | None = earlier.sign == moment.sign
        if not whole and earlier.log == saved.log[: len(earlier.log)]:
            # The crash came after the record of the vote, and before the guard.
            whole = _remembers(saved, len(earlier.log))
        # The chain is put back with its log, or stays; who sends again sends from there on.
        restored = replace(earlier, sign=moment.sign, said=moment.said)
        yield Loss(restored, whole)
        if not here:
            yield Loss(replace(moment, log=earlier.log), False)


def _remembers(moment: Moment, count: int) -> bool | None:
    if count >= moment.known:
        return True
    lost = [decode_record(record) for record in moment.log[count : moment.known]]
    return None if all(is_speechless(record) for record in lost) else False


def is_speechless(record: LogRecord) -> bool:
    """Whether no vote is said because of this record alone."""
    if isinstance(record, TermRecord):
        return len(record.ballot) == 0
    return isinstance(record, SPEECHLESS)


def may_vote(last: tuple[int, int, int] | None, loss: Loss) -> bool | None:
    """Whether a validator with this sign state has to vote, or must not; None: either.

    One that stands halted does neither: that it says nothing is looked at elsewhere.
    """
    if stands_halted([decode_record(record) for record in loss.moment.log]):
        return None
    height = loss.moment.started.height
    if last is None or last[0] < height:
        return True
    return loss.remembers if last[0] == height else False
