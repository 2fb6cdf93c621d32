"""Who votes on a height, and how many decide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from medquorum.block import ValidatorSet
from medquorum.invariants import require
from medquorum.quorum import faulty, quorum


@dataclass(frozen=True, slots=True)
class Members:
    """The validators of one height, by key. `n` of them, of whom `f` may lie; `quorum` decide."""

    keys: tuple[bytes, ...]
    position: Mapping[bytes, int]
    set_hash: bytes
    f: int
    quorum: int

    @classmethod
    def of(cls, validators: ValidatorSet) -> Members:
        """The members of a validator set."""
        keys = tuple(validator.key for validator in validators.validators)
        position = {key: place for place, key in enumerate(keys)}
        require(len(position) == len(keys), "a validator is in its set twice")
        n = len(keys)
        return cls(keys, position, validators.hash(), faulty(n), quorum("pbft", n))

    @property
    def n(self) -> int:
        """How many validators there are."""
        return len(self.keys)
