"""A recovery on its way from the node that proposes it to those who sign, and to those who apply
it: one JSON file that the genesis alone verifies (docs/spec/disaster-recovery.md, section 5).

It holds the statement; the certified height that it continues, with the validators' history up to
it; every key that may sign, each proven; the signatures so far; and, once it is combined, the
transaction that hands all of it in. Like a receipt it has exactly one form.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

import msgspec

from medquorum.block import ValidatorSet
from medquorum.codec import encode
from medquorum.encoding import from_base64url, from_hex, to_base64url
from medquorum.errors import DecodeError, VerificationError
from medquorum.genesis import Genesis
from medquorum.history import Certified, SetChange, ValidatorHistory
from medquorum.keys import SigningKey
from medquorum.limits import RECOVERY_BYTES_MAX, RECOVERY_FILE_BYTES_MAX
from medquorum.prooffile import (
    CertifiedFile,
    ChangeFile,
    pack,
    pack_certified,
    pack_changes,
    unpack,
    unpack_certified,
    unpack_changes,
)
from medquorum.recovery import (
    RECOVER,
    RECOVER_VERSION,
    Authority,
    Powers,
    Recovery,
    RecoveryStatement,
    RootSignature,
    count_powers,
    recovery_in,
    verify_authority,
    verify_terms,
)
from medquorum.statetree import SubRoot
from medquorum.transaction import Operation, Transaction, build, sign

FORMAT: Final = "medquorum/recovery/v1"
_AUTHORITIES_MAX: Final = 1024
_SUB_ROOTS_MAX: Final = 256


@dataclass(frozen=True, slots=True)
class VerifiedRecovery:
    """What a recovery file comes to. `enough` of `powers` says whether it can be handed in;
    `signed` and `missing` are the organisations that operate validators of `replaced`.
    """

    id: bytes
    statement: RecoveryStatement
    replaced: ValidatorSet
    powers: Powers
    signed: tuple[bytes, ...]
    missing: tuple[bytes, ...]
    transaction: Transaction | None


@dataclass(frozen=True, slots=True)
class RecoveryFile:
    """The parts of the file, decoded and not verified. `signatures` are by root key."""

    statement: RecoveryStatement
    block: Certified
    history: tuple[SetChange, ...]
    sub_roots: tuple[SubRoot, ...]
    authorities: tuple[Authority, ...]
    signatures: Mapping[bytes, bytes]
    transaction: Transaction | None

    def dump(self) -> bytes:
        """The file."""
        return msgspec.json.format(msgspec.json.encode(_to_file(self)), indent=2) + b"\n"

    @classmethod
    def load(cls, data: bytes) -> RecoveryFile:
        """Read a file, without verifying what it says. Raises VerificationError."""
        if len(data) > RECOVERY_FILE_BYTES_MAX:
            raise VerificationError("recovery_size", f"more than {RECOVERY_FILE_BYTES_MAX} bytes")
        try:
            file = _from_file(msgspec.json.decode(data, type=_RecoveryFile))
        except (msgspec.DecodeError, DecodeError, ValueError, RecursionError) as error:
            raise VerificationError("recovery_form", f"not a recovery: {error}") from None
        if file.dump() != data:
            raise VerificationError("recovery_form", "not the one form that a recovery has")
        return file

    def recovery(self) -> Recovery:
        """The statement with the signatures that are here, as it goes onto the chain."""
        signed = (a for a in self.authorities if a.key in self.signatures)
        signatures = tuple(RootSignature(a, self.signatures[a.key]) for a in signed)
        return Recovery(self.statement, self.sub_roots, signatures)

    def verify(self, genesis: Genesis) -> VerifiedRecovery:
        """What it comes to on the chain of `genesis`: everything but what the new validators'
        nodes check against their state. Raises VerificationError.
        """
        history = ValidatorHistory(genesis)
        history.extend(self.history)
        header, result, height = self.block.header, self.block.result, self.statement.height
        if history.height > header.height or history.recoveries(height + 1) != history.recoveries(
            height
        ):
            raise VerificationError("recovery_second", "the history goes beyond the statement")
        history.verify(self.block)
        replaced = history.validators_at(header.height + 1)
        counter = history.recoveries(header.height) + 1
        verify_terms(
            self.statement, header=header, result=result, validators=replaced, counter=counter
        )
        orgs = self._authorities(result.state_root)
        recovery = self.recovery()
        powers = count_powers(recovery, result=result, validators=replaced)
        seats = dict.fromkeys(validator.org for validator in replaced.validators)
        signed = {orgs[key] for key in self.signatures}
        self._verify_transaction(recovery, header.chain_id, orgs)
        return VerifiedRecovery(
            self.statement.id(),
            self.statement,
            replaced,
            powers,
            tuple(org for org in seats if org in signed),
            tuple(org for org in seats if org not in signed),
            self.transaction,
        )

    def sign(self, key: SigningKey) -> RecoveryFile:
        """The file with one more signature. Raises VerificationError if the key has no say."""
        if all(authority.key != key.public for authority in self.authorities):
            raise VerificationError(
                "recovery_key", "not the root key of an organisation that operated a validator"
            )
        signature = key.sign(self.statement.signing_bytes())
        return self.joined({key.public: signature})

    def joined(self, signatures: Mapping[bytes, bytes]) -> RecoveryFile:
        """The file with these signatures as well; what was handed in before is dropped."""
        merged = {**self.signatures, **signatures}
        return replace(self, signatures=merged, transaction=None)

    def combined(self, key: SigningKey) -> RecoveryFile:
        """The file with the transaction that hands it in; it is valid at the next height and never
        again. `key` must be one that may sign, or the file does not verify.
        """
        body = build(
            chain_id=self.statement.chain_id,
            nonce=self.statement.id()[:16],
            valid_until=self.statement.height + 1,
            operations=[Operation(RECOVER, RECOVER_VERSION, encode(self.recovery()))],
            signers=[key.public],
        )
        return replace(self, transaction=sign(body, [key]))

    def _authorities(self, state_root: bytes) -> dict[bytes, bytes]:
        """The organisation of each key that may sign."""
        orgs: dict[bytes, bytes] = {}
        last = b""
        for authority in self.authorities:
            if authority.key <= last:
                raise VerificationError("recovery_order", "the keys do not ascend")
            last = authority.key
            orgs[last] = verify_authority(
                authority, self.sub_roots, state_root, self.statement.height
            )
        if not orgs.keys() >= self.signatures.keys():
            raise VerificationError("recovery_key", "a signature by a key that has no say")
        return orgs

    def _verify_transaction(
        self, recovery: Recovery, chain_id: bytes, orgs: Mapping[bytes, bytes]
    ) -> None:
        """It hands in what the file says, and nothing else, by keys of `orgs`."""
        handed_in = self.transaction
        if handed_in is None:
            return
        body = handed_in.body
        if recovery_in(body.operations) != recovery:
            raise VerificationError("recovery_transaction", "it hands something else in")
        if (body.chain_id, body.valid_until) != (chain_id, self.statement.height + 1):
            raise VerificationError("recovery_transaction", "it is for another chain or height")
        if not orgs.keys() >= set(body.signers):
            # No validator would vote for a block with it, and only then would anybody see.
            raise VerificationError(
                "recovery_signer", "it is handed in by another key than a root key that may sign"
            )
        if not handed_in.signatures_hold():
            raise VerificationError("recovery_transaction", "its signature is wrong")


class _SignatureFile(msgspec.Struct, forbid_unknown_fields=True):
    key: str
    signature: str


class _RecoveryFile(msgspec.Struct, forbid_unknown_fields=True):
    format: Literal["medquorum/recovery/v1"]
    id: str
    counter: int
    height: int
    reason: str
    statement: str
    block: CertifiedFile
    history: list[ChangeFile]
    sub_roots: list[str]
    authorities: list[str]
    signatures: list[_SignatureFile]
    transaction: str


def _to_file(file: RecoveryFile) -> _RecoveryFile:
    statement, handed_in = file.statement, file.transaction
    return _RecoveryFile(
        format=FORMAT,
        # What a person looks for first. The one form of the file binds it to the statement.
        id=statement.id().hex(),
        counter=statement.counter,
        height=statement.height,
        reason=statement.reason,
        statement=pack(statement),
        block=pack_certified(file.block),
        history=pack_changes(file.history),
        sub_roots=[pack(sub_root) for sub_root in file.sub_roots],
        authorities=[pack(authority) for authority in file.authorities],
        signatures=[
            _SignatureFile(key.hex(), file.signatures[key].hex()) for key in sorted(file.signatures)
        ],
        transaction="" if handed_in is None else to_base64url(handed_in.raw),
    )


def _from_file(file: _RecoveryFile) -> RecoveryFile:
    if len(file.authorities) > _AUTHORITIES_MAX or len(file.sub_roots) > _SUB_ROOTS_MAX:
        raise ValueError("too many keys or namespaces")
    size_max = RECOVERY_BYTES_MAX
    return RecoveryFile(
        statement=unpack(RecoveryStatement, file.statement, size_max),
        block=unpack_certified(file.block.header, file.block.result, file.block.certificate),
        history=unpack_changes(file.history),
        sub_roots=tuple(unpack(SubRoot, text, size_max) for text in file.sub_roots),
        authorities=tuple(unpack(Authority, text, size_max) for text in file.authorities),
        signatures={from_hex(s.key): from_hex(s.signature) for s in file.signatures},
        transaction=None
        if file.transaction == ""
        else Transaction.decode(from_base64url(file.transaction)),
    )
