"""Disaster recovery: organisations name the validators of the next height, because too few of the
old ones are left to decide anything (docs/spec/disaster-recovery.md).

A statement continues one certified height under a new set. Root keys of organisations sign it, and
together they must operate more than two thirds of the validators that are replaced: what it takes
to change the set by a vote. That a key is the root key of its organisation at that height is proven
from the certified state root, so whoever knows the genesis can check all of it, and needs no node.

    signed bytes = "medquorum/recovery/v1" 0x00 || statement        id = SHA-256(signed bytes)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Final

from msgspec import Meta

from medquorum.block import Header, Result, Validator, ValidatorSet
from medquorum.codec import (
    U32,
    Bytes32,
    Hash,
    Height,
    Name,
    Wire,
    decode,
    encode,
)
from medquorum.errors import DecodeError, VerificationError
from medquorum.hashing import Kind, tagged_hash
from medquorum.keys import PublicKey, Signature, is_public_key, possession_bytes, verify
from medquorum.limits import RECOVERY_BYTES_MAX
from medquorum.quorum import VALIDATORS_MAX
from medquorum.statetree import (
    NAMESPACES_MAX,
    PATH_BITS,
    StateProof,
    SubRoot,
    key_path,
    value_hash,
    verify_state,
)
from medquorum.transaction import Operation

SIGNATURES_MAX: Final = VALIDATORS_MAX
BINDING_BYTES_MAX: Final = 256
KEYS_NAMESPACE: Final = "identity"
"""Where the ledger files keys."""
KEYS_PREFIX: Final = b"k"
RECOVER: Final = "gov.recover"
"""The operation that records a recovery; its body is the recovery."""
RECOVER_VERSION: Final = 1


class RecoveredValidator(Wire):
    """A validator after a recovery. Its vote key is new and has signed that it belongs to `org`
    (`keys.possession_bytes`): it never voted, so nothing that was said before binds it.
    """

    key: PublicKey
    node_key: PublicKey
    org: Bytes32
    possession: Signature


class RecoveryStatement(Wire):
    """What organisations sign. `counter` is the number of this recovery on its chain, from 1.

    `height`, `block_hash` and `result_hash` are those of the last certified height that is kept.
    `reason` is a token for people, e.g. `site.lost`.
    """

    chain_id: Hash
    counter: Annotated[int, Meta(ge=1, le=2**32 - 1)]
    height: Annotated[int, Meta(ge=1, le=2**53 - 1)]
    block_hash: Hash
    result_hash: Hash
    validators: Annotated[
        tuple[RecoveredValidator, ...], Meta(min_length=1, max_length=VALIDATORS_MAX)
    ]
    reason: Name

    def id(self) -> bytes:
        """What this recovery is called by."""
        return tagged_hash(Kind.RECOVERY, encode(self))

    def signing_bytes(self) -> bytes:
        """What each organisation signs."""
        return Kind.RECOVERY.value + encode(self)

    def validator_set(self) -> ValidatorSet:
        """Who votes on the height after `height`."""
        return ValidatorSet(tuple(Validator(v.key, v.node_key, v.org) for v in self.validators))


class KeyRow(Wire):
    """Whose key it is, as the ledger's state has it. A root key has no actor; it signs at the
    heights from `from_height` until before `until_height`, 0 being no end.
    """

    actor: Annotated[bytes, Meta(max_length=32)]
    org: Bytes32
    from_height: Height
    until_height: Height
    compromised_from: Height

    def is_root_at(self, height: int) -> bool:
        """Whether it is an organisation's root key that may sign at `height`."""
        ended = self.until_height != 0 and height >= self.until_height
        return self.actor == b"" and self.from_height <= height and not ended


class Authority(Wire):
    """A root key, with the proof of its row in the state after the height that is kept."""

    key: PublicKey
    row: Annotated[bytes, Meta(max_length=BINDING_BYTES_MAX)]
    siblings: Annotated[tuple[Hash, ...], Meta(max_length=PATH_BITS)]


class RootSignature(Wire):
    """The signature of a statement by a root key."""

    authority: Authority
    signature: Signature


class Recovery(Wire):
    """A statement that was signed, with all that verifies it under the certified height.

    `sub_roots` are those of the state after that height. Signatures stand in the ascending order of
    their keys.
    """

    statement: RecoveryStatement
    sub_roots: Annotated[tuple[SubRoot, ...], Meta(max_length=NAMESPACES_MAX)]
    signatures: Annotated[tuple[RootSignature, ...], Meta(min_length=1, max_length=SIGNATURES_MAX)]


class Powers(Wire):
    """How many of `total` validators the organisations operate that signed."""

    signed: U32
    total: U32

    @property
    def enough(self) -> bool:
        """More than two thirds, as a decision of governance takes."""
        return 3 * self.signed > 2 * self.total


def pack_recovery(recovery: Recovery | None) -> bytes:
    """Its bytes where a structure may hold one; none for none."""
    return b"" if recovery is None else encode(recovery)


def unpack_recovery(data: bytes) -> Recovery | None:
    """What `pack_recovery` packed. Raises a DecodeError."""
    return None if data == b"" else decode(Recovery, data, size_max=RECOVERY_BYTES_MAX)


def recovery_in(operations: Sequence[Operation]) -> Recovery | None:
    """The recovery that a transaction of these operations hands in, if that is all it does."""
    if len(operations) != 1:
        return None
    operation = operations[0]
    if (operation.type, operation.version) != (RECOVER, RECOVER_VERSION):
        return None
    try:
        return decode(Recovery, operation.body, size_max=RECOVERY_BYTES_MAX)
    except DecodeError:
        return None


def verify_recovery(
    recovery: Recovery, *, header: Header, result: Result, validators: ValidatorSet, counter: int
) -> ValidatorSet:
    """Who votes on the height after `header`; or VerificationError with a `recovery_` reason.

    The caller has verified that `header` and `result` are certified. `validators` is the set that
    the result names, `counter` the number that the next recovery of this chain has.
    """
    verify_terms(
        recovery.statement, header=header, result=result, validators=validators, counter=counter
    )
    powers = count_powers(recovery, result=result, validators=validators)
    if not powers.enough:
        raise VerificationError(
            "recovery_signatures",
            f"organisations of {powers.signed} of {powers.total} validators signed:"
            " more than two thirds must",
        )
    return recovery.statement.validator_set()


def verify_terms(
    statement: RecoveryStatement,
    *,
    header: Header,
    result: Result,
    validators: ValidatorSet,
    counter: int,
) -> None:
    """Raise VerificationError unless the statement, whoever signed it, continues this height."""
    if statement.chain_id != header.chain_id:
        raise VerificationError("recovery_chain", "the statement is for another chain")
    if statement.height != header.height:
        raise VerificationError(
            "recovery_height", f"the statement is for height {statement.height}, not this one"
        )
    if (statement.block_hash, statement.result_hash) != (header.hash(), result.hash()):
        raise VerificationError("recovery_block", "the statement is for another block or result")
    if result.next_validators_hash != validators.hash():
        raise VerificationError("recovery_replaced", "the result names another validator set")
    if statement.counter != counter:
        raise VerificationError(
            "recovery_counter", f"number {statement.counter}, and the next one is {counter}"
        )
    _verify_set(statement, validators)


def count_powers(recovery: Recovery, *, result: Result, validators: ValidatorSet) -> Powers:
    """How much the signatures weigh; all of them are verified. Raises VerificationError."""
    statement = recovery.statement
    seats = [validator.org for validator in validators.validators]
    message = statement.signing_bytes()
    orgs: set[bytes] = set()
    last = b""
    for signed in recovery.signatures:
        key = signed.authority.key
        if key <= last:
            raise VerificationError("recovery_order", "the keys do not ascend")
        last = key
        org = verify_authority(
            signed.authority, recovery.sub_roots, result.state_root, statement.height
        )
        if org not in seats:
            raise VerificationError("recovery_organisation", "it operated no validator")
        if org in orgs:
            raise VerificationError("recovery_duplicate", "an organisation signed twice")
        if not verify(key, message, signed.signature):
            raise VerificationError("recovery_signature", f"{key.hex()} did not sign this")
        orgs.add(org)
    return Powers(sum(1 for org in seats if org in orgs), len(seats))


def verify_authority(
    authority: Authority, sub_roots: tuple[SubRoot, ...], state_root: bytes, height: int
) -> bytes:
    """The organisation of which it is a root key after `height`. Raises VerificationError."""
    try:
        row = decode(KeyRow, authority.row, size_max=BINDING_BYTES_MAX)
    except DecodeError as error:
        raise VerificationError("recovery_key", f"not the row of a key: {error}") from None
    if not row.is_root_at(height + 1):
        raise VerificationError("recovery_key", "not the root key of an organisation then")
    key = KEYS_PREFIX + authority.key
    leaf = key_path(key) + value_hash(authority.row)
    proof = StateProof(sub_roots, authority.siblings, leaf)
    verify_state(state_root, KEYS_NAMESPACE, key, authority.row, proof)
    return row.org


def _verify_set(statement: RecoveryStatement, before: ValidatorSet) -> None:
    keys = list(_keys(statement))
    if len(set(keys)) != len(keys):
        raise VerificationError("recovery_validators", "a key stands twice in the new set")
    voted = {validator.key for validator in before.validators}
    for validator in statement.validators:
        if not (is_public_key(validator.key) and is_public_key(validator.node_key)):
            raise VerificationError("recovery_validators", "not an Ed25519 key that can sign")
        if validator.key in voted:
            raise VerificationError(
                "recovery_validators", "a vote key of the old set: after a recovery all are new"
            )
        message = possession_bytes(statement.chain_id, validator.org, validator.key)
        if not verify(validator.key, message, validator.possession):
            raise VerificationError("recovery_possession", "no proof of the private vote key")


def _keys(statement: RecoveryStatement) -> Iterator[bytes]:
    for validator in statement.validators:
        yield validator.key
        yield validator.node_key
