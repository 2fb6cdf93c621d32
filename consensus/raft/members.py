"""Who votes on a height, how many are a majority, and who leads its first term."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from medquorum.block import ValidatorSet
from medquorum.certificate import unpack_signers
from medquorum.errors import VerificationError
from medquorum.invariants import require
from medquorum.quorum import quorum


@dataclass(frozen=True, slots=True)
class Members:
    """The validators of one height, by key. Any two sets of `quorum` of them share one."""

    keys: tuple[bytes, ...]
    position: Mapping[bytes, int]
    set_hash: bytes
    quorum: int

    @classmethod
    def of(cls, validators: ValidatorSet) -> Members:
        """The members of a validator set."""
        keys = tuple(validator.key for validator in validators.validators)
        position = {key: place for place, key in enumerate(keys)}
        require(len(position) == len(keys), "a validator is in its set twice")
        return cls(keys, position, validators.hash(), quorum("raft", len(keys)))

    @property
    def n(self) -> int:
        """How many validators there are."""
        return len(self.keys)

    def first_leader(self, height: int, parent_proposer: bytes) -> bytes:
        """Who leads term 0: whoever made the block before, else it goes by turns (rule T0)."""
        if parent_proposer in self.position:
            return parent_proposer
        return self.keys[height % len(self.keys)]

    def signers(self, bitmap: bytes) -> tuple[bytes, ...]:
        """The keys in a bitmap of signers; none if it is no bitmap over these members."""
        try:
            places = unpack_signers(bitmap, self.n)
        except VerificationError:
            return ()
        return tuple(self.keys[place] for place in places)
