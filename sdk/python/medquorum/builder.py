"""Building transactions: build, sign (here, or on a machine without a network), submit.

    draft = TransactionBuilder(chain_id, valid_until=tip + 500).operation("rec.anchor", body) \\
                .signer(key.public).build()
    transaction = draft.sign(key).complete()

A draft knows the id that its transaction will have. It travels to offline signers as a JSON file
(`dump`, `load`), comes back with one more signature each time, and is submitted when every signer
has signed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from secrets import token_bytes
from typing import Final, Literal

import msgspec

from medquorum import transaction as wire
from medquorum.codec import Wire, decode, encode
from medquorum.encoding import from_base64url, from_hex, to_base64url
from medquorum.errors import DecodeError, MalformedError, VerificationError
from medquorum.keys import PUBLIC_KEY_BYTES, SIGNATURE_BYTES, SigningKey, verify
from medquorum.limits import ENVELOPE_FILE_BYTES_MAX
from medquorum.schema import body_from_json
from medquorum.transaction import Operation, Transaction, TxBody

NONCE_BYTES: Final = 16
FORMAT: Final = "medquorum/draft/v1"


class TransactionBuilder:
    """Collects operations and signers. The operations of one transaction happen together or not at
    all.

    `valid_until` is the last height at which the transaction may be committed: the tip plus a
    window that the chain bounds. The nonce comes from the operating system; `draw` replaces it in
    test vectors only.
    """

    def __init__(
        self, chain_id: bytes, *, valid_until: int, draw: Callable[[int], bytes] = token_bytes
    ) -> None:
        self._chain_id = chain_id
        self._valid_until = valid_until
        self._nonce = draw(NONCE_BYTES)
        self._operations: list[Operation] = []
        self._signers: list[bytes] = []

    def operation(self, type_: str, body: Wire, *, version: int = 1) -> TransactionBuilder:
        """Append an operation whose body is one of our structures."""
        self._operations.append(Operation(type_, version, encode(body)))
        return self

    def operation_from_json(
        self,
        type_: str,
        schema: Mapping[str, object],
        fields: Mapping[str, object],
        *,
        version: int = 1,
    ) -> TransactionBuilder:
        """Append an operation from its published schema and named JSON fields. Raises
        MalformedError.
        """
        self._operations.append(Operation(type_, version, body_from_json(schema, fields)))
        return self

    def signer(self, *publics: bytes) -> TransactionBuilder:
        """Append signers by their public keys. Several make a rule of two persons possible."""
        self._signers.extend(publics)
        return self

    def build(self) -> Draft:
        """The transaction without its signatures. Raises a DecodeError if a field is out of
        bounds.
        """
        body = wire.build(
            chain_id=self._chain_id,
            nonce=self._nonce,
            valid_until=self._valid_until,
            operations=self._operations,
            signers=self._signers,
        )
        return Draft.of(body, {})


@dataclass(frozen=True, slots=True)
class Draft:
    """A transaction on its way to its signers. Each signature that it holds is right."""

    body_bytes: bytes
    body: TxBody
    signatures: Mapping[bytes, bytes]
    """By the public key of the signer."""

    @classmethod
    def of(cls, body_bytes: bytes, signatures: Mapping[bytes, bytes]) -> Draft:
        """A draft from the canonical bytes of a body. Raises a DecodeError, or VerificationError
        for a wrong signature.
        """
        body = decode(TxBody, body_bytes, size_max=wire.TX_BYTES_MAX)
        if len(set(body.signers)) != len(body.signers):
            raise MalformedError("a signer is named twice")
        draft = cls(body_bytes, body, {})
        for public, signature in signatures.items():
            draft = draft.add_signature(public, signature)
        return draft

    @property
    def tx_id(self) -> bytes:
        """The id that the transaction has, signed or not."""
        return wire.tx_id(self.body_bytes)

    @property
    def missing(self) -> tuple[bytes, ...]:
        """The public keys of those who have not signed yet."""
        return tuple(key for key in self.body.signers if key not in self.signatures)

    def sign(self, *keys: SigningKey) -> Draft:
        """The draft with these signatures too. Raises VerificationError `draft_signer` for a key
        that it does not name.
        """
        message = wire.signing_bytes(self.body_bytes)
        draft = self
        for key in keys:
            draft = draft.add_signature(key.public, key.sign(message))
        return draft

    def add_signature(self, public: bytes, signature: bytes) -> Draft:
        """The draft with a signature that was made elsewhere, over
        `transaction.signing_bytes(body_bytes)`.
        """
        if public not in self.body.signers:
            raise VerificationError("draft_signer", f"{public.hex()} is not a signer of this")
        if not verify(public, wire.signing_bytes(self.body_bytes), signature):
            raise VerificationError("draft_signature", f"not a signature of {public.hex()}")
        return replace(self, signatures={**self.signatures, public: signature})

    def complete(self) -> Transaction:
        """The signed transaction. Raises VerificationError `draft_incomplete` while signatures are
        missing.
        """
        if self.missing:
            raise VerificationError("draft_incomplete", f"{len(self.missing)} signatures missing")
        return wire.assemble(self.body_bytes, [self.signatures[key] for key in self.body.signers])

    def dump(self) -> bytes:
        """The JSON file for offline signing. `tx_id`, `valid_until` and `operations` are there for
        people to compare.
        """
        file = _DraftFile(
            format=FORMAT,
            tx_id=self.tx_id.hex(),
            chain_id=self.body.chain_id.hex(),
            valid_until=self.body.valid_until,
            operations=[f"{op.type}/{op.version}" for op in self.body.operations],
            body=to_base64url(self.body_bytes),
            signatures={
                key.hex(): self.signatures[key].hex()
                for key in self.body.signers
                if key in self.signatures
            },
        )
        return msgspec.json.format(msgspec.json.encode(file), indent=2) + b"\n"

    @classmethod
    def load(cls, data: bytes) -> Draft:
        """Read a file and check its signatures. Raises VerificationError, `draft_form` if it shows
        other than what it holds.
        """
        if len(data) > ENVELOPE_FILE_BYTES_MAX:
            raise VerificationError("draft_size", f"at most {ENVELOPE_FILE_BYTES_MAX} bytes")
        try:
            file = msgspec.json.decode(data, type=_DraftFile)
            signatures = {
                from_hex(key, size=PUBLIC_KEY_BYTES): from_hex(signature, size=SIGNATURE_BYTES)
                for key, signature in file.signatures.items()
            }
            draft = cls.of(from_base64url(file.body), signatures)
        except (msgspec.DecodeError, DecodeError, ValueError, RecursionError) as error:
            raise VerificationError("draft_form", f"not a draft: {error}") from None
        # A person signs what the file shows. So what it shows must be what it holds.
        if draft.dump() != data:
            raise VerificationError("draft_form", "the file shows other than what it holds")
        return draft


class _DraftFile(msgspec.Struct, forbid_unknown_fields=True):
    format: Literal["medquorum/draft/v1"]
    tx_id: str
    chain_id: str
    valid_until: int
    operations: list[str]
    body: str
    signatures: dict[str, str]
