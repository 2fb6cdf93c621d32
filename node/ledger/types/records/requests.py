"""rec.access.request: somebody asks to see records of a patient; and the end of requests that
nobody decided.
"""

from __future__ import annotations

from typing import Final

import msgspec

from node.ledger.access import require_org_active, signer_of_actor, signer_with_role
from node.ledger.codes import Code
from node.ledger.context import Context
from node.ledger.errors import TxError, refuse_unless
from node.ledger.params import param
from node.ledger.roles import Role
from node.ledger.types.records.authority import active_patient, has_keys
from node.ledger.types.records.bodies import RequestAccess
from node.ledger.types.records.necessity import may_ask
from node.ledger.types.records.parameters import REQUEST_TTL
from node.ledger.types.records.purposes import Purpose
from node.ledger.types.records.rows import (
    ACTIVE_GRANTS,
    PATIENT_REQUESTS,
    PRESENT,
    REQUESTS,
    Patient,
    Request,
)
from node.ledger.types.records.terms import (
    NOBODY,
    ROLES,
    RequestState,
    require_distinct,
    require_maybe_hashes,
)

REQUEST_EXPIRY: Final = "request_expiry"


def request(body: RequestAccess, ctx: Context) -> None:
    """Ask.

    Whether the patient consents is decided when the custodian answers, by the state of that height.
    """
    require_maybe_hashes(body.grant_id)
    require_distinct(body.classes, "a class")
    refuse_unless(body.role in ROLES, Code.SCHEMA, "unknown role")
    patient = active_patient(ctx, body.pid)
    actor = _requester(body, patient, ctx)
    require_org_active(ctx, body.org)
    refuse_unless(body.purpose is not Purpose.BTG, Code.SCOPE, "the glass is not broken by asking")
    refuse_unless(
        may_ask(body.role, body.purpose, body.classes),
        Code.SCOPE,
        "more than the role needs for the purpose",
    )
    refuse_unless(
        not REQUESTS.has(ctx.state, body.req_id), Code.DUPLICATE, "the request id is in use"
    )
    if body.grant_id != NOBODY:
        refuse_unless(
            ACTIVE_GRANTS.has(ctx.state, body.pid, body.grant_id),
            Code.NOT_FOUND,
            "the patient has no such active grant",
        )
    expires_ms = ctx.time_ms + param(ctx, REQUEST_TTL)
    row = Request(
        pid=body.pid,
        actor=actor,
        org=body.org,
        role=body.role,
        purpose=body.purpose,
        classes=body.classes,
        grant_id=body.grant_id,
        min_necessary_hash=body.min_necessary_hash,
        requested=ctx.height,
        requested_ms=ctx.time_ms,
        expires_ms=expires_ms,
        state=RequestState.PENDING,
    )
    REQUESTS.put(ctx.state, row, body.req_id)
    PATIENT_REQUESTS.put(ctx.state, PRESENT, body.pid, ctx.height, body.req_id)
    ctx.schedule(expires_ms, REQUEST_EXPIRY, body.req_id)
    ctx.emit(
        "rec.access_requested",
        req_id=body.req_id,
        pid=body.pid,
        actor=actor,
        org=body.org,
        purpose=body.purpose,
    )


def expire(req_id: bytes, ctx: Context) -> None:
    """Due work: nobody decided in time."""
    row = REQUESTS.get(ctx.state, req_id)
    if row is None or row.state is not RequestState.PENDING or ctx.time_ms < row.expires_ms:
        return
    REQUESTS.put(ctx.state, msgspec.structs.replace(row, state=RequestState.EXPIRED), req_id)
    ctx.emit("rec.access_expired", req_id=req_id, pid=row.pid)


def _requester(body: RequestAccess, patient: Patient, ctx: Context) -> bytes:
    if body.role != Role.PATIENT:
        signer = signer_with_role(ctx, body.role, body.org)
        # An organisation's root key is an administrator, and administrators do not read records.
        refuse_unless(signer.actor != NOBODY, Code.ROLE, "records are asked for by people")
        return signer.actor
    if body.org != patient.org or not has_keys(ctx, body.pid, patient.org):
        raise TxError(Code.ROLE, "a patient asks for their own records, at their hospital")
    return signer_of_actor(ctx, body.pid).actor
