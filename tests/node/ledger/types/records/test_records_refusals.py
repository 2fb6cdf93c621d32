"""What every type of records and consent refuses: bad fields, and everybody who has no business
with it.
"""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medquorum.codec import INT_MAX, encode
from medquorum.transaction import Operation
from node.ledger.codes import OK, Code
from node.ledger.roles import Role
from node.ledger.types.records import MODULE
from tests.support.examples_records import MAKERS
from tests.support.ledger import OrgHandle, Person
from tests.support.records import Clinic

ALLOWED_ROLES: dict[str, set[Role]] = {
    "rec.patient.register": {Role.REGISTRAR},
    "rec.anchor": {Role.CLINICIAN, Role.CUSTODIAN_GATEWAY},
    "rec.amend": {Role.CLINICIAN, Role.CUSTODIAN_GATEWAY},
    "rec.access.log": {Role.CUSTODIAN_GATEWAY},
}
"""The roles at the patient's hospital that may sign. The other types are for one person alone."""


def test_there_is_an_example_of_every_type() -> None:
    assert set(MAKERS) == {tx_type.name for tx_type in MODULE.types}


@pytest.mark.parametrize("name", MAKERS)
def test_the_example_is_accepted_from_whom_it_should_be(name: str) -> None:
    clinic = Clinic()
    operation, signer = MAKERS[name](clinic)
    clinic.ledger.accept(operation, by=signer)


@pytest.mark.parametrize("name", MAKERS)
def test_nobody_without_the_role_gets_through(name: str) -> None:
    clinic = Clinic()
    operation, _ = MAKERS[name](clinic)
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


@pytest.mark.parametrize("name", MAKERS)
def test_an_expired_credential_opens_nothing(name: str) -> None:
    clinic = Clinic()
    operation, _ = MAKERS[name](clinic)
    for role in ALLOWED_ROLES.get(name, set()):
        late = clinic.ledger.person(clinic.org)
        clinic.ledger.grant(late, role, not_after_ms=clinic.ledger.time_ms)
        outcome = clinic.ledger.block(clinic.ledger.tx(operation, by=late))[0]
        assert outcome.code in (Code.EXPIRED, Code.ROLE)


@pytest.mark.parametrize("name", MAKERS)
def test_a_suspended_hospital_does_nothing_but_let_go(name: str) -> None:
    clinic = Clinic()
    operation, signer = MAKERS[name](clinic)
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


@pytest.mark.parametrize("name", MAKERS)
def test_every_field_refuses_what_does_not_belong_there(name: str) -> None:
    clinic = Clinic()
    operation, signer = MAKERS[name](clinic)
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
    return clinic, {name: make(clinic)[0] for name, make in MAKERS.items()}


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(sorted(MAKERS)),
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
