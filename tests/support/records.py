"""For tests of records and consent: scopes, grants, and a hospital with its people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from medquorum.transaction import Operation
from node.ledger.roles import Role
from node.ledger.types.records import MODULE
from node.ledger.types.records.bodies import (
    AmendRecord,
    AnchorRecord,
    GrantConsent,
    LogAccess,
    RegisterPatient,
    RequestAccess,
    RevokeConsent,
)
from node.ledger.types.records.classes import Confidentiality, RecordClass
from node.ledger.types.records.purposes import Purpose
from node.ledger.types.records.rows import Grant
from node.ledger.types.records.terms import (
    Action,
    AmendReason,
    Decision,
    DefaultPolicy,
    DenyReason,
    GrantStatus,
    RevokeReason,
    Scope,
    VersionKind,
)
from tests.support.ledger import FAR_MS, HOUR_MS, Ledger, OrgHandle, Person, some_id

C = Confidentiality
DAY_MS = 24 * HOUR_MS
FORM = some_id("signed form")
ENVELOPE = some_id("envelope")

ANYTHING = Scope(b"", b"", "", (), (), (), C.U, C.V, 0, 0)
"""As an exception, it would match everything."""
TREATMENT = Scope(
    b"", b"", "", (Purpose.TREAT,), (Action.ACCESS,), (RecordClass.OBSERVATION,), C.U, C.N, 0, 0
)
"""The scope that most tests vary: observations of up to normal confidentiality, for treatment."""


def scope(base: Scope = TREATMENT, **changes: object) -> Scope:
    """`base` with some fields changed."""
    return msgspec.structs.replace(base, **changes)


def grant_row(
    decision: Decision = Decision.PERMIT,
    about: Scope = TREATMENT,
    exceptions: tuple[Scope, ...] = (),
    *,
    grant_id: bytes = b"",
    not_before_ms: int = 0,
    not_after_ms: int = FAR_MS,
    status: GrantStatus = GrantStatus.ACTIVE,
) -> Grant:
    """A grant as it stands in the state."""
    return Grant(
        grant_id=grant_id or some_id("grant"),
        decision=decision,
        scope=about,
        exceptions=exceptions,
        not_before_ms=not_before_ms,
        not_after_ms=not_after_ms,
        delegable=0,
        form_hash=b"",
        parent=b"",
        grantor=some_id("grantor"),
        witness=b"",
        version=1,
        granted=1,
        status=status,
        reason=RevokeReason.UNSPECIFIED,
        ended=0,
        ended_ms=0,
    )


@dataclass
class Clinic:
    """A hospital with one of each kind of person, and a patient who has keys."""

    ledger: Ledger = field(default_factory=lambda: Ledger(MODULE))
    policy: DefaultPolicy = DefaultPolicy.DENY

    def __post_init__(self) -> None:
        ledger = self.ledger
        self.org: OrgHandle = ledger.org()
        self.registrar: Person = ledger.person(self.org, Role.REGISTRAR)
        self.clinician: Person = ledger.person(self.org, Role.CLINICIAN)
        self.gateway: Person = ledger.person(self.org, Role.CUSTODIAN_GATEWAY, kind="system")
        self.porter: Person = ledger.person(self.org)
        self.elsewhere: OrgHandle = ledger.org()
        self.consultant: Person = ledger.person(self.elsewhere, Role.CLINICIAN)
        self.patient: Person = ledger.patient(self.org)
        self.pid: bytes = self.patient.id
        self.register(self.pid)

    def op(self, name: str, body: msgspec.Struct) -> Operation:
        """An operation of version 1."""
        return Operation(name, 1, msgspec.msgpack.encode(body))

    def register(self, pid: bytes) -> bytes:
        """Take a pseudonym into use at the hospital."""
        body = RegisterPatient(pid, self.org.id, self.policy, 1, C.N, b"")
        self.ledger.accept(self.op("rec.patient.register", body), by=self.registrar)
        return pid

    def anchoring(self, pid: bytes = b"", **changes: object) -> AnchorRecord:
        """The body of an anchor with fresh ids."""
        fresh = self.ledger.fresh_id
        body = AnchorRecord(
            rec_id=fresh("record"),
            pid=pid or self.pid,
            record_class=RecordClass.OBSERVATION,
            confidentiality=C.N,
            commitment=fresh("commitment"),
            ct_hash=fresh("ciphertext"),
            size_bucket=12,
            custodian=self.org.id,
            fhir_type="observation",
        )
        return msgspec.structs.replace(body, **changes)

    def anchor(self, pid: bytes = b"", **changes: object) -> AnchorRecord:
        """Anchor a record."""
        body = self.anchoring(pid, **changes)
        self.ledger.accept(self.op("rec.anchor", body), by=self.clinician)
        return body

    def amending(self, rec_id: bytes, prev_version: int = 1, **changes: object) -> AmendRecord:
        """The body of an amendment with fresh hashes."""
        body = AmendRecord(
            rec_id,
            prev_version,
            VersionKind.CORRECT,
            AmendReason.TRANSCRIPTION_ERROR,
            self.ledger.fresh_id("commitment"),
            self.ledger.fresh_id("ciphertext"),
            13,
        )
        return msgspec.structs.replace(body, **changes)

    def granting(
        self,
        decision: Decision = Decision.PERMIT,
        about: Scope | None = None,
        exceptions: tuple[Scope, ...] = (),
        **changes: object,
    ) -> GrantConsent:
        """The body of a grant to the consultant's organisation."""
        body = GrantConsent(
            grant_id=self.ledger.fresh_id("grant"),
            pid=self.pid,
            decision=decision,
            scope=about or scope(grantee_org=self.elsewhere.id),
            exceptions=exceptions,
            not_before_ms=0,
            not_after_ms=self.ledger.time_ms + 30 * DAY_MS,
            delegable=0,
            form_hash=b"",
        )
        return msgspec.structs.replace(body, **changes)

    def grant(
        self,
        decision: Decision = Decision.PERMIT,
        about: Scope | None = None,
        exceptions: tuple[Scope, ...] = (),
        **changes: object,
    ) -> GrantConsent:
        """Have the patient grant."""
        body = self.granting(decision, about, exceptions, **changes)
        self.ledger.accept(self.op("cons.grant", body), by=self.patient)
        return body

    def revoking(self, grant_id: bytes, form_hash: bytes = b"") -> Operation:
        """The revocation of a grant."""
        body = RevokeConsent(grant_id, RevokeReason.PATIENT_REQUEST, form_hash)
        return self.op("cons.revoke", body)

    def requesting(self, **changes: object) -> RequestAccess:
        """The body of a request by the consultant."""
        body = RequestAccess(
            req_id=self.ledger.fresh_id("request"),
            pid=self.pid,
            org=self.elsewhere.id,
            role=Role.CLINICIAN.value,
            purpose=Purpose.TREAT,
            classes=(RecordClass.OBSERVATION,),
            grant_id=b"",
            min_necessary_hash=some_id("account"),
        )
        return msgspec.structs.replace(body, **changes)

    def request(self, by: Person | None = None, **changes: object) -> RequestAccess:
        """Ask, as the consultant."""
        body = self.requesting(**changes)
        self.ledger.accept(self.op("rec.access.request", body), by=by or self.consultant)
        return body

    def permit(self, req_id: bytes, records: Sequence[bytes]) -> Operation:
        """A log entry that permits."""
        body = LogAccess(req_id, Decision.PERMIT, DenyReason.NONE, tuple(records), ENVELOPE)
        return self.op("rec.access.log", body)

    def deny(
        self,
        req_id: bytes,
        reason: DenyReason = DenyReason.DEFAULT_DENY,
        records: Sequence[bytes] = (),
    ) -> Operation:
        """A log entry that denies."""
        body = LogAccess(req_id, Decision.DENY, reason, tuple(records), b"")
        return self.op("rec.access.log", body)
