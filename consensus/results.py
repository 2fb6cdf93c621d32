"""What validators computed, when they did not compute the same (docs/spec/pbft.md, rule C7)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ResultGroup:
    """Who committed to one result of one block, in one round."""

    round: int
    block_hash: bytes
    result_hash: bytes
    signers: tuple[bytes, ...]
