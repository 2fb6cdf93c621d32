"""A pretended world: keys whose signatures are hashes, blocks and results made on demand.

Signatures are computed anew to be verified, so anybody could forge them. Nobody here does: a liar
only ever signs with its own key. They cost a hundredth of real ones and are as deterministic.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256, sha512
from typing import Final

from consensus.engine import Build, HeightStarted
from medquorum.block import Header, Result, Validator, ValidatorSet
from medquorum.hashing import EMPTY_HASH

CHAIN_ID: Final = sha256(b"a chain to be explored").digest()
GENESIS_TIME_MS: Final = 1_000_000
REMEMBERED: Final = 1 << 16


@lru_cache(REMEMBERED)
def sign(public: bytes, message: bytes) -> bytes:
    """What stands for the signature of `public`."""
    return b"\x01" + sha512(public + message).digest()


def verify(public: bytes, message: bytes, signature: bytes, /) -> bool:
    """Whether that is it."""
    return signature == sign(public, message)


@dataclass(frozen=True, slots=True)
class PretendedSigner:
    """Signs for one key."""

    public: bytes

    def sign(self, message: bytes) -> bytes:
        """The signature of `message`."""
        return sign(self.public, message)


def key_of(number: int) -> bytes:
    """The key of a validator."""
    return b"\x01" + sha256(b"validator %d" % number).digest()


def validator_set(keys: tuple[bytes, ...]) -> ValidatorSet:
    """Validators with these keys; who owns them does not matter."""
    return ValidatorSet(
        tuple(
            Validator(key, b"\x01" + sha256(b"node" + key).digest(), sha256(b"org" + key).digest())
            for key in keys
        )
    )


def first_height(validators: ValidatorSet) -> HeightStarted:
    """The start of height 1."""
    return HeightStarted(1, validators, CHAIN_ID, EMPTY_HASH, GENESIS_TIME_MS, 0)


def make_header(request: Build, body: bytes) -> Header:
    """The header of a block made for `request`."""
    return Header(
        version=1,
        chain_id=CHAIN_ID,
        height=request.height,
        time_ms=request.not_before_ms,
        proposer=request.proposer,
        parent=request.parent_hash,
        parent_result=request.parent_result_hash,
        validators_hash=request.validators_hash,
        txs_root=sha256(body).digest(),
        tx_count=1,
    )


@lru_cache(REMEMBERED)
def make_result(block_hash: bytes, validators_hash: bytes) -> Result:
    """What executing a block gives."""
    root = sha256(b"state" + block_hash).digest()
    return Result(root, EMPTY_HASH, EMPTY_HASH, validators_hash)
