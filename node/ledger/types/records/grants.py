"""cons.grant, cons.amend and cons.revoke, and the end of grants whose time is over.

Active grants are kept apart from ended ones, so that a decision reads at most
ACTIVE_GRANTS_PER_PATIENT_MAX rows however long a patient's history is. Expiry is decided by the
period itself; the due work only tidies up and tells.
"""

from __future__ import annotations

from typing import Final

import msgspec

from node.ledger.codes import Code
from node.ledger.context import Context
from node.ledger.errors import TxError, refuse_unless
from node.ledger.params import param
from node.ledger.types.records.authority import (
    active_patient,
    patient_of,
    voice_of,
    voice_to_close,
)
from node.ledger.types.records.bodies import AmendConsent, GrantConsent, RevokeConsent
from node.ledger.types.records.checks import check_grantees, check_terms, includes
from node.ledger.types.records.limits import ACTIVE_GRANTS_PER_PATIENT_MAX
from node.ledger.types.records.parameters import GRANT_TERM
from node.ledger.types.records.rows import (
    ACTIVE_GRANTS,
    ENDED_GRANTS,
    GRANT_PATIENTS,
    PATIENTS,
    Grant,
    PatientRef,
)
from node.ledger.types.records.terms import (
    NOBODY,
    Decision,
    GrantStatus,
    RevokeReason,
    require_maybe_hashes,
)

GRANT_EXPIRY: Final = "grant_expiry"


def grant(body: GrantConsent, ctx: Context) -> None:
    """A patient allows or denies something."""
    require_maybe_hashes(body.form_hash)
    check_terms(body.decision, body.scope, body.exceptions, body.form_hash)
    refuse_unless(body.not_after_ms != 0, Code.SCHEMA, "a grant has an end")
    refuse_unless(body.not_before_ms < body.not_after_ms, Code.SCHEMA, "the period is reversed")
    patient = active_patient(ctx, body.pid)
    voice = voice_of(ctx, body.pid, patient, body.form_hash)
    refuse_unless(body.not_after_ms > ctx.time_ms, Code.TTL, "the end of the grant has passed")
    refuse_unless(
        body.not_after_ms <= ctx.time_ms + param(ctx, GRANT_TERM),
        Code.TTL,
        "the end of the grant is too far ahead",
    )
    refuse_unless(
        not GRANT_PATIENTS.has(ctx.state, body.grant_id), Code.DUPLICATE, "the grant id is in use"
    )
    refuse_unless(
        patient.active_grants < ACTIVE_GRANTS_PER_PATIENT_MAX, Code.LIMIT, "too many active grants"
    )
    check_grantees(ctx, body.decision, body.scope, body.exceptions)
    row = Grant(
        grant_id=body.grant_id,
        decision=body.decision,
        scope=body.scope,
        exceptions=body.exceptions,
        not_before_ms=body.not_before_ms,
        not_after_ms=body.not_after_ms,
        delegable=body.delegable,
        form_hash=body.form_hash,
        parent=NOBODY,
        grantor=voice.grantor,
        witness=voice.witness,
        version=1,
        granted=ctx.height,
        status=GrantStatus.ACTIVE,
        reason=RevokeReason.UNSPECIFIED,
        ended=0,
        ended_ms=0,
    )
    ACTIVE_GRANTS.put(ctx.state, row, body.pid, body.grant_id)
    GRANT_PATIENTS.put(ctx.state, PatientRef(body.pid), body.grant_id)
    _count(ctx, body.pid, +1)
    ctx.schedule(body.not_after_ms, GRANT_EXPIRY, body.grant_id)
    _tell(ctx, body.pid, row, "granted")


def amend(body: AmendConsent, ctx: Context) -> None:
    """A patient narrows what a grant permits.

    A denial is replaced by another, never made smaller on the quiet.
    """
    require_maybe_hashes(body.form_hash)
    pid = _pid_of(ctx, body.grant_id)
    patient = active_patient(ctx, pid)
    voice = voice_of(ctx, pid, patient, body.form_hash)
    row = ACTIVE_GRANTS.get(ctx.state, pid, body.grant_id)
    if row is None or ctx.time_ms >= row.not_after_ms:
        raise TxError(Code.STATE, "the grant has ended")
    refuse_unless(row.version == body.prev_version, Code.VERSION, "there is a newer version")
    form_hash = body.form_hash or row.form_hash
    check_terms(row.decision, body.scope, body.exceptions, form_hash)
    refuse_unless(row.decision is Decision.PERMIT, Code.SCOPE, "a denial cannot be narrowed")
    refuse_unless(_narrower(row, body), Code.SCOPE, "more would be permitted than before")
    refuse_unless(body.not_after_ms > ctx.time_ms, Code.TTL, "the end of the grant has passed")
    check_grantees(ctx, row.decision, body.scope, body.exceptions)
    amended = msgspec.structs.replace(
        row,
        scope=body.scope,
        exceptions=body.exceptions,
        not_after_ms=body.not_after_ms,
        form_hash=form_hash,
        grantor=voice.grantor,
        witness=voice.witness,
        version=row.version + 1,
    )
    ACTIVE_GRANTS.put(ctx.state, amended, pid, body.grant_id)
    ctx.cancel(row.not_after_ms, GRANT_EXPIRY, body.grant_id)
    ctx.schedule(body.not_after_ms, GRANT_EXPIRY, body.grant_id)
    _tell(ctx, pid, amended, "amended")


def revoke(body: RevokeConsent, ctx: Context) -> None:
    """A patient takes a grant back: from here on, within this block too, it matches nothing.

    Nothing but the wrong signature stops it, and doing it again changes nothing. Of a grant that
    may deny, a registrar alone cannot dispose: without it, others might see more.
    """
    require_maybe_hashes(body.form_hash)
    pid = _pid_of(ctx, body.grant_id)
    patient = patient_of(ctx, pid)
    row = ACTIVE_GRANTS.get(ctx.state, pid, body.grant_id)
    if row is not None and may_deny(row):
        voice_of(ctx, pid, patient, body.form_hash)
    else:
        voice_to_close(ctx, pid, patient, body.form_hash)
    if row is None:
        return
    ctx.cancel(row.not_after_ms, GRANT_EXPIRY, body.grant_id)
    _end(ctx, pid, row, GrantStatus.REVOKED, body.reason)


def expire(grant_id: bytes, ctx: Context) -> None:
    """Due work: the time of a grant is over."""
    ref = GRANT_PATIENTS.get(ctx.state, grant_id)
    row = None if ref is None else ACTIVE_GRANTS.get(ctx.state, ref.pid, grant_id)
    if ref is not None and row is not None and ctx.time_ms >= row.not_after_ms:
        _end(ctx, ref.pid, row, GrantStatus.EXPIRED, RevokeReason.UNSPECIFIED)


def may_deny(row: Grant) -> bool:
    """Whether the grant denies anything: as a whole, or in its exceptions."""
    return row.decision is Decision.DENY or row.exceptions != ()


def _narrower(row: Grant, body: AmendConsent) -> bool:
    return (
        body.not_after_ms <= row.not_after_ms
        and includes(row.scope, body.scope)
        and all(any(includes(new, old) for new in body.exceptions) for old in row.exceptions)
    )


def _pid_of(ctx: Context, grant_id: bytes) -> bytes:
    ref = GRANT_PATIENTS.get(ctx.state, grant_id)
    if ref is None:
        raise TxError(Code.NOT_FOUND, "no such grant")
    return ref.pid


def _end(ctx: Context, pid: bytes, row: Grant, status: GrantStatus, reason: RevokeReason) -> None:
    ended = msgspec.structs.replace(
        row, status=status, reason=reason, ended=ctx.height, ended_ms=ctx.time_ms
    )
    ACTIVE_GRANTS.delete(ctx.state, pid, row.grant_id)
    ENDED_GRANTS.put(ctx.state, ended, pid, row.grant_id)
    _count(ctx, pid, -1)
    _tell(ctx, pid, ended, status.value)


def _count(ctx: Context, pid: bytes, step: int) -> None:
    patient = patient_of(ctx, pid)
    row = msgspec.structs.replace(patient, active_grants=patient.active_grants + step)
    PATIENTS.put(ctx.state, row, pid)


def _tell(ctx: Context, pid: bytes, row: Grant, change: str) -> None:
    ctx.emit(
        "rec.grant_changed",
        grant_id=row.grant_id,
        pid=pid,
        change=change,
        decision=row.decision,
        version=row.version,
    )
