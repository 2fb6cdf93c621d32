"""What can be asked about records, consent and access."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile
from typing import Final

from msgspec.structs import asdict

from node.ledger.access import has_role
from node.ledger.context import View
from node.ledger.identities import actor_of, org_of
from node.ledger.paging import take
from node.ledger.roles import Role
from node.ledger.tables import ReadableState
from node.ledger.txtype import Query
from node.ledger.types.records import answers
from node.ledger.types.records.authority import has_keys
from node.ledger.types.records.consent import Ask, Target, Verdict, evaluate
from node.ledger.types.records.necessity import NEEDS, may_ask
from node.ledger.types.records.releases import defaults_of, grants_of
from node.ledger.types.records.rows import (
    ACTIVE_GRANTS,
    ENDED_GRANTS,
    LOG,
    NAMESPACE,
    PATIENT_RECORDS,
    PATIENT_REQUESTS,
    PATIENTS,
    RECEIPTS,
    RECORDS,
    REQUESTS,
    VERSIONS,
    Grant,
    LogEntry,
    Patient,
    Present,
    Receipt,
    Record,
    Request,
    Version,
)
from node.ledger.types.records.terms import NOBODY, Scope

_HEIGHT_BYTES: Final = 8
_ID_BYTES: Final = 32


def patient(params: answers.PatientParams, view: View) -> answers.PatientAnswer | None:
    """rec.patient."""
    row = PATIENTS.get(view.read(NAMESPACE), params.pid)
    return None if row is None else answers.PatientAnswer(pid=params.pid, **asdict(row))


def history(params: answers.HistoryParams, view: View) -> answers.HistoryAnswer | None:
    """rec.history."""
    state = view.read(NAMESPACE)
    row = RECORDS.get(state, params.rec_id)
    if row is None:
        return None
    versions, cursor = take(VERSIONS.rows(state, params.rec_id, after=params.cursor), params.limit)
    return answers.HistoryAnswer(
        record=_shown_record(params.rec_id, row),
        items=tuple(_shown_version(version) for _, version in versions),
        next_cursor=cursor,
    )


def of_patient(params: answers.OfPatientParams, view: View) -> answers.RecordsAnswer:
    """rec.of_patient."""
    state = view.read(NAMESPACE)
    listed, cursor = take(
        PATIENT_RECORDS.rows(state, params.pid, after=params.cursor), params.limit
    )
    items = (
        _shown_record(rec_id, row)
        for rec_id in (remainder[_HEIGHT_BYTES:] for remainder, _ in listed)
        if (row := RECORDS.get(state, rec_id)) is not None
    )
    return answers.RecordsAnswer(items=tuple(items), next_cursor=cursor)


def grants(params: answers.GrantsParams, view: View) -> answers.GrantsAnswer:
    """rec.grants."""
    table = ENDED_GRANTS if params.ended else ACTIVE_GRANTS
    rows = table.rows(view.read(NAMESPACE), params.pid, after=params.cursor)
    listed, cursor = take(rows, params.limit)
    return answers.GrantsAnswer(
        items=tuple(_shown_grant(row) for _, row in listed), next_cursor=cursor
    )


def can_access(params: answers.CanAccessParams, view: View) -> answers.CanAccessAnswer:
    """rec.can_access: a dry run of rec.access.request and rec.access.log."""
    state = view.read(NAMESPACE)
    row = PATIENTS.get(state, params.pid)
    actor = actor_of(view, params.actor)
    if row is None:
        return _refused(params, view, "unknown_patient")
    if actor is None:
        return _refused(params, view, "unknown_actor")
    org = params.org or actor.org
    member = org_of(view, org)
    if member is None or member.suspended(view.height):
        return _refused(params, view, "inactive_org", org)
    roles = [
        role for role in NEEDS if params.role in ("", role) and _holds(role, org, params, row, view)
    ]
    if roles == []:
        return _refused(params, view, "no_role", org)
    needing = [role for role in roles if may_ask(role, params.purpose, (params.record_class,))]
    if needing == []:
        return _refused(params, view, "beyond_need", org, roles[0])
    judged = [_judged(role, org, params, row, view) for role in needing]
    return next((one for one in judged if one.permitted), judged[0])


def who_accessed(params: answers.WhoAccessedParams, view: View) -> answers.RequestsAnswer:
    """rec.who_accessed: everybody who asked, whatever came of it."""
    state = view.read(NAMESPACE)
    after = params.cursor
    if after == b"" and params.from_height > 0:
        after = (params.from_height - 1).to_bytes(_HEIGHT_BYTES, "big") + b"\xff" * _ID_BYTES
    listed, cursor = take(_until(params, state, after), params.limit)
    items = (
        _shown_request(req_id, row, state)
        for req_id in (remainder[_HEIGHT_BYTES:] for remainder, _ in listed)
        if (row := REQUESTS.get(state, req_id)) is not None
    )
    return answers.RequestsAnswer(items=tuple(items), next_cursor=cursor)


def request(params: answers.RequestParams, view: View) -> answers.RequestAnswer | None:
    """rec.request."""
    state = view.read(NAMESPACE)
    row = REQUESTS.get(state, params.req_id)
    return None if row is None else _shown_request(params.req_id, row, state)


QUERIES: Final = (
    Query("rec.patient", answers.PatientParams, patient, "A pseudonym and its default policy"),
    Query("rec.history", answers.HistoryParams, history, "A record and all its versions"),
    Query("rec.of_patient", answers.OfPatientParams, of_patient, "The records of a patient"),
    Query("rec.grants", answers.GrantsParams, grants, "What a patient has allowed and denied"),
    Query(
        "rec.can_access",
        answers.CanAccessParams,
        can_access,
        "Whether somebody could see a record now, and by which rule",
    ),
    Query(
        "rec.who_accessed",
        answers.WhoAccessedParams,
        who_accessed,
        "Who asked to see a patient's records, and what came of it",
    ),
    Query("rec.request", answers.RequestParams, request, "An access request and what came of it"),
)


def _until(
    params: answers.WhoAccessedParams, state: ReadableState, after: bytes
) -> Iterator[tuple[bytes, Present]]:
    rows = PATIENT_REQUESTS.rows(state, params.pid, after=after)
    return takewhile(
        lambda row: int.from_bytes(row[0][:_HEIGHT_BYTES], "big") <= params.to_height, rows
    )


def _holds(
    role: Role, org: bytes, params: answers.CanAccessParams, row: Patient, view: View
) -> bool:
    if role is Role.PATIENT:
        return params.actor == params.pid and has_keys(view, params.pid, row.org)
    return has_role(view, params.actor, role, org)


def _judged(
    role: Role, org: bytes, params: answers.CanAccessParams, row: Patient, view: View
) -> answers.CanAccessAnswer:
    ask = Ask(params.actor, org, role, params.purpose, params.action, view.time_ms)
    target = Target(params.record_class, params.confidentiality, params.anchored_ms or view.time_ms)
    verdict: Verdict = evaluate(
        defaults_of(params.pid, row), grants_of(view.read(NAMESPACE), params.pid), ask, target
    )
    return answers.CanAccessAnswer(
        permitted=verdict.permitted,
        rule=verdict.rule,
        grant_id=verdict.grant_id,
        role=role,
        org=org,
        height=view.height,
    )


def _refused(
    params: answers.CanAccessParams, view: View, rule: str, org: bytes = NOBODY, role: str = ""
) -> answers.CanAccessAnswer:
    return answers.CanAccessAnswer(
        permitted=False,
        rule=rule,
        grant_id=NOBODY,
        role=role or params.role,
        org=org or params.org,
        height=view.height,
    )


def _shown_version(row: Version) -> answers.VersionAnswer:
    return answers.VersionAnswer(**asdict(row))


def _shown_record(rec_id: bytes, row: Record) -> answers.RecordAnswer:
    fields = asdict(row) | {"head": _shown_version(row.head)}
    return answers.RecordAnswer(rec_id=rec_id, **fields)


def _shown_scope(scope: Scope) -> answers.ScopeAnswer:
    return answers.ScopeAnswer(**asdict(scope))


def _shown_grant(row: Grant) -> answers.GrantAnswer:
    shown = {
        "scope": _shown_scope(row.scope),
        "exceptions": tuple(_shown_scope(one) for one in row.exceptions),
    }
    return answers.GrantAnswer(**(asdict(row) | shown))


def _shown_log(row: LogEntry) -> answers.LogAnswer:
    shown = {
        "records": tuple(answers.ReleasedAnswer(**asdict(one)) for one in row.records),
        "bases": tuple(answers.BasisAnswer(**asdict(one)) for one in row.bases),
    }
    return answers.LogAnswer(**(asdict(row) | shown))


def _shown_receipt(row: Receipt) -> answers.ReceiptAnswer:
    return answers.ReceiptAnswer(**asdict(row))


def _shown_request(req_id: bytes, row: Request, state: ReadableState) -> answers.RequestAnswer:
    entry = LOG.get(state, req_id)
    receipt = RECEIPTS.get(state, req_id)
    return answers.RequestAnswer(
        req_id=req_id,
        log=None if entry is None else _shown_log(entry),
        receipt=None if receipt is None else _shown_receipt(receipt),
        **asdict(row),
    )
