"""The words of consent: small closed sets, and the scope that grants and their exceptions share."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from msgspec import Meta

from medquorum.codec import TimeMs, Wire
from node.ledger.codes import Code
from node.ledger.errors import refuse_unless
from node.ledger.roles import Role
from node.ledger.types.records.classes import Confidentiality, RecordClass
from node.ledger.types.records.limits import PURPOSES_PER_SCOPE_MAX
from node.ledger.types.records.purposes import Purpose

MaybeHash = Annotated[bytes, Meta(max_length=32)]
"""32 bytes, or none at all. `require_maybe_hashes` refuses what lies between."""
MaybeRole = Annotated[str, Meta(max_length=64, pattern=r"^([a-z][a-z0-9_]*)?(?![\s\S])")]
"""A role token, or nothing for any role."""
Flag = Annotated[int, Meta(ge=0, le=1)]
"""1 is yes. The canonical encoding has no booleans."""

NOBODY: Final = b""
HASH_BYTES: Final = 32
ROLES: Final = frozenset(role.value for role in Role)


class Decision(StrEnum):
    """What a grant or a log entry says."""

    PERMIT = "permit"
    DENY = "deny"


class Action(StrEnum):
    """What is done with data (FHIR consent actions)."""

    COLLECT = "collect"
    ACCESS = "access"
    USE = "use"
    DISCLOSE = "disclose"
    CORRECT = "correct"


class DefaultPolicy(StrEnum):
    """What holds where the patient has said nothing (the implicit policies of IHE PCF)."""

    BASIC_NORMAL = "basic_normal"
    """Staff who treat the patient see records of up to normal confidentiality."""
    ALL_NORMAL = "all_normal"
    """So do all roles for their own purposes, marketing and research excepted."""
    BREAK_GLASS_ONLY = "break_glass_only"
    """Nobody does, emergencies declared by breaking the glass excepted."""
    DENY = "deny"
    """Nobody does."""


class GrantStatus(StrEnum):
    """The life of a grant.

    Suspended grants match nothing and can be revoked; revoked and expired are final.
    """

    ACTIVE = "active"
    SUSPENDED = "suspended"
    REVOKED = "revoked"
    EXPIRED = "expired"


class RevokeReason(StrEnum):
    """Why a grant was revoked, as far as anyone needs to know."""

    UNSPECIFIED = "unspecified"
    PATIENT_REQUEST = "patient_request"
    SUPERSEDED = "superseded"
    GRANTED_IN_ERROR = "granted_in_error"


class VersionKind(StrEnum):
    """How a version of a record came to be."""

    ORIGINAL = "original"
    AMEND = "amend"
    CORRECT = "correct"
    ADDENDUM = "addendum"
    ENTERED_IN_ERROR = "entered_in_error"
    """Hides the record from reading, never from audit. Such a version has no content of its own."""


class AmendReason(StrEnum):
    """Why a record was changed."""

    NONE = "none"
    """Of the original version only."""
    NEW_INFORMATION = "new_information"
    TRANSCRIPTION_ERROR = "transcription_error"
    CODING_ERROR = "coding_error"
    WRONG_PATIENT = "wrong_patient"
    DUPLICATE_ENTRY = "duplicate_entry"
    PATIENT_REQUEST = "patient_request"
    REVIEW = "review"


class RecordStatus(StrEnum):
    """The life of a record."""

    LIVE = "live"
    ENTERED_IN_ERROR = "entered_in_error"
    ERASING = "erasing"
    ERASED = "erased"


class PatientStatus(StrEnum):
    """The life of a pseudonym."""

    ACTIVE = "active"
    SUSPENDED = "suspended"


class RequestState(StrEnum):
    """The life of an access request."""

    PENDING = "pending"
    PERMITTED = "permitted"
    DENIED = "denied"
    EXPIRED = "expired"
    RECEIPTED = "receipted"


class DenyReason(StrEnum):
    """What a gateway gives as its ground for a denial.

    The ledger records it and does not judge it.
    """

    NONE = "none"
    """Of permits only."""
    GRANT_DENY = "grant_deny"
    EXCEPTION_DENY = "exception_deny"
    DEFAULT_DENY = "default_deny"
    NOT_HELD = "not_held"
    VAULT_UNAVAILABLE = "vault_unavailable"
    GATEWAY_POLICY = "gateway_policy"


class Scope(Wire):
    """Whom, what for and which records a statement is about. All parts must match at once.

    An empty organisation, actor or role means any. Empty lists mean any as well, and are allowed in
    exceptions only: what is granted is listed. Confidentiality lies in [floor, ceiling]; the time
    at which a record was anchored lies in [data_from_ms, data_to_ms), where 0 is no bound.
    """

    grantee_org: MaybeHash
    grantee_actor: MaybeHash
    grantee_role: MaybeRole
    purposes: Annotated[tuple[Purpose, ...], Meta(max_length=PURPOSES_PER_SCOPE_MAX)]
    actions: Annotated[tuple[Action, ...], Meta(max_length=len(Action))]
    classes: Annotated[tuple[RecordClass, ...], Meta(max_length=len(RecordClass))]
    floor: Confidentiality
    ceiling: Confidentiality
    data_from_ms: TimeMs
    data_to_ms: TimeMs

    @property
    def blanket(self) -> bool:
        """Whether it names neither an organisation nor an actor: a role alone is held all over the
        consortium.
        """
        return self.grantee_org == NOBODY and self.grantee_actor == NOBODY


def require_maybe_hashes(*values: bytes) -> None:
    """E_SCHEMA unless each value has 32 bytes or none."""
    for value in values:
        refuse_unless(
            len(value) in (0, HASH_BYTES), Code.SCHEMA, "a hash or id has 32 bytes, or none at all"
        )


def require_distinct(values: tuple[object, ...], what: str) -> None:
    """E_SCHEMA if a value stands twice."""
    refuse_unless(len(set(values)) == len(values), Code.SCHEMA, f"{what} stands twice")
