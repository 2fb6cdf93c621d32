"""Evidence as one JSON file that convicts a validator without a node: the two statements, and the
proof that their signer was a validator of that height.

The file holds the evidence, every change of the validator set since the genesis up to its height,
and the block before that height, whose certified result names the set that votes on it. With the
genesis, which the verifier has from a source of their own, that is the whole argument.

Like a receipt, a file must equal, byte for byte, what `EvidenceFile.dump` writes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from medquorum.block import Validator, ValidatorSet
from medquorum.encoding import from_base64url
from medquorum.errors import DecodeError, VerificationError
from medquorum.evidence import Accusation, Evidence, decode_evidence, verify_evidence
from medquorum.genesis import Genesis
from medquorum.history import Certified, SetChange, ValidatorHistory
from medquorum.limits import EVIDENCE_FILE_BYTES_MAX
from medquorum.prooffile import (
    CertifiedFile,
    ChangeFile,
    pack,
    pack_certified,
    pack_changes,
    unpack_certified,
    unpack_changes,
)

FORMAT: Final = "medquorum/evidence/v1"


@dataclass(frozen=True, slots=True)
class VerifiedEvidence:
    """What an evidence file proves: of whom, and that this was a validator of then."""

    id: bytes
    chain_id: bytes
    accusation: Accusation
    validator: Validator
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class EvidenceFile:
    """The parts of an evidence file, decoded and not verified. `before` is the block below the
    height of the evidence; None if that is the first height.
    """

    evidence: Evidence
    before: Certified | None
    history: tuple[SetChange, ...]

    def dump(self) -> bytes:
        """The file: indented JSON, unpadded base64url for encoded structures."""
        return msgspec.json.format(msgspec.json.encode(_to_file(self)), indent=2) + b"\n"

    @classmethod
    def load(cls, data: bytes) -> EvidenceFile:
        """Read a file, without verifying what it says. Raises VerificationError with
        `evidence_size` or `evidence_form`.
        """
        if len(data) > EVIDENCE_FILE_BYTES_MAX:
            raise VerificationError(
                "evidence_size", f"{len(data)} bytes, at most {EVIDENCE_FILE_BYTES_MAX}"
            )
        try:
            file = _from_file(msgspec.json.decode(data, type=_EvidenceFile))
        except (msgspec.DecodeError, DecodeError, ValueError, RecursionError) as error:
            raise VerificationError("evidence_form", f"not an evidence file: {error}") from None
        if file.dump() != data:
            raise VerificationError("evidence_form", "not the one form that such a file has")
        return file

    def verify(self, genesis: Genesis) -> VerifiedEvidence:
        """What is proven on the chain that starts from `genesis`. Raises VerificationError."""
        accusation = verify_evidence(self.evidence, genesis.chain_id(), genesis.engine)
        for validator in self._validators(genesis).validators:
            if validator.key == accusation.validator:
                return VerifiedEvidence(
                    self.evidence.id(), genesis.chain_id(), accusation, validator, self.evidence
                )
        raise VerificationError(
            "evidence_validator", f"the signer was no validator at height {accusation.height}"
        )

    def _validators(self, genesis: Genesis) -> ValidatorSet:
        """The set that votes on the height of the evidence, proven from the genesis."""
        height, history = self.evidence.height, ValidatorHistory(genesis)
        history.extend(self.history)
        if history.height >= height:
            raise VerificationError("evidence_history", "the history goes beyond the height")
        found = history.validators_at(height)
        if self.before is None:
            if height > 1:
                raise VerificationError("evidence_history", "the block below is missing")
            return found
        if self.before.header.height != height - 1:
            raise VerificationError("evidence_history", "that is not the block below")
        history.verify(self.before)
        if not history.is_whole_at(self.before):
            raise VerificationError("evidence_history", "a change of the validators is missing")
        return found


def verify_evidence_file(data: bytes, genesis: Genesis) -> VerifiedEvidence:
    """What the file `data` proves on the chain of `genesis`. Pure; raises VerificationError and
    nothing else.
    """
    return EvidenceFile.load(data).verify(genesis)


class _EvidenceFile(msgspec.Struct, forbid_unknown_fields=True):
    format: Literal["medquorum/evidence/v1"]
    id: str
    validator: str
    height: int
    evidence: str
    before: CertifiedFile | None
    history: list[ChangeFile]


def _to_file(file: EvidenceFile) -> _EvidenceFile:
    evidence, before = file.evidence, file.before
    return _EvidenceFile(
        format=FORMAT,
        # What a person looks for first. The one form of the file binds them to the evidence.
        id=evidence.id().hex(),
        validator=evidence.validator.hex(),
        height=evidence.height,
        evidence=pack(evidence),
        before=None if before is None else pack_certified(before),
        history=pack_changes(file.history),
    )


def _from_file(file: _EvidenceFile) -> EvidenceFile:
    before = file.before
    return EvidenceFile(
        decode_evidence(from_base64url(file.evidence)),
        None
        if before is None
        else unpack_certified(before.header, before.result, before.certificate),
        unpack_changes(file.history),
    )
