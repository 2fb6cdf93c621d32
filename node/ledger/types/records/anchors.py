"""rec.anchor and rec.amend: commitments to records and their versions.

Anchoring is the bulk of all traffic (an import anchors a hundred records a transaction), so it
reads and writes as little as it can: three rows, the newest version inside the record's own.
"""

from __future__ import annotations

import msgspec

from node.ledger.access import has_role, signer_with_role
from node.ledger.codes import Code
from node.ledger.context import Context, Signer
from node.ledger.errors import TxError, refuse_unless
from node.ledger.roles import Role
from node.ledger.types.records.authority import active_patient
from node.ledger.types.records.bodies import AmendRecord, AnchorRecord
from node.ledger.types.records.classes import FHIR_TOKENS
from node.ledger.types.records.rows import (
    COMMITMENTS,
    PATIENT_RECORDS,
    PRESENT,
    RECORDS,
    VERSIONS,
    Record,
    RecordRef,
    Version,
)
from node.ledger.types.records.terms import (
    HASH_BYTES,
    NOBODY,
    AmendReason,
    RecordStatus,
    VersionKind,
)


def anchor(body: AnchorRecord, ctx: Context) -> None:
    """A custodian commits to a new record of a patient of its own."""
    refuse_unless(body.fhir_type in FHIR_TOKENS, Code.SCHEMA, "unknown resource type")
    patient = active_patient(ctx, body.pid)
    refuse_unless(
        body.custodian == patient.org, Code.ORG, "the pseudonym belongs to another organisation"
    )
    author = _author(ctx, body.custodian)
    state = ctx.state
    refuse_unless(not RECORDS.has(state, body.rec_id), Code.DUPLICATE, "the record id is in use")
    refuse_unless(
        not COMMITMENTS.has(state, body.commitment), Code.DUPLICATE, "the commitment is in use"
    )
    head = Version(
        version=1,
        kind=VersionKind.ORIGINAL,
        reason=AmendReason.NONE,
        commitment=body.commitment,
        ct_hash=body.ct_hash,
        size_bucket=body.size_bucket,
        confidentiality=body.confidentiality,
        author=author,
        height=ctx.height,
        time_ms=ctx.time_ms,
    )
    row = Record(
        pid=body.pid,
        record_class=body.record_class,
        fhir_type=body.fhir_type,
        custodian=body.custodian,
        status=RecordStatus.LIVE,
        anchored=ctx.height,
        anchored_ms=ctx.time_ms,
        head=head,
    )
    RECORDS.put(state, row, body.rec_id)
    COMMITMENTS.put(state, RecordRef(body.rec_id), body.commitment)
    PATIENT_RECORDS.put(state, PRESENT, body.pid, ctx.height, body.rec_id)
    ctx.emit(
        "rec.anchored",
        rec_id=body.rec_id,
        pid=body.pid,
        record_class=body.record_class,
    )


def amend(body: AmendRecord, ctx: Context) -> None:
    """The custodian adds a version on top of the one that the author has seen."""
    _check_amendment(body)
    record = RECORDS.get(ctx.state, body.rec_id)
    if record is None:
        raise TxError(Code.NOT_FOUND, "no such record")
    active_patient(ctx, record.pid)
    author = _author(ctx, record.custodian)
    refuse_unless(
        record.status is RecordStatus.LIVE, Code.STATE, f"the record is {record.status.value}"
    )
    refuse_unless(
        record.head.version == body.prev_version, Code.VERSION, "there is a newer version"
    )
    if body.commitment != NOBODY:
        refuse_unless(
            not COMMITMENTS.has(ctx.state, body.commitment), Code.DUPLICATE, "commitment in use"
        )
    head = Version(
        version=record.head.version + 1,
        kind=body.kind,
        reason=body.reason,
        commitment=body.commitment,
        ct_hash=body.ct_hash,
        size_bucket=body.size_bucket,
        confidentiality=record.head.confidentiality,
        author=author,
        height=ctx.height,
        time_ms=ctx.time_ms,
    )
    status = record.status
    if body.kind is VersionKind.ENTERED_IN_ERROR:
        status = RecordStatus.ENTERED_IN_ERROR
    VERSIONS.put(ctx.state, record.head, body.rec_id, record.head.version)
    RECORDS.put(ctx.state, msgspec.structs.replace(record, head=head, status=status), body.rec_id)
    if body.commitment != NOBODY:
        COMMITMENTS.put(ctx.state, RecordRef(body.rec_id), body.commitment)
    ctx.emit(
        "rec.amended",
        rec_id=body.rec_id,
        pid=record.pid,
        version=head.version,
        kind=body.kind,
        reason=body.reason,
    )


def _author(ctx: Context, custodian: bytes) -> bytes:
    """Who answers for a version: a clinician if one signed, otherwise the custodian's gateway.

    A gateway that signs alone is asked first, because it signs the bulk of all anchors.
    """
    signers = ctx.signers
    if len(signers) == 1 and _is_gateway(ctx, signers[0], custodian):
        return signers[0].actor
    for signer in signers:
        if signer.actor != NOBODY and has_role(ctx, signer.actor, Role.CLINICIAN, custodian):
            return signer.actor
    return signer_with_role(ctx, Role.CUSTODIAN_GATEWAY, custodian).actor


def _is_gateway(ctx: Context, signer: Signer, custodian: bytes) -> bool:
    return signer.actor != NOBODY and has_role(ctx, signer.actor, Role.CUSTODIAN_GATEWAY, custodian)


def _check_amendment(body: AmendRecord) -> None:
    refuse_unless(
        body.kind is not VersionKind.ORIGINAL, Code.SCHEMA, "only the first version is original"
    )
    refuse_unless(body.reason is not AmendReason.NONE, Code.SCHEMA, "a change has a reason")
    hash_bytes = HASH_BYTES
    if body.kind is VersionKind.ENTERED_IN_ERROR:
        hash_bytes = 0
        refuse_unless(body.size_bucket == 0, Code.SCHEMA, "an error has no content")
    refuse_unless(
        len(body.commitment) == hash_bytes and len(body.ct_hash) == hash_bytes,
        Code.SCHEMA,
        "a version has both hashes, an entry in error has none",
    )
