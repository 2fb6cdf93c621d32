"""A pretended world for engines: keys whose signatures are hashes, blocks, results.

Signatures are recomputed to be verified, so anybody could forge them; nobody in the tests does.
They are a hundred times faster than real ones, and just as deterministic.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256, sha512
from typing import Final

from consensus.engine import BODY_MISMATCH, Build, HeightStarted
from consensus.signing import Verify, VoteSigner
from medquorum.block import Header, Result, Validator, ValidatorSet
from medquorum.hashing import EMPTY_HASH
from medquorum.keys import SigningKey
from medquorum.keys import verify as real_verify

CHAIN_ID: Final = sha256(b"a chain for tests").digest()
GENESIS_TIME_MS: Final = 1_000_000
ROTA_CYCLES: Final = 2
REFUSED: Final = b"refused:"
"""How the body of a block begins that nobody finds valid."""


def public_key(name: str) -> bytes:
    """The key of a validator."""
    return b"\x01" + sha256(name.encode()).digest()


def sign(public: bytes, message: bytes) -> bytes:
    """What stands for the signature of `public`."""
    return b"\x01" + sha512(public + message).digest()


def verify(public: bytes, message: bytes, signature: bytes, /) -> bool:
    """Whether that is it."""
    return signature == sign(public, message)


@dataclass(frozen=True, slots=True)
class TestSigner:
    """Signs for one key."""

    __test__ = False
    public: bytes

    def sign(self, message: bytes) -> bytes:
        """The signature of `message`."""
        return sign(self.public, message)


@dataclass(frozen=True, slots=True)
class KeyRing:
    """Keys of validators by number: pretended or real ones."""

    signer: Callable[[int], VoteSigner]
    verify: Verify

    def public(self, number: int) -> bytes:
        """The key of a validator."""
        return self.signer(number).public


PRETENDED: Final = KeyRing(lambda number: TestSigner(public_key(f"v{number}")), verify)
REAL: Final = KeyRing(
    lambda number: SigningKey(sha256(f"validator {number}".encode()).digest()), real_verify
)


def validator_set(n: int, public: Callable[[int], bytes] = PRETENDED.public) -> ValidatorSet:
    """Validators v0 to v(n-1)."""
    return ValidatorSet(
        tuple(
            Validator(public(i), public_key(f"node{i}"), sha256(f"org{i}".encode()).digest())
            for i in range(n)
        )
    )


def genesis_started(validators: ValidatorSet) -> HeightStarted:
    """The start of height 1."""
    return HeightStarted(
        1, validators, CHAIN_ID, EMPTY_HASH, GENESIS_TIME_MS, 0, rota_cycles=ROTA_CYCLES
    )


def make_header(request: Build, body: bytes, time_ms: int) -> Header:
    """The header of a block made for `request`."""
    return Header(
        version=1,
        chain_id=CHAIN_ID,
        height=request.height,
        time_ms=max(request.not_before_ms, time_ms),
        proposer=request.proposer,
        parent=request.parent_hash,
        parent_result=request.parent_result_hash,
        validators_hash=request.validators_hash,
        txs_root=sha256(body).digest(),
        tx_count=1,
    )


def validate(header: Header, body: bytes) -> str:
    """What Validate finds."""
    if sha256(body).digest() != header.txs_root:
        return BODY_MISMATCH
    return "refused" if body.startswith(REFUSED) else ""


def make_result(block_hash: bytes, next_validators: ValidatorSet, salt: bytes = b"") -> Result:
    """What executing a block gives; `salt` is how a node that computes differently differs."""
    root = sha256(b"state" + salt + block_hash).digest()
    return Result(root, EMPTY_HASH, EMPTY_HASH, next_validators.hash())


def after(
    started: HeightStarted,
    header: Header,
    result: Result,
    decided_round: int,
    validators: ValidatorSet | None = None,
) -> HeightStarted:
    """The start of the next height, with the same validators if no others are named."""
    voters = started.validators if validators is None else validators
    recent = (*started.recent_proposers, header.proposer) if voters == started.validators else ()
    return HeightStarted(
        started.height + 1,
        voters,
        header.hash(),
        result.hash(),
        header.time_ms,
        decided_round,
        header.proposer,
        recent[-2 * started.rota_cycles * len(voters.validators) :],
        started.rota_cycles,
    )
