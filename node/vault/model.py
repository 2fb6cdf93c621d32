"""What the gateway hands out."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ReleasedRecord:
    """One version of a record: its ciphertext, and its key wrapped to the requester."""

    rec_id: bytes
    version: int
    envelope: bytes = field(repr=False)
    ciphertext: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Release:
    """What a committed permit lets out. `log_tx_id` stands at `height`."""

    log_tx_id: bytes
    height: int
    records: tuple[ReleasedRecord, ...]
