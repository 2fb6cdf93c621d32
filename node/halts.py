"""The halt that stands in a consensus log, and an operator's word that ends it.

An engine that halted stays so over restarts (docs/spec/pbft.md, section 8); what it signed of a
height binds it there for ever. Only the record that is written here changes either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from consensus.checkpoints import ResultRecord
from consensus.messages import (
    CommittedRecord,
    HaltedRecord,
    LogRecord,
    ReleasedRecord,
    encode_record,
)
from consensus.raft.messages import AckedRecord
from node.errors import IdentityError
from storage.wal import WriteAheadLog


@dataclass(frozen=True, slots=True)
class Standing:
    """What an operator can do something about.

    `halt` is None if the engine has not halted, or was released since. `signed_height` is the last
    height of which the log holds a result that we signed and that still binds us; 0 for none.
    """

    halt: HaltedRecord | None
    signed_height: int

    @property
    def heights(self) -> tuple[int, ...]:
        """Those that may be released."""
        halted = () if self.halt is None else (self.halt.height,)
        signed = () if self.signed_height in (0, *halted) else (self.signed_height,)
        return halted + signed


def standing(records: Sequence[LogRecord]) -> Standing:
    """What the records of a consensus log come to."""
    halt: HaltedRecord | None = None
    signed_height = 0
    for record in records:
        match record:
            case HaltedRecord():
                halt = record
            case ReleasedRecord():
                halt = None
                signed_height = 0 if record.height == signed_height else signed_height
            case CommittedRecord() | AckedRecord() | ResultRecord():
                signed_height = record.height
            case _:
                continue
    return Standing(halt, signed_height)


def release(log: WriteAheadLog, records: Sequence[LogRecord], height: int) -> None:
    """End the halt, and unbind what was signed at `height`. Durable when it returns.

    What was said stays said: no vote is ever replaced in its round. Raises IdentityError if there
    is nothing to release at this height, and StorageErrors.
    """
    found = standing(records)
    if height not in found.heights:
        there = " or ".join(str(known) for known in found.heights) or "none"
        raise IdentityError(
            f"there is nothing to release at height {height} (what could be released: {there})"
        )
    log.append((encode_record(ReleasedRecord(height)),))
