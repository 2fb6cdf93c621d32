"""What a compacted log says of votes whose own records, and blocks, it no longer holds."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import Meta

from medquorum.codec import U8, U32, Hash, Height, Wire

Said: TypeAlias = U32 | Annotated[bytes, Meta(max_length=64)]
"""A part of what a vote says: a hash, a key or a number."""


class SaidRecord(Wire, frozen=True, tag=10):
    """A vote of ours in an earlier round: we know it for ours, and need not say it again."""

    height: Height
    round: U32
    phase: U8
    payload: Annotated[tuple[Said, ...], Meta(max_length=2)]


class ResultRecord(Wire, frozen=True, tag=11):
    """The only result that we ever sign for this block at this height."""

    height: Height
    block_hash: Hash
    result_hash: Hash


class CheckpointedRecord(Wire, frozen=True, tag=12):
    """Here ends what stands for the log before it. Without this record, some of it is lost."""

    height: Height


KeptRecord: TypeAlias = SaidRecord | ResultRecord | CheckpointedRecord
"""What either engine writes when it compacts its log."""
