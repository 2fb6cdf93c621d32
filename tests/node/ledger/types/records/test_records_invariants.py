"""What always holds, over random sequences of operations and time."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from medquorum.transaction import Transaction
from node.ledger.codes import OK
from node.ledger.types.records import MODULE
from node.ledger.types.records.bodies import AmendConsent
from node.ledger.types.records.classes import Confidentiality
from node.ledger.types.records.rows import (
    ACTIVE_GRANTS,
    COMMITMENTS,
    ENDED_GRANTS,
    GRANT_PATIENTS,
    LOG,
    PATIENT_RECORDS,
    PATIENTS,
    RECORDS,
    REQUESTS,
    VERSIONS,
)
from node.ledger.types.records.terms import Decision, DefaultPolicy, RequestState
from tests.support.ledger import HOUR_MS
from tests.support.records import Clinic, scope

C = Confidentiality
STEPS = ("grant", "deny", "narrow", "revoke", "anchor", "amend", "request", "log", "wait")

steps = st.lists(
    st.tuples(st.sampled_from(STEPS), st.integers(0, 5), st.integers(0, 3)), max_size=25
)


class Story:
    """A clinic to which things happen."""

    def __init__(self, policy: DefaultPolicy) -> None:
        self.clinic = Clinic(policy=policy)
        self.grants: list[bytes] = []
        self.records: list[bytes] = []
        self.requests: list[bytes] = []

    def tell(self, step: str, which: int, how: int) -> None:
        """One step. What does not fit the state is refused by the ledger, which is fine too."""
        if step == "wait":
            self.clinic.ledger.pass_time(ms=how * HOUR_MS // 12 + 1)
            return
        tx = self._transaction(step, which, how)
        if tx is not None:
            self.clinic.ledger.block(tx)

    def _transaction(self, step: str, which: int, how: int) -> Transaction | None:
        clinic, tx = self.clinic, self.clinic.ledger.tx
        match step:
            case "grant" | "deny":
                decision = Decision.DENY if step == "deny" else Decision.PERMIT
                end = clinic.ledger.time_ms + how * HOUR_MS // 4
                body = clinic.granting(decision, not_after_ms=end)
                self.grants.append(body.grant_id)
                return tx(clinic.op("cons.grant", body), by=clinic.patient)
            case "anchor":
                anchoring = clinic.anchoring(confidentiality=C(how))
                self.records.append(anchoring.rec_id)
                return tx(clinic.op("rec.anchor", anchoring), by=clinic.gateway)
            case "request":
                request = clinic.requesting()
                self.requests.append(request.req_id)
                return tx(clinic.op("rec.access.request", request), by=clinic.consultant)
            case "amend" if self.records:
                amending = clinic.amending(self.records[which % len(self.records)], how)
                return tx(clinic.op("rec.amend", amending), by=clinic.clinician)
            case "revoke" if self.grants:
                return tx(clinic.revoking(self.grants[which % len(self.grants)]), by=clinic.patient)
            case "narrow" if self.grants:
                return self._narrow(self.grants[which % len(self.grants)], how)
            case "log" if self.requests and self.records:
                named = {self.records[(which + one) % len(self.records)] for one in range(how + 1)}
                permit = clinic.permit(self.requests[-1], sorted(named))
                return tx(permit, by=clinic.gateway)
            case _:
                return None

    def _narrow(self, grant_id: bytes, how: int) -> Transaction:
        clinic = self.clinic
        about = scope(grantee_org=clinic.elsewhere.id, ceiling=C(how))
        body = AmendConsent(grant_id, 1, about, (), clinic.ledger.time_ms + HOUR_MS, b"")
        return clinic.ledger.tx(clinic.op("cons.amend", body), by=clinic.patient)


def check_grants(clinic: Clinic) -> None:
    """Active grants are counted, in the future and apart from ended ones; none is lost."""
    state = clinic.ledger.space("records")
    active = {row.grant_id: row for _, row in ACTIVE_GRANTS.rows(state, clinic.pid)}
    ended = {row.grant_id: row for _, row in ENDED_GRANTS.rows(state, clinic.pid)}
    patient = PATIENTS.get(state, clinic.pid)
    assert patient is not None
    assert patient.active_grants == len(active)
    assert all(row.not_after_ms > clinic.ledger.time_ms for row in active.values())
    assert all(row.status == "active" for row in active.values())
    assert all(row.status in ("revoked", "expired") for row in ended.values())
    assert active.keys().isdisjoint(ended)
    assert {key for key, _ in GRANT_PATIENTS.rows(state)} == active.keys() | ended.keys()


def check_records(clinic: Clinic) -> None:
    """Versions are numbered without gaps, and each commitment belongs to one of them."""
    state = clinic.ledger.space("records")
    commitments: dict[bytes, bytes] = {}
    for rec_id, record in RECORDS.rows(state):
        versions = [row for _, row in VERSIONS.rows(state, rec_id)] + [record.head]
        assert [one.version for one in versions] == list(range(1, len(versions) + 1))
        commitments.update((one.commitment, rec_id) for one in versions)
    assert {key: row.rec_id for key, row in COMMITMENTS.rows(state)} == commitments
    listed = {key[8:] for key, _ in PATIENT_RECORDS.rows(state, clinic.pid)}
    assert listed == {rec_id for rec_id, _ in RECORDS.rows(state)}


def check_requests(clinic: Clinic) -> None:
    """Whatever was permitted has a log entry that names why; what waits has time left."""
    state = clinic.ledger.space("records")
    for req_id, request in REQUESTS.rows(state):
        entry = LOG.get(state, req_id)
        if request.state is RequestState.PERMITTED:
            assert entry is not None
            assert entry.bases != ()
        else:
            assert entry is None
        if request.state is RequestState.PENDING:
            assert request.expires_ms > clinic.ledger.time_ms


@settings(max_examples=60, deadline=None)
@given(steps, st.sampled_from(DefaultPolicy))
def test_the_state_of_records_and_consent_stays_consistent(
    story: list[tuple[str, int, int]], policy: DefaultPolicy
) -> None:
    told = Story(policy)
    for step, which, how in story:
        told.tell(step, which, how)
        check_grants(told.clinic)
    check_records(told.clinic)
    check_requests(told.clinic)


@settings(max_examples=40, deadline=None)
@given(steps)
def test_once_revoked_nothing_is_released_on_that_ground(story: list[tuple[str, int, int]]) -> None:
    told = Story(DefaultPolicy.DENY)
    for step, which, how in story:
        told.tell(step, which, how)
    clinic = told.clinic
    revocations = [clinic.revoking(grant_id) for grant_id in told.grants]
    record, request = clinic.anchor(), clinic.request()
    for operation in revocations:
        clinic.ledger.block(clinic.ledger.tx(operation, by=clinic.patient))
    permit = clinic.permit(request.req_id, [record.rec_id])
    assert clinic.ledger.block(clinic.ledger.tx(permit, by=clinic.gateway))[0].code != OK


def test_every_body_has_a_schema_and_no_field_for_text() -> None:
    for tx_type in MODULE.types:
        schema = msgspec.json.schema(tx_type.body)
        text = msgspec.json.encode(schema).decode()
        assert tx_type.body.__name__ in text
        for part in schema["$defs"].values():
            for field in part.get("prefixItems", ()):
                free = field.get("type") == "string" and not (
                    {"pattern", "enum", "maxLength", "contentEncoding"} & field.keys()
                )
                assert not free
