"""What every type of records and consent refuses: bad fields, and everybody who has no business
with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medquorum.codec import INT_MAX, encode
from medquorum.transaction import Operation
from node.ledger.codes import OK, Code
from node.ledger.roles import Role
from node.ledger.types.records import MODULE
from node.ledger.types.records.bodies import (
    AmendConsent,
    ReceiveAccess,
    RegisterPatient,
    SetPolicy,
)
from node.ledger.types.records.classes import Confidentiality
from node.ledger.types.records.releases import released_hash
from node.ledger.types.records.terms import DefaultPolicy
from tests.support.ledger import OrgHandle, Person, some_id
from tests.support.records import Clinic

DENY = DefaultPolicy.DENY
C = Confidentiality


@dataclass(frozen=True)
class Example:
    """A type with a valid operation, and who may sign it."""

    operation: Callable[[Clinic], Operation]
    allowed: Callable[[Clinic], Person]


def _amend(clinic: Clinic) -> Operation:
    return clinic.op("rec.amend", clinic.amending(clinic.anchor().rec_id))


def _narrow(clinic: Clinic) -> Operation:
    body = clinic.grant()
    same = AmendConsent(body.grant_id, 1, body.scope, (), body.not_after_ms, b"")
    return clinic.op("cons.amend", same)


def _log(clinic: Clinic) -> Operation:
    clinic.grant()
    return clinic.permit(clinic.request().req_id, [clinic.anchor().rec_id])


def _receipt(clinic: Clinic) -> Operation:
    clinic.grant()
    record, request = clinic.anchor(), clinic.request()
    clinic.ledger.accept(clinic.permit(request.req_id, [record.rec_id]), by=clinic.gateway)
    arrived = ReceiveAccess(request.req_id, released_hash([record.ct_hash]))
    return clinic.op("rec.access.receipt", arrived)


def _register(clinic: Clinic) -> Operation:
    body = RegisterPatient(some_id("fresh"), clinic.org.id, DENY, 0, C.N, b"")
    return clinic.op("rec.patient.register", body)


def _policy(clinic: Clinic) -> Operation:
    return clinic.op("rec.patient.policy", SetPolicy(clinic.pid, DENY, 0, C.L, b""))


EXAMPLES: dict[str, Example] = {
    "rec.patient.register": Example(_register, lambda clinic: clinic.registrar),
    "rec.patient.policy": Example(_policy, lambda clinic: clinic.patient),
    "rec.anchor": Example(
        lambda clinic: clinic.op("rec.anchor", clinic.anchoring()), lambda clinic: clinic.clinician
    ),
    "rec.amend": Example(_amend, lambda clinic: clinic.gateway),
    "cons.grant": Example(
        lambda clinic: clinic.op("cons.grant", clinic.granting()), lambda clinic: clinic.patient
    ),
    "cons.amend": Example(_narrow, lambda clinic: clinic.patient),
    "cons.revoke": Example(
        lambda clinic: clinic.revoking(clinic.grant().grant_id), lambda clinic: clinic.patient
    ),
    "rec.access.request": Example(
        lambda clinic: clinic.op("rec.access.request", clinic.requesting()),
        lambda clinic: clinic.consultant,
    ),
    "rec.access.log": Example(_log, lambda clinic: clinic.gateway),
    "rec.access.receipt": Example(_receipt, lambda clinic: clinic.consultant),
}
ALLOWED_ROLES: dict[str, set[Role]] = {
    "rec.patient.register": {Role.REGISTRAR},
    "rec.anchor": {Role.CLINICIAN, Role.CUSTODIAN_GATEWAY},
    "rec.amend": {Role.CLINICIAN, Role.CUSTODIAN_GATEWAY},
    "rec.access.log": {Role.CUSTODIAN_GATEWAY},
}
"""The roles at the patient's hospital that may sign. The other types are for one person alone."""


def test_there_is_an_example_of_every_type() -> None:
    assert set(EXAMPLES) == {tx_type.name for tx_type in MODULE.types}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_example_is_accepted_from_whom_it_should_be(name: str) -> None:
    clinic = Clinic()
    operation = EXAMPLES[name].operation(clinic)
    clinic.ledger.accept(operation, by=EXAMPLES[name].allowed(clinic))


@pytest.mark.parametrize("name", EXAMPLES)
def test_nobody_without_the_role_gets_through(name: str) -> None:
    clinic = Clinic()
    operation = EXAMPLES[name].operation(clinic)
    strangers: list[Person | OrgHandle] = [
        clinic.ledger.person(clinic.org, role)
        for role in Role
        if role not in ALLOWED_ROLES.get(name, set())
    ]
    # A request is judged by the role at the requester's own organisation, which these lack.
    strangers += [
        clinic.ledger.person(clinic.elsewhere, role)
        for role in Role
        if (name, role) != ("rec.access.request", Role.CLINICIAN)
    ]
    strangers += [clinic.org, clinic.elsewhere, clinic.ledger.patient(clinic.org)]
    transactions = [clinic.ledger.tx(operation, by=stranger) for stranger in strangers]
    outcomes = clinic.ledger.block(*transactions)
    assert {outcome.code for outcome in outcomes} == {Code.ROLE}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_expired_credential_opens_nothing(name: str) -> None:
    clinic = Clinic()
    operation = EXAMPLES[name].operation(clinic)
    for role in ALLOWED_ROLES.get(name, set()):
        late = clinic.ledger.person(clinic.org)
        clinic.ledger.grant(late, role, not_after_ms=clinic.ledger.time_ms)
        outcome = clinic.ledger.block(clinic.ledger.tx(operation, by=late))[0]
        assert outcome.code in (Code.EXPIRED, Code.ROLE)


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_suspended_hospital_does_nothing_but_let_go(name: str) -> None:
    clinic = Clinic()
    operation = EXAMPLES[name].operation(clinic)
    signer = EXAMPLES[name].allowed(clinic)
    clinic.ledger.suspend(signer.org)
    outcome = clinic.ledger.block(clinic.ledger.tx(operation, by=signer))[0]
    assert outcome.code == (OK if name == "cons.revoke" else Code.ORG)


BAD_VALUES: tuple[object, ...] = (
    b"",
    b"\x00" * 31,
    b"\x00" * 33,
    "",
    "HPAYMENT",
    "hpayment",
    "张伟 110101199003070000",
    "patient-0417\n",
    -1,
    INT_MAX + 1,
    2**64 - 1,
    1.5,
    True,
    None,
    [],
    [["deep"]],
    {"a": 1},
)


OPTIONAL = {"link_commit", "form_hash", "grant_id of rec.access.request"}
"""Fields that may be empty."""


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_field_refuses_what_does_not_belong_there(name: str) -> None:
    clinic = Clinic()
    operation = EXAMPLES[name].operation(clinic)
    signer = EXAMPLES[name].allowed(clinic)
    fields: list[object] = msgspec.msgpack.decode(operation.body)
    body_type = next(one.body for one in MODULE.types if one.name == name)
    bodies = []
    for position, field in enumerate(body_type.__struct_fields__):
        for bad in BAD_VALUES:
            if bad == fields[position]:
                continue
            if bad == b"" and OPTIONAL & {field, f"{field} of {name}"}:
                continue
            bodies.append(encode((*fields[:position], bad, *fields[position + 1 :])))
    bodies += [
        encode(tuple(fields[:-1])),
        encode((*fields, 0)),
        b"",
        b"\xc1",
        operation.body + b"\0",
    ]
    transactions = [clinic.ledger.tx(Operation(name, 1, body), by=signer) for body in bodies]
    outcomes = clinic.ledger.block(*transactions)
    wrong = [
        (bytes(body), outcome.code)
        for body, outcome in zip(bodies, outcomes, strict=True)
        if outcome.code != Code.SCHEMA
    ]
    assert wrong == []


@pytest.fixture(scope="module")
def busy() -> tuple[Clinic, dict[str, Operation]]:
    """One clinic, and one operation of each type that fits its state."""
    clinic = Clinic()
    return clinic, {name: example.operation(clinic) for name, example in EXAMPLES.items()}


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(sorted(EXAMPLES)),
    position=st.integers(0, 9),
    junk=st.one_of(
        st.binary(max_size=40),
        st.integers(0, INT_MAX),
        st.text(max_size=8),
        st.lists(st.integers(0, 5), max_size=3),
    ),
)
def test_no_value_makes_a_handler_raise_or_a_refusal_change_the_state(
    busy: tuple[Clinic, dict[str, Operation]], name: str, position: int, junk: object
) -> None:
    clinic, operations = busy
    fields: list[object] = msgspec.msgpack.decode(operations[name].body)
    fields[position % len(fields)] = junk
    before = clinic.ledger.state.digest()
    signers = [clinic.patient, clinic.registrar, clinic.clinician, clinic.gateway]
    operation = Operation(name, 1, encode(fields))
    outcome = clinic.ledger.block(clinic.ledger.tx(operation, by=signers), after_ms=1)[0]
    assert outcome.code == OK or clinic.ledger.state.digest() == before
