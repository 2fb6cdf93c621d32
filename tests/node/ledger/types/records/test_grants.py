"""Granting, narrowing and revoking consent on a running ledger."""

from __future__ import annotations

import msgspec
import pytest

from medquorum.codec import encode
from node.ledger import membership
from node.ledger.codes import Code
from node.ledger.membership import PAUSES, Pause
from node.ledger.roles import Role
from node.ledger.types.records.bodies import AmendConsent, GrantConsent
from node.ledger.types.records.classes import Confidentiality, RecordClass
from node.ledger.types.records.limits import ACTIVE_GRANTS_PER_PATIENT_MAX
from node.ledger.types.records.purposes import Purpose
from node.ledger.types.records.rows import ACTIVE_GRANTS, ENDED_GRANTS, PATIENTS, Grant
from node.ledger.types.records.terms import Action, Decision, GrantStatus
from tests.support.ledger import FAR_MS, attributes, some_id
from tests.support.records import ANYTHING, DAY_MS, FORM, Clinic, scope

C = Confidentiality
DENY = Decision.DENY
P = Purpose


@pytest.fixture
def clinic() -> Clinic:
    return Clinic()


def refused(clinic: Clinic, code: Code, body: GrantConsent) -> None:
    clinic.ledger.refuse(code, clinic.op("cons.grant", body), by=clinic.patient)


def amending(clinic: Clinic, body: GrantConsent, **changes: object) -> AmendConsent:
    same = AmendConsent(body.grant_id, 1, body.scope, body.exceptions, body.not_after_ms, b"")
    return msgspec.structs.replace(same, **changes)


def active(clinic: Clinic, grant_id: bytes) -> Grant | None:
    return ACTIVE_GRANTS.get(clinic.ledger.space("records"), clinic.pid, grant_id)


def ended(clinic: Clinic, grant_id: bytes) -> Grant | None:
    return ENDED_GRANTS.get(clinic.ledger.space("records"), clinic.pid, grant_id)


def counted(clinic: Clinic) -> int:
    row = PATIENTS.get(clinic.ledger.space("records"), clinic.pid)
    assert row is not None
    return row.active_grants


def test_a_patient_grants_and_the_grant_is_told(clinic: Clinic) -> None:
    body = clinic.granting()
    events = clinic.ledger.accept(clinic.op("cons.grant", body), by=clinic.patient)
    assert attributes(events[0]) == {
        "grant_id": body.grant_id,
        "pid": clinic.pid,
        "change": "granted",
        "decision": "permit",
        "version": 1,
    }
    row = active(clinic, body.grant_id)
    assert row is not None
    assert (row.grantor, row.witness) == (clinic.pid, b"")
    refused(clinic, Code.DUPLICATE, body)


def test_a_grant_ends_within_bounds(clinic: Clinic) -> None:
    now = clinic.ledger.time_ms
    refused(clinic, Code.SCHEMA, clinic.granting(not_after_ms=0))
    refused(clinic, Code.TTL, clinic.granting(not_after_ms=now))
    refused(clinic, Code.TTL, clinic.granting(not_after_ms=now + 3 * 365 * DAY_MS))
    end = now + DAY_MS
    refused(clinic, Code.SCHEMA, clinic.granting(not_after_ms=end, not_before_ms=end))


def test_marketing_and_research_are_consented_to_on_their_own(clinic: Clinic) -> None:
    def purposes(*wanted: Purpose, form_hash: bytes = FORM) -> GrantConsent:
        about = scope(purposes=wanted, grantee_org=clinic.elsewhere.id)
        return clinic.granting(about=about, form_hash=form_hash)

    refused(clinic, Code.SCHEMA, purposes(P.HMARKT, P.TREAT))
    refused(clinic, Code.SCHEMA, purposes(P.HMARKT, form_hash=b""))
    refused(clinic, Code.SCHEMA, purposes(P.HRESCH, P.TREAT))
    refused(clinic, Code.SCHEMA, purposes(P.PURPOSE_OF_USE))
    refused(clinic, Code.SCHEMA, purposes())
    refused(clinic, Code.SCHEMA, purposes(P.TREAT, P.TREAT))
    clinic.ledger.accept(clinic.op("cons.grant", purposes(P.HMARKT)), by=clinic.patient)
    research = purposes(P.CLINTRCH, P.DSRCH)
    clinic.ledger.accept(clinic.op("cons.grant", research), by=clinic.patient)


def test_the_most_secret_records_are_opened_to_somebody_by_name(clinic: Clinic) -> None:
    for blanket in (scope(ceiling=C.V), scope(ceiling=C.V, grantee_role="clinician")):
        refused(clinic, Code.SCOPE, clinic.granting(about=blanket))
        flipped = scope(ANYTHING, purposes=(P.TREAT,), grantee_role=blanket.grantee_role)
        about = scope(classes=(RecordClass.OBSERVATION, RecordClass.BILLING), ceiling=C.V)
        narrowed = scope(flipped, classes=(RecordClass.BILLING,))
        refused(clinic, Code.SCOPE, clinic.granting(DENY, about, (narrowed,)))
    clinic.grant(about=scope(ceiling=C.V, grantee_actor=clinic.consultant.id))
    clinic.grant(DENY, scope(ceiling=C.V))


def test_a_denial_may_cover_every_purpose(clinic: Clinic) -> None:
    clinic.grant(DENY, scope(purposes=(P.PURPOSE_OF_USE,)))


def test_what_a_grant_says_is_well_formed(clinic: Clinic) -> None:
    for about in (
        scope(floor=C.R),
        scope(data_from_ms=5, data_to_ms=5),
        scope(grantee_role="king"),
        scope(grantee_org=b"short"),
        scope(actions=()),
        scope(classes=()),
        scope(actions=(Action.USE, Action.USE)),
    ):
        refused(clinic, Code.SCHEMA, clinic.granting(about=about))
    refused(clinic, Code.SCHEMA, clinic.granting(exceptions=(ANYTHING,)))
    narrow = scope(ANYTHING, floor=C.N)
    refused(clinic, Code.SCHEMA, clinic.granting(exceptions=(narrow, narrow)))


def test_a_grantee_exists_and_is_active(clinic: Clinic) -> None:
    refused(clinic, Code.NOT_FOUND, clinic.granting(about=scope(grantee_org=some_id("none"))))
    refused(clinic, Code.NOT_FOUND, clinic.granting(about=scope(grantee_actor=some_id("none"))))
    clinic.ledger.suspend(clinic.elsewhere)
    refused(clinic, Code.ORG, clinic.granting())
    refused(clinic, Code.ORG, clinic.granting(about=scope(grantee_actor=clinic.consultant.id)))
    clinic.grant(DENY)


def test_nobody_grants_for_a_patient_with_keys(clinic: Clinic) -> None:
    operation = clinic.op("cons.grant", clinic.granting(form_hash=FORM))
    for others in ([clinic.registrar, clinic.porter], [clinic.clinician], [clinic.org]):
        clinic.ledger.refuse(Code.ROLE, operation, by=others)


def test_a_stranger_who_enrols_under_a_pseudonym_gets_no_say(clinic: Clinic) -> None:
    impostor = clinic.ledger.patient(clinic.elsewhere)
    ledger = clinic.ledger
    state = ledger.state.spaces["records"]
    mine = PATIENTS.key(clinic.pid)
    state[PATIENTS.key(impostor.id)] = state[mine]
    operation = clinic.op("cons.grant", clinic.granting(pid=impostor.id))
    ledger.refuse(Code.ROLE, operation, by=impostor)


def test_staff_grant_for_a_patient_without_keys_before_a_witness(clinic: Clinic) -> None:
    pid = clinic.register(some_id("no keys"))
    body = clinic.granting(pid=pid, form_hash=FORM)
    operation = clinic.op("cons.grant", body)
    clinic.ledger.refuse(Code.ROLE, operation, by=clinic.registrar)
    clinic.ledger.accept(operation, by=[clinic.porter, clinic.registrar])
    row = ACTIVE_GRANTS.get(clinic.ledger.space("records"), pid, body.grant_id)
    assert row is not None
    assert (row.grantor, row.witness) == (clinic.registrar.id, clinic.porter.id)


def test_active_grants_are_bounded_and_revoking_makes_room(clinic: Clinic) -> None:
    operations = [
        clinic.op("cons.grant", clinic.granting()) for _ in range(ACTIVE_GRANTS_PER_PATIENT_MAX)
    ]
    clinic.ledger.accept(*operations, by=clinic.patient)
    last = clinic.granting()
    refused(clinic, Code.LIMIT, last)
    some = next(iter(ACTIVE_GRANTS.rows(clinic.ledger.space("records"), clinic.pid)))[1]
    clinic.ledger.accept(clinic.revoking(some.grant_id), by=clinic.patient)
    clinic.ledger.accept(clinic.op("cons.grant", last), by=clinic.patient)
    assert counted(clinic) == ACTIVE_GRANTS_PER_PATIENT_MAX


def test_a_grant_is_narrowed_and_never_widened(clinic: Clinic) -> None:
    both = (RecordClass.OBSERVATION, RecordClass.MEDICATION)
    about = scope(grantee_org=clinic.elsewhere.id, classes=both)
    body = clinic.grant(about=about, exceptions=(scope(ANYTHING, floor=C.N),))

    def refused_amend(code: Code, **changes: object) -> None:
        operation = clinic.op("cons.amend", amending(clinic, body, **changes))
        clinic.ledger.refuse(code, operation, by=clinic.patient)

    for wider in (
        scope(about, classes=(*both, RecordClass.BILLING)),
        scope(about, ceiling=C.R),
        scope(about, purposes=(P.TREAT, P.HPAYMT)),
        scope(about, grantee_org=b""),
        scope(about, actions=(Action.ACCESS, Action.DISCLOSE)),
    ):
        refused_amend(Code.SCOPE, scope=wider)
    refused_amend(Code.SCOPE, exceptions=())
    refused_amend(Code.SCOPE, not_after_ms=body.not_after_ms + 1)
    refused_amend(Code.TTL, not_after_ms=clinic.ledger.time_ms)
    refused_amend(Code.VERSION, prev_version=2)
    narrower = scope(about, purposes=(P.ETREAT,), classes=both[:1], data_from_ms=5)
    change = amending(clinic, body, scope=narrower, not_after_ms=body.not_after_ms - DAY_MS)
    clinic.ledger.accept(clinic.op("cons.amend", change), by=clinic.patient)
    row = active(clinic, body.grant_id)
    assert row is not None
    assert (row.version, row.scope) == (2, narrower)


def test_an_amended_grant_expires_at_its_new_end_once(clinic: Clinic) -> None:
    body = clinic.grant()
    change = amending(clinic, body, not_after_ms=clinic.ledger.time_ms + DAY_MS)
    clinic.ledger.accept(clinic.op("cons.amend", change), by=clinic.patient)
    events = clinic.ledger.pass_time(days=1)
    assert [attributes(event)["change"] for event in events] == ["expired"]
    assert clinic.ledger.pass_time(days=40) == ()


def test_a_denial_is_not_narrowed(clinic: Clinic) -> None:
    body = clinic.grant(DENY)
    operation = clinic.op("cons.amend", amending(clinic, body))
    clinic.ledger.refuse(Code.SCOPE, operation, by=clinic.patient)


def test_revoking_twice_is_revoking_once(clinic: Clinic) -> None:
    body = clinic.grant()
    events = clinic.ledger.accept(clinic.revoking(body.grant_id), by=clinic.patient)
    assert [attributes(event)["change"] for event in events] == ["revoked"]
    row = ended(clinic, body.grant_id)
    assert row is not None
    assert (row.status, row.ended) == (GrantStatus.REVOKED, clinic.ledger.height)
    before = clinic.ledger.state.digest()
    assert clinic.ledger.accept(clinic.revoking(body.grant_id), by=clinic.patient) == ()
    assert clinic.ledger.state.digest() == before
    assert counted(clinic) == 0
    assert not clinic.ledger.state.spaces.get("due")
    assert clinic.ledger.pass_time(days=40) == ()


def test_revoking_needs_the_right_signature_and_a_grant(clinic: Clinic) -> None:
    body = clinic.grant()
    for other in (clinic.registrar, clinic.clinician, clinic.consultant):
        clinic.ledger.refuse(Code.ROLE, clinic.revoking(body.grant_id), by=other)
    clinic.ledger.refuse(Code.NOT_FOUND, clinic.revoking(some_id("none")), by=clinic.patient)


def test_revoking_passes_while_the_hospital_is_suspended(clinic: Clinic) -> None:
    body = clinic.grant()
    clinic.ledger.suspend(clinic.org)
    clinic.ledger.refuse(Code.ORG, clinic.op("cons.grant", clinic.granting()), by=clinic.patient)
    clinic.ledger.accept(clinic.revoking(body.grant_id), by=clinic.patient)
    assert active(clinic, body.grant_id) is None


def test_revoking_passes_while_the_module_is_paused(clinic: Clinic) -> None:
    body = clinic.grant()
    row = Pause(clinic.ledger.height + 1, FAR_MS, FAR_MS)
    clinic.ledger.state.apply({membership.NAMESPACE: {PAUSES.key("records"): encode(row)}})
    again = clinic.op("cons.grant", clinic.granting())
    clinic.ledger.refuse(Code.PAUSED, again, by=clinic.patient)
    clinic.ledger.accept(clinic.revoking(body.grant_id), by=clinic.patient)
    assert active(clinic, body.grant_id) is None


def test_a_registrar_alone_takes_back_a_permit_but_no_denial(clinic: Clinic) -> None:
    pid = clinic.register(some_id("no keys"))
    both = [clinic.registrar, clinic.porter]
    permit, denial, excepting = (
        clinic.granting(pid=pid, form_hash=FORM),
        clinic.granting(DENY, pid=pid, form_hash=FORM),
        clinic.granting(exceptions=(scope(ANYTHING, floor=C.N),), pid=pid, form_hash=FORM),
    )
    for body in (permit, denial, excepting):
        clinic.ledger.accept(clinic.op("cons.grant", body), by=both)
    refuse, accept = clinic.ledger.refuse, clinic.ledger.accept
    refuse(Code.SCHEMA, clinic.revoking(permit.grant_id), by=clinic.registrar)
    accept(clinic.revoking(permit.grant_id, FORM), by=clinic.registrar)
    for body in (denial, excepting):
        refuse(Code.ROLE, clinic.revoking(body.grant_id, FORM), by=clinic.registrar)
        accept(clinic.revoking(body.grant_id, FORM), by=both)
    stranger = clinic.ledger.person(clinic.elsewhere, Role.REGISTRAR)
    refuse(Code.ROLE, clinic.revoking(permit.grant_id, FORM), by=stranger)


def test_a_grant_expires_by_itself(clinic: Clinic) -> None:
    body = clinic.grant()
    events = clinic.ledger.pass_time(days=31)
    assert [attributes(event)["change"] for event in events] == ["expired"]
    row = ended(clinic, body.grant_id)
    assert row is not None
    assert row.status is GrantStatus.EXPIRED
    operation = clinic.op("cons.amend", amending(clinic, body))
    clinic.ledger.refuse(Code.STATE, operation, by=clinic.patient)
    assert clinic.ledger.accept(clinic.revoking(body.grant_id), by=clinic.patient) == ()
