"""What queries are asked with, and what they answer: structures with named fields, for JSON."""

from __future__ import annotations

import msgspec

from medquorum.codec import INT_MAX
from node.ledger.limits import PAGE_DEFAULT
from node.ledger.paging import PageLimit
from node.ledger.types.records.classes import Confidentiality, RecordClass
from node.ledger.types.records.purposes import Purpose
from node.ledger.types.records.terms import (
    Action,
    AmendReason,
    Decision,
    DefaultPolicy,
    DenyReason,
    GrantStatus,
    PatientStatus,
    RecordStatus,
    RequestState,
    RevokeReason,
    VersionKind,
)


class Params(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Base of the parameters."""


class Answer(msgspec.Struct, kw_only=True):
    """Base of the answers."""


class PatientParams(Params):
    """Of rec.patient."""

    pid: bytes


class HistoryParams(Params):
    """Of rec.history: the superseded versions are paged."""

    rec_id: bytes
    limit: PageLimit = PAGE_DEFAULT
    cursor: bytes = b""


class OfPatientParams(Params):
    """Of rec.of_patient."""

    pid: bytes
    limit: PageLimit = PAGE_DEFAULT
    cursor: bytes = b""


class GrantsParams(Params):
    """Of rec.grants: those that may match now, or those that ended."""

    pid: bytes
    ended: bool = False
    limit: PageLimit = PAGE_DEFAULT
    cursor: bytes = b""


class CanAccessParams(Params):
    """Of rec.can_access.

    Without `org` it is the actor's own, without `role` any that the actor holds there.

    `anchored_ms` is when the record was anchored, 0 for now.
    """

    actor: bytes
    pid: bytes
    record_class: RecordClass
    confidentiality: Confidentiality
    purpose: Purpose
    action: Action = Action.ACCESS
    org: bytes = b""
    role: str = ""
    anchored_ms: int = 0


class WhoAccessedParams(Params):
    """Of rec.who_accessed: requests made at the heights `from_height` to `to_height`, both
    included.
    """

    pid: bytes
    from_height: int = 0
    to_height: int = INT_MAX
    limit: PageLimit = PAGE_DEFAULT
    cursor: bytes = b""


class RequestParams(Params):
    """Of rec.request."""

    req_id: bytes


class PatientAnswer(Answer):
    """A pseudonym and its default policy."""

    pid: bytes
    org: bytes
    default_policy: DefaultPolicy
    break_glass: int
    ceiling: Confidentiality
    link_commit: bytes
    status: PatientStatus
    active_grants: int
    registered: int
    policy_height: int


class VersionAnswer(Answer):
    """One version of a record."""

    version: int
    kind: VersionKind
    reason: AmendReason
    commitment: bytes
    ct_hash: bytes
    size_bucket: int
    confidentiality: Confidentiality
    author: bytes
    height: int
    time_ms: int


class RecordAnswer(Answer):
    """A record with its newest version."""

    rec_id: bytes
    pid: bytes
    record_class: RecordClass
    fhir_type: str
    custodian: bytes
    status: RecordStatus
    anchored: int
    anchored_ms: int
    head: VersionAnswer


class HistoryAnswer(Answer):
    """A record, and a page of its superseded versions, the oldest first."""

    record: RecordAnswer
    items: tuple[VersionAnswer, ...]
    next_cursor: bytes


class RecordsAnswer(Answer):
    """A page of records, in the order in which they were anchored."""

    items: tuple[RecordAnswer, ...]
    next_cursor: bytes


class ScopeAnswer(Answer):
    """Whom, what for and which records a statement is about. Empty is any."""

    grantee_org: bytes
    grantee_actor: bytes
    grantee_role: str
    purposes: tuple[Purpose, ...]
    actions: tuple[Action, ...]
    classes: tuple[RecordClass, ...]
    floor: Confidentiality
    ceiling: Confidentiality
    data_from_ms: int
    data_to_ms: int


class GrantAnswer(Answer):
    """A grant.

    One whose period is over may be shown as active until the ledger has tidied up: it matches
    nothing.
    """

    grant_id: bytes
    decision: Decision
    scope: ScopeAnswer
    exceptions: tuple[ScopeAnswer, ...]
    not_before_ms: int
    not_after_ms: int
    delegable: int
    form_hash: bytes
    parent: bytes
    grantor: bytes
    witness: bytes
    version: int
    granted: int
    status: GrantStatus
    reason: RevokeReason
    ended: int
    ended_ms: int


class GrantsAnswer(Answer):
    """A page of grants."""

    items: tuple[GrantAnswer, ...]
    next_cursor: bytes


class CanAccessAnswer(Answer):
    """What would be decided at `height`, and why: a rule of consent, or what stands before consent.

    `rule` is one of consent.Rule, or unknown_patient, unknown_actor, inactive_org, no_role or
    beyond_need. `grant_id` is the grant that decided, empty if none did; `role` is the role that
    was judged.
    """

    permitted: bool
    rule: str
    grant_id: bytes
    role: str
    org: bytes
    height: int


class ReleasedAnswer(Answer):
    """A version that was released."""

    rec_id: bytes
    version: int


class BasisAnswer(Answer):
    """A ground for a permit."""

    rule: str
    grant_id: bytes


class LogAnswer(Answer):
    """What the custodian decided."""

    decision: Decision
    deny_reason: DenyReason
    records: tuple[ReleasedAnswer, ...]
    bases: tuple[BasisAnswer, ...]
    envelope_hash: bytes
    released_hash: bytes
    custodian: bytes
    gateway: bytes
    height: int
    time_ms: int
    receipt_due_ms: int


class ReceiptAnswer(Answer):
    """What the recipient says arrived."""

    ct_hash: bytes
    matches: int
    height: int
    time_ms: int


class RequestAnswer(Answer):
    """A request, the decision if there is one, and the receipt if there is one."""

    req_id: bytes
    pid: bytes
    actor: bytes
    org: bytes
    role: str
    purpose: Purpose
    classes: tuple[RecordClass, ...]
    grant_id: bytes
    min_necessary_hash: bytes
    requested: int
    requested_ms: int
    expires_ms: int
    state: RequestState
    log: LogAnswer | None
    receipt: ReceiptAnswer | None


class RequestsAnswer(Answer):
    """A page of requests, in the order in which they were made."""

    items: tuple[RequestAnswer, ...]
    next_cursor: bytes
