"""The operations of the identity module."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from medquorum.codec import U32, Bytes32, Hash, Height, Name, TimeMs, Wire
from medquorum.keys import PublicKey, Signature
from node.ledger.identities import KemKey


class ActorKind(StrEnum):
    """What an actor is.

    Patients and guardians are enrolled by registrars, the others by administrators.
    """

    STAFF = "staff"
    SYSTEM = "system"
    PATIENT = "patient"
    GUARDIAN = "guardian"


class RevocationReason(StrEnum):
    """Why a credential ended before its time."""

    UNSPECIFIED = "unspecified"
    LEFT = "left"
    ROLE_CHANGED = "role_changed"
    MISCONDUCT = "misconduct"
    ISSUED_IN_ERROR = "issued_in_error"
    GIVEN_UP = "given_up"


NOT_REVOKED: Final = "none"


class CarryOut(Wire, frozen=True):
    """Carry out a decision about an organisation: `proposal` has passed and says which."""

    proposal: Bytes32


class ActorEnrol(Wire, frozen=True):
    """Bind a new actor and their signing key to `org`.

    `possession` is the key's own signature that it is the actor's.
    """

    actor: Bytes32
    org: Bytes32
    kind: Name
    key: PublicKey
    kem: KemKey
    attest_hash: Hash
    possession: Signature


class KemSet(Wire, frozen=True):
    """Set the key to which records are wrapped for the actor from now on, or remove it."""

    actor: Bytes32
    kem: KemKey


class KeyRotate(Wire, frozen=True):
    """Replace `key`, the current key of an actor or the root key of an organisation, by `new_key`.

    Both sign during the `overlap_heights` that follow the next height; then `key` is revoked.
    """

    key: PublicKey
    new_key: PublicKey
    overlap_heights: U32
    possession: Signature


class KeyRevoke(Wire, frozen=True):
    """End a key with the next height.

    `compromised_from` is 0, or the height from which its use is in doubt.
    """

    key: PublicKey
    compromised_from: Height


class CredentialIssue(Wire, frozen=True):
    """Give an actor of the organisation `scope` a role there, for [not_before_ms, not_after_ms)."""

    credential: Bytes32
    actor: Bytes32
    role: Name
    scope: Bytes32
    not_before_ms: TimeMs
    not_after_ms: TimeMs
    evidence_hash: Hash


class CredentialRevoke(Wire, frozen=True):
    """Take a role away, at once."""

    credential: Bytes32
    reason: Name
