"""rec.access.log and rec.access.receipt: the custodian's decision, written before anything leaves
its vault, and what arrived.

A permit is not taken on trust: every validator evaluates consent again, in the state in which the
log entry executes. If the patient revoked one block earlier, or one transaction earlier, the entry
fails and nothing may be released.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from itertools import islice
from typing import Final

import msgspec

from medquorum.invariants import require
from node.ledger.access import has_role, require_org_active, signer_of_actor, signer_with_role
from node.ledger.codes import Code
from node.ledger.context import Context, View
from node.ledger.errors import TxError, refuse_unless
from node.ledger.params import param
from node.ledger.roles import Role
from node.ledger.tables import ReadableState
from node.ledger.types.records.authority import active_patient, has_keys, patient_of
from node.ledger.types.records.bodies import LogAccess, ReceiveAccess
from node.ledger.types.records.consent import (
    Ask,
    Defaults,
    Target,
    Verdict,
    applicable,
    decide,
)
from node.ledger.types.records.limits import ACTIVE_GRANTS_PER_PATIENT_MAX
from node.ledger.types.records.parameters import RECEIPT_DEADLINE
from node.ledger.types.records.requests import REQUEST_EXPIRY
from node.ledger.types.records.rows import (
    ACTIVE_GRANTS,
    LOG,
    RECEIPTS,
    RECORDS,
    REQUESTS,
    Basis,
    Grant,
    LogEntry,
    Patient,
    Receipt,
    Record,
    Released,
    Request,
)
from node.ledger.types.records.terms import (
    HASH_BYTES,
    NOBODY,
    Action,
    Decision,
    DenyReason,
    RecordStatus,
    RequestState,
    require_distinct,
)

RECEIPT_DUE: Final = "receipt_due"
RELEASE_TAG: Final = b"medquorum/release/v1\0"


def released_hash(ct_hashes: Sequence[bytes]) -> bytes:
    """What a receipt shows: the hash of the ciphertexts' hashes, in the order of the log entry."""
    return sha256(RELEASE_TAG + b"".join(ct_hashes)).digest()


def log(body: LogAccess, ctx: Context) -> None:
    """The custodian of the records decides on a pending request."""
    _check_form(body)
    request = REQUESTS.get(ctx.state, body.req_id)
    if request is None:
        raise TxError(Code.NOT_FOUND, "no such request")
    patient = patient_of(ctx, request.pid)
    records = [_record(rec_id, request, ctx) for rec_id in body.records]
    custodian = records[0].custodian if records else patient.org
    gateway = signer_with_role(ctx, Role.CUSTODIAN_GATEWAY, custodian).actor
    refuse_unless(
        all(record.custodian == custodian for record in records),
        Code.ORG,
        "a log entry is about records of one custodian",
    )
    _check_open(request, ctx)
    bases: tuple[Basis, ...] = ()
    if body.decision is Decision.PERMIT:
        bases = _grounds(request, records, ctx)
    entry = LogEntry(
        decision=body.decision,
        deny_reason=body.deny_reason,
        records=tuple(
            Released(rec_id, record.head.version)
            for rec_id, record in zip(body.records, records, strict=True)
        ),
        bases=bases,
        envelope_hash=body.envelope_hash,
        released_hash=_expected(body.decision, records),
        custodian=custodian,
        gateway=gateway,
        height=ctx.height,
        time_ms=ctx.time_ms,
        receipt_due_ms=_receipt_due_ms(body.decision, ctx),
    )
    LOG.put(ctx.state, entry, body.req_id)
    ctx.cancel(request.expires_ms, REQUEST_EXPIRY, body.req_id)
    _settle(body.req_id, request, entry, ctx)


def receive(body: ReceiveAccess, ctx: Context) -> None:
    """The requester says what arrived, once.

    What does not match is recorded all the same, and told.
    """
    request = REQUESTS.get(ctx.state, body.req_id)
    if request is None:
        raise TxError(Code.NOT_FOUND, "no such request")
    signer_of_actor(ctx, request.actor)
    refuse_unless(not RECEIPTS.has(ctx.state, body.req_id), Code.DUPLICATE, "the receipt was given")
    entry = LOG.get(ctx.state, body.req_id)
    if entry is None or request.state is not RequestState.PERMITTED:
        raise TxError(Code.STATE, "nothing was released")
    matches = body.ct_hash == entry.released_hash
    row = Receipt(body.ct_hash, int(matches), ctx.height, ctx.time_ms)
    RECEIPTS.put(ctx.state, row, body.req_id)
    replaced = msgspec.structs.replace(request, state=RequestState.RECEIPTED)
    REQUESTS.put(ctx.state, replaced, body.req_id)
    ctx.cancel(entry.receipt_due_ms, RECEIPT_DUE, body.req_id)
    ctx.emit(
        "rec.access_receipted" if matches else "rec.receipt_mismatch",
        req_id=body.req_id,
        pid=request.pid,
    )


def receipt_due(req_id: bytes, ctx: Context) -> None:
    """Due work: tell if the receipt is missing. It is still welcome later."""
    request = REQUESTS.get(ctx.state, req_id)
    if request is not None and request.state is RequestState.PERMITTED:
        ctx.emit("rec.receipt_missing", req_id=req_id, pid=request.pid)


def defaults_of(pid: bytes, patient: Patient) -> Defaults:
    """What evaluation needs of a patient's row."""
    return Defaults(pid, patient.default_policy, patient.ceiling)


def grants_of(state: ReadableState, pid: bytes) -> tuple[Grant, ...]:
    """The patient's active grants, at most ACTIVE_GRANTS_PER_PATIENT_MAX."""
    rows = islice(ACTIVE_GRANTS.rows(state, pid), ACTIVE_GRANTS_PER_PATIENT_MAX + 1)
    grants = tuple(row for _, row in rows)
    require(len(grants) <= ACTIVE_GRANTS_PER_PATIENT_MAX, "a patient has too many active grants")
    return grants


def requester_stands(request: Request, view: View) -> bool:
    """Whether the requester still holds the role in which they asked."""
    if request.role == Role.PATIENT:
        return has_keys(view, request.pid, request.org)
    return has_role(view, request.actor, request.role, request.org)


def _check_form(body: LogAccess) -> None:
    require_distinct(body.records, "a record")
    permit = body.decision is Decision.PERMIT
    refuse_unless(
        permit == (body.deny_reason is DenyReason.NONE),
        Code.SCHEMA,
        "a denial has a reason, a permit has none",
    )
    refuse_unless(
        len(body.envelope_hash) == (HASH_BYTES if permit else 0),
        Code.SCHEMA,
        "a permit has an envelope, a denial has none",
    )
    refuse_unless(not permit or len(body.records) > 0, Code.SCHEMA, "a permit names its records")


def _record(rec_id: bytes, request: Request, ctx: Context) -> Record:
    record = RECORDS.get(ctx.state, rec_id)
    if record is None or record.pid != request.pid:
        raise TxError(Code.NOT_FOUND, "the patient has no such record")
    return record


def _check_open(request: Request, ctx: Context) -> None:
    refuse_unless(
        request.state in (RequestState.PENDING, RequestState.EXPIRED),
        Code.STATE,
        f"the request is {request.state.value}",
    )
    refuse_unless(
        request.state is RequestState.PENDING and ctx.time_ms < request.expires_ms,
        Code.EXPIRED,
        "the request was not decided in time",
    )


def _grounds(request: Request, records: Sequence[Record], ctx: Context) -> tuple[Basis, ...]:
    """The distinct grounds on which all of the records may be seen, in the order in which they were
    found.

    E_CONSENT if one of them may not; E_SCOPE, E_STATE, E_ROLE, E_ORG if consent is not even the
    question.
    """
    patient = active_patient(ctx, request.pid)
    refuse_unless(requester_stands(request, ctx), Code.ROLE, "the requester lost the role")
    require_org_active(ctx, request.org)
    ask = Ask(
        actor=request.actor,
        org=request.org,
        role=request.role,
        purpose=request.purpose,
        action=Action.ACCESS,
        now_ms=ctx.time_ms,
    )
    defaults = defaults_of(request.pid, patient)
    grants = applicable(grants_of(ctx.state, request.pid), ask)
    verdicts: dict[Target, Verdict] = {}
    bases: dict[Basis, None] = {}
    for record in records:
        refuse_unless(
            record.status is RecordStatus.LIVE, Code.STATE, f"a record is {record.status.value}"
        )
        refuse_unless(
            record.record_class in request.classes, Code.SCOPE, "a class that was not asked for"
        )
        target = target_of(record)
        verdict = verdicts.get(target)
        if verdict is None:
            verdict = verdicts[target] = decide(defaults, grants, ask, target)
        refuse_unless(verdict.permitted, Code.CONSENT, verdict.rule.value)
        bases[Basis(verdict.rule, verdict.grant_id)] = None
    return tuple(bases)


def target_of(record: Record) -> Target:
    """What consent sees of a record."""
    return Target(record.record_class, record.head.confidentiality, record.anchored_ms)


def _expected(decision: Decision, records: Sequence[Record]) -> bytes:
    if decision is Decision.DENY:
        return NOBODY
    return released_hash([record.head.ct_hash for record in records])


def _receipt_due_ms(decision: Decision, ctx: Context) -> int:
    return 0 if decision is Decision.DENY else ctx.time_ms + param(ctx, RECEIPT_DEADLINE)


def _settle(req_id: bytes, request: Request, entry: LogEntry, ctx: Context) -> None:
    permitted = entry.decision is Decision.PERMIT
    state = RequestState.PERMITTED if permitted else RequestState.DENIED
    REQUESTS.put(ctx.state, msgspec.structs.replace(request, state=state), req_id)
    if permitted:
        ctx.schedule(entry.receipt_due_ms, RECEIPT_DUE, req_id)
        ctx.emit(
            "rec.access_permitted",
            req_id=req_id,
            pid=request.pid,
            actor=request.actor,
            purpose=request.purpose,
            records=len(entry.records),
        )
    else:
        ctx.emit(
            "rec.access_denied",
            req_id=req_id,
            pid=request.pid,
            actor=request.actor,
            purpose=request.purpose,
            reason=entry.deny_reason,
        )
