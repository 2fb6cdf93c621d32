"""What can be asked about records, consent and access."""

from __future__ import annotations

from typing import TypeVar

import msgspec
import pytest

from node.ledger.roles import Role
from node.ledger.types.records import MODULE
from node.ledger.types.records.answers import (
    CanAccessAnswer,
    CanAccessParams,
    GrantsAnswer,
    HistoryAnswer,
    PatientAnswer,
    RecordsAnswer,
    RequestAnswer,
    RequestsAnswer,
)
from node.ledger.types.records.classes import Confidentiality, RecordClass
from node.ledger.types.records.purposes import Purpose
from node.ledger.types.records.terms import Decision, RequestState
from tests.support.ledger import some_id
from tests.support.records import ANYTHING, Clinic, scope

AnswerT = TypeVar("AnswerT")
C = Confidentiality


@pytest.fixture
def clinic() -> Clinic:
    return Clinic()


def asked(clinic: Clinic, kind: type[AnswerT], name: str, **params: object) -> AnswerT:
    answer = clinic.ledger.query(name, **params)
    assert isinstance(answer, kind)
    return answer


def can_access(clinic: Clinic, **changes: object) -> CanAccessAnswer:
    params: dict[str, object] = {
        "actor": clinic.consultant.id,
        "pid": clinic.pid,
        "record_class": RecordClass.OBSERVATION,
        "confidentiality": C.N,
        "purpose": Purpose.TREAT,
    }
    return asked(clinic, CanAccessAnswer, "rec.can_access", **(params | changes))


def test_a_patient_is_shown_with_the_default_policy(clinic: Clinic) -> None:
    answer = asked(clinic, PatientAnswer, "rec.patient", pid=clinic.pid)
    assert (answer.org, answer.ceiling) == (clinic.org.id, C.N)
    assert clinic.ledger.query("rec.patient", pid=some_id("nobody")) is None


def test_the_history_of_a_record_is_complete_and_paged(clinic: Clinic) -> None:
    rec_id = clinic.anchor().rec_id
    for version in (1, 2, 3):
        operation = clinic.op("rec.amend", clinic.amending(rec_id, version))
        clinic.ledger.accept(operation, by=clinic.clinician)
    page = asked(clinic, HistoryAnswer, "rec.history", rec_id=rec_id, limit=2)
    assert [one.version for one in page.items] == [1, 2]
    assert page.record.head.version == 4
    rest = asked(
        clinic, HistoryAnswer, "rec.history", rec_id=rec_id, limit=2, cursor=page.next_cursor
    )
    assert ([one.version for one in rest.items], rest.next_cursor) == ([3], b"")
    assert clinic.ledger.query("rec.history", rec_id=some_id("none")) is None


def test_the_records_of_a_patient_come_in_the_order_of_anchoring(clinic: Clinic) -> None:
    clinic.anchor(clinic.register(some_id("another")))
    ids = [clinic.anchor().rec_id for _ in range(5)]
    found: list[bytes] = []
    cursor = b""
    for _ in range(3):
        page = asked(
            clinic, RecordsAnswer, "rec.of_patient", pid=clinic.pid, limit=2, cursor=cursor
        )
        found += [one.rec_id for one in page.items]
        cursor = page.next_cursor
    assert (found, cursor) == (ids, b"")


def test_grants_are_shown_while_they_may_match_and_after(clinic: Clinic) -> None:
    kept, gone = clinic.grant(exceptions=(scope(ANYTHING, floor=C.N),)), clinic.grant()
    clinic.ledger.accept(clinic.revoking(gone.grant_id), by=clinic.patient)
    active = asked(clinic, GrantsAnswer, "rec.grants", pid=clinic.pid)
    ended = asked(clinic, GrantsAnswer, "rec.grants", pid=clinic.pid, ended=True)
    assert [one.grant_id for one in active.items] == [kept.grant_id]
    assert [one.grant_id for one in ended.items] == [gone.grant_id]
    shown = msgspec.structs.asdict(active.items[0].scope)
    assert shown == msgspec.structs.asdict(kept.scope)


def test_can_access_explains_itself(clinic: Clinic) -> None:
    assert can_access(clinic).rule == "default_deny"
    grant = clinic.grant()
    answer = can_access(clinic)
    assert (answer.permitted, answer.rule, answer.grant_id) == (
        True,
        "grant_permit",
        grant.grant_id,
    )
    assert (answer.role, answer.org) == ("clinician", clinic.elsewhere.id)
    assert can_access(clinic, confidentiality=C.R).rule == "default_deny"
    assert can_access(clinic, purpose=Purpose.HPAYMT).rule == "beyond_need"
    assert can_access(clinic, record_class=RecordClass.BILLING).rule == "beyond_need"
    assert can_access(clinic, role="nurse").rule == "no_role"
    assert can_access(clinic, actor=clinic.porter.id).rule == "no_role"
    assert can_access(clinic, actor=some_id("nobody")).rule == "unknown_actor"
    assert can_access(clinic, pid=some_id("nobody")).rule == "unknown_patient"
    own = can_access(clinic, actor=clinic.pid, purpose=Purpose.PATRQT)
    assert (own.permitted, own.rule) == (True, "own_record")
    clinic.grant(Decision.DENY)
    assert can_access(clinic).rule == "grant_deny"
    clinic.ledger.suspend(clinic.elsewhere)
    clinic.ledger.block()
    assert can_access(clinic).rule == "inactive_org"


def test_can_access_finds_the_role_that_opens(clinic: Clinic) -> None:
    clinic.grant(about=scope(grantee_org=clinic.elsewhere.id, grantee_role="nurse"))
    assert not can_access(clinic).permitted
    clinic.ledger.grant(clinic.consultant, Role.NURSE)
    answer = can_access(clinic)
    assert (answer.permitted, answer.role) == (True, "nurse")


def test_can_access_agrees_with_what_the_ledger_then_does(clinic: Clinic) -> None:
    grant, record = clinic.grant(), clinic.anchor()
    request = clinic.request()
    assert can_access(clinic).permitted
    clinic.ledger.accept(clinic.revoking(grant.grant_id), by=clinic.patient)
    assert not can_access(clinic).permitted
    permit = clinic.ledger.tx(clinic.permit(request.req_id, [record.rec_id]), by=clinic.gateway)
    assert clinic.ledger.block(permit)[0].code == "E_CONSENT"


def test_the_patient_sees_everybody_who_asked(clinic: Clinic) -> None:
    clinic.grant()
    record = clinic.anchor()
    requests = [clinic.request() for _ in range(3)]
    permit = clinic.permit(requests[0].req_id, [record.rec_id])
    clinic.ledger.accept(permit, by=clinic.gateway)
    clinic.ledger.accept(clinic.deny(requests[1].req_id), by=clinic.gateway)
    clinic.ledger.pass_time(hours=1)
    answer = asked(clinic, RequestsAnswer, "rec.who_accessed", pid=clinic.pid)
    assert [one.req_id for one in answer.items] == [one.req_id for one in requests]
    states = [RequestState.PERMITTED, RequestState.DENIED, RequestState.EXPIRED]
    assert [one.state for one in answer.items] == states
    log = answer.items[0].log
    assert log is not None
    assert [one.rec_id for one in log.records] == [record.rec_id]
    one = asked(clinic, RequestAnswer, "rec.request", req_id=requests[1].req_id)
    assert one == answer.items[1]
    assert clinic.ledger.query("rec.request", req_id=some_id("none")) is None


def test_who_accessed_is_bounded_by_heights_and_paged(clinic: Clinic) -> None:
    ids, at = [], []
    for _ in range(5):
        ids.append(clinic.request().req_id)
        at.append(clinic.ledger.height)
    middle = asked(
        clinic,
        RequestsAnswer,
        "rec.who_accessed",
        pid=clinic.pid,
        from_height=at[1],
        to_height=at[3],
        limit=2,
    )
    assert [one.req_id for one in middle.items] == ids[1:3]
    rest = asked(
        clinic,
        RequestsAnswer,
        "rec.who_accessed",
        pid=clinic.pid,
        from_height=at[1],
        to_height=at[3],
        limit=2,
        cursor=middle.next_cursor,
    )
    assert [one.req_id for one in rest.items] == ids[3:4]
    assert rest.next_cursor == b""


def test_parameters_decode_from_text_and_answers_become_json(clinic: Clinic) -> None:
    fields = {
        "actor": "",
        "pid": "",
        "record_class": "observation",
        "confidentiality": "3",
        "purpose": "treat",
    }
    params = msgspec.convert(fields, CanAccessParams, strict=False)
    assert (params.confidentiality, params.purpose) == (C.N, Purpose.TREAT)
    clinic.grant()
    clinic.anchor()
    clinic.request()
    for query in MODULE.queries:
        wanted = {"pid", "actor", "rec_id", "req_id"} & set(query.params.__struct_fields__)
        if query.name == "rec.can_access":
            answer: object = can_access(clinic)
        else:
            answer = clinic.ledger.query(query.name, **dict.fromkeys(wanted, clinic.pid))
        assert msgspec.json.encode(answer)
