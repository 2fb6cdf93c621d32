"""The state of records and consent: one row structure and one table for each thing that is
remembered.

Rows hold ids, hashes, numbers and tokens. A pseudonym is 32 random bytes that the hospital chose;
what it stands for is known to the hospital alone.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from medquorum.codec import U16, U32, Bytes32, Hash, Height, Name, TimeMs, Wire
from node.ledger.tables import Table
from node.ledger.types.records.classes import Confidentiality, RecordClass
from node.ledger.types.records.consent import Rule
from node.ledger.types.records.limits import (
    EXCEPTIONS_PER_GRANT_MAX,
    RECORDS_PER_RELEASE_MAX,
    SIZE_BUCKET_MAX,
)
from node.ledger.types.records.purposes import Purpose
from node.ledger.types.records.terms import (
    AmendReason,
    Decision,
    DefaultPolicy,
    DenyReason,
    Flag,
    GrantStatus,
    MaybeHash,
    MaybeRole,
    PatientStatus,
    RecordStatus,
    RequestState,
    RevokeReason,
    Scope,
    VersionKind,
)

NAMESPACE: Final = "records"

SizeBucket = Annotated[int, Meta(ge=0, le=SIZE_BUCKET_MAX)]
Exceptions = Annotated[tuple[Scope, ...], Meta(max_length=EXCEPTIONS_PER_GRANT_MAX)]
Classes = Annotated[tuple[RecordClass, ...], Meta(min_length=1, max_length=len(RecordClass))]


class Patient(Wire):
    """A pseudonym at one hospital, and what holds where its patient has said nothing.

    `ceiling` bounds what the default policy and break-glass may reach. `active_grants` is the
    number of rows that ACTIVE_GRANTS holds of this patient.
    """

    org: Bytes32
    default_policy: DefaultPolicy
    break_glass: Flag
    ceiling: Confidentiality
    link_commit: MaybeHash
    status: PatientStatus
    active_grants: U16
    registered: Height
    policy_height: Height


class Version(Wire):
    """One version of a record. `commitment` and `ct_hash` are empty if it was entered in error."""

    version: U32
    kind: VersionKind
    reason: AmendReason
    commitment: MaybeHash
    ct_hash: MaybeHash
    size_bucket: SizeBucket
    confidentiality: Confidentiality
    author: Bytes32
    height: Height
    time_ms: TimeMs


class Record(Wire):
    """A record: its newest version is `head`, the older ones are rows of VERSIONS."""

    pid: Bytes32
    record_class: RecordClass
    fhir_type: Name
    custodian: Bytes32
    status: RecordStatus
    anchored: Height
    anchored_ms: TimeMs
    head: Version


class RecordRef(Wire):
    """Which record it is."""

    rec_id: Bytes32


class Present(Wire):
    """The key says it all."""


class Grant(Wire):
    """What a patient allowed or denied, for [not_before_ms, not_after_ms).

    `grantor` is the actor who signed: the patient, or a registrar in whose presence the patient
    signed the form with `form_hash` before `witness`. `parent` is the grant that a sub-grant
    derives from. `ended` is 0 while it lives.
    """

    grant_id: Bytes32
    decision: Decision
    scope: Scope
    exceptions: Exceptions
    not_before_ms: TimeMs
    not_after_ms: TimeMs
    delegable: Flag
    form_hash: MaybeHash
    parent: MaybeHash
    grantor: Bytes32
    witness: MaybeHash
    version: U32
    granted: Height
    status: GrantStatus
    reason: RevokeReason
    ended: Height
    ended_ms: TimeMs


class PatientRef(Wire):
    """Whose it is."""

    pid: Bytes32


class Request(Wire):
    """Somebody asked to see records of a patient, in a role at an organisation, for a purpose."""

    pid: Bytes32
    actor: Bytes32
    org: Bytes32
    role: MaybeRole
    purpose: Purpose
    classes: Classes
    grant_id: MaybeHash
    min_necessary_hash: Hash
    requested: Height
    requested_ms: TimeMs
    expires_ms: TimeMs
    state: RequestState


class Released(Wire):
    """A version of a record."""

    rec_id: Bytes32
    version: U32


class Basis(Wire):
    """A rule that permitted, and the grant it came from if it came from one."""

    rule: Rule
    grant_id: MaybeHash


class LogEntry(Wire):
    """What the custodian decided about a request, written before anything left its vault.

    Of a permit: the versions released, the grounds that the ledger itself found, the hash of the
    key envelope and the hash that the recipient's receipt must show until `receipt_due_ms`. Of a
    denial: the reason that the gateway gave.
    """

    decision: Decision
    deny_reason: DenyReason
    records: Annotated[tuple[Released, ...], Meta(max_length=RECORDS_PER_RELEASE_MAX)]
    bases: Annotated[tuple[Basis, ...], Meta(max_length=RECORDS_PER_RELEASE_MAX)]
    envelope_hash: MaybeHash
    released_hash: MaybeHash
    custodian: Bytes32
    gateway: Bytes32
    height: Height
    time_ms: TimeMs
    receipt_due_ms: TimeMs


class Receipt(Wire):
    """What the recipient says arrived."""

    ct_hash: Hash
    matches: Flag
    height: Height
    time_ms: TimeMs


PATIENTS = Table(
    b"p", "patients", key=("pid",), value=Patient, meaning="pseudonyms and their default policies"
)
RECORDS = Table(
    b"r", "records", key=("rec_id",), value=Record, meaning="records with their newest version"
)
VERSIONS = Table(
    b"v", "versions", key=("rec_id", "version"), value=Version, meaning="superseded versions"
)
COMMITMENTS = Table(
    b"c", "commitments", key=("commitment",), value=RecordRef, meaning="every commitment, once"
)
PATIENT_RECORDS = Table(
    b"i",
    "patient_records",
    key=("pid", "height", "rec_id"),
    value=Present,
    meaning="the records of a patient in the order in which they were anchored",
)
ACTIVE_GRANTS = Table(
    b"g", "active_grants", key=("pid", "grant_id"), value=Grant, meaning="grants that may match"
)
ENDED_GRANTS = Table(
    b"e", "ended_grants", key=("pid", "grant_id"), value=Grant, meaning="revoked, expired grants"
)
GRANT_PATIENTS = Table(
    b"h", "grant_patients", key=("grant_id",), value=PatientRef, meaning="whose grant it is"
)
REQUESTS = Table(b"q", "requests", key=("req_id",), value=Request, meaning="who asked to see what")
LOG = Table(
    b"l", "log", key=("req_id",), value=LogEntry, meaning="what custodians decided on requests"
)
RECEIPTS = Table(
    b"t", "receipts", key=("req_id",), value=Receipt, meaning="what recipients say arrived"
)
PATIENT_REQUESTS = Table(
    b"w",
    "patient_requests",
    key=("pid", "height", "req_id"),
    value=Present,
    meaning="the requests about a patient in the order in which they were made",
)
TABLES = (
    *(PATIENTS, RECORDS, VERSIONS, COMMITMENTS, PATIENT_RECORDS, ACTIVE_GRANTS, ENDED_GRANTS),
    *(GRANT_PATIENTS, REQUESTS, LOG, RECEIPTS, PATIENT_REQUESTS),
)
PRESENT = Present()
