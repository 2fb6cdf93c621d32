"""Keys: bound once, proven, rotated and revoked at a height."""

from __future__ import annotations

import pytest

from medquorum.keys import SigningKey
from node.ledger.codes import OK, Code
from node.ledger.proposals import OrgRootReplace, ProposalKind
from node.ledger.roles import Role
from node.ledger.types.identity.bodies import CarryOut, KemSet, KeyRevoke
from node.ledger.types.identity.parameters import OVERLAP_HEIGHTS_MAX
from tests.support.examples_identity import enrolment, issuance, possession, rotation
from tests.support.governance import decide
from tests.support.ledger import Ledger, Person, some_key

SMALL_ORDER = b"\x01" + bytes([1]) + bytes(31)


def can_sign(ledger: Ledger, person: Person, key: SigningKey) -> str:
    """The outcome of a harmless operation signed with this key."""
    operation = ledger.op("id.kem.set", KemSet(person.id, b""))
    return ledger.block(ledger.tx(operation, by=key))[0].code


def test_an_enrolled_key_signs_from_the_next_height_on() -> None:
    ledger = Ledger()
    org = ledger.org()
    body = enrolment(ledger, org)
    newcomer = Person(body.actor, some_key("recruit"), org)
    enrol = ledger.tx(ledger.op("id.actor.enrol", body), by=org)
    at_once = ledger.tx(ledger.op("id.kem.set", KemSet(body.actor, b"")), by=newcomer)
    assert [outcome.code for outcome in ledger.block(enrol, at_once)] == [OK, Code.ROLE]
    assert can_sign(ledger, newcomer, newcomer.key) == OK


def test_enrolment_needs_a_proof_of_the_private_key_for_this_actor() -> None:
    ledger = Ledger()
    org = ledger.org()
    other = enrolment(ledger, org, "somebody else")
    body = enrolment(ledger, org)
    stolen = type(body)(
        body.actor, org.id, "staff", other.key, b"", body.attest_hash, other.possession
    )
    ledger.refuse(Code.SIG, ledger.op("id.actor.enrol", stolen), by=org)


def test_no_key_is_bound_twice_in_whatever_use() -> None:
    ledger = Ledger()
    org, person = ledger.org(), ledger.person()
    validator = some_key("founder 0 validator")
    for key in (person.key, org.key, validator):
        actor = ledger.fresh_id()
        body = type(enrolment(ledger, org))(
            actor, org.id, "staff", key.public, b"", actor, possession(ledger, actor, key)
        )
        ledger.refuse(Code.DUPLICATE, ledger.op("id.actor.enrol", body), by=org)


def test_a_key_of_small_order_is_refused() -> None:
    ledger = Ledger()
    org = ledger.org()
    body = enrolment(ledger, org)
    weak = type(body)(body.actor, org.id, "staff", SMALL_ORDER, b"", body.actor, body.possession)
    ledger.refuse(Code.SCHEMA, ledger.op("id.actor.enrol", weak), by=org)


def test_registrars_enrol_patients_and_nobody_else() -> None:
    ledger = Ledger()
    org = ledger.org()
    registrar = ledger.person(org, Role.REGISTRAR)
    staff = enrolment(ledger, org, "doctor")
    ledger.refuse(Code.ROLE, ledger.op("id.actor.enrol", staff), by=registrar)
    patient = enrolment(ledger, org, "patient", kind="patient")
    ledger.accept(ledger.op("id.actor.enrol", patient), by=registrar)
    ledger.refuse(Code.DUPLICATE, ledger.op("id.actor.enrol", patient), by=registrar)


def test_a_rotated_key_signs_during_the_overlap_and_never_again() -> None:
    ledger = Ledger()
    person = ledger.person()
    body = rotation(ledger, person.id, person.key, overlap=2)
    ledger.accept(ledger.op("id.key.rotate", body), by=person)
    new = some_key("successor")
    assert can_sign(ledger, person, person.key) == OK
    assert can_sign(ledger, person, new) == OK
    assert can_sign(ledger, person, person.key) == Code.KEY_REVOKED
    assert can_sign(ledger, person, new) == OK


def test_during_the_overlap_the_old_key_cannot_rotate_or_revoke_the_new_one() -> None:
    ledger = Ledger()
    person = ledger.person()
    ledger.accept(
        ledger.op("id.key.rotate", rotation(ledger, person.id, person.key, overlap=50)), by=person
    )
    new, third = some_key("successor"), some_key("third")
    revoke = ledger.op("id.key.revoke", KeyRevoke(new.public, 0))
    ledger.refuse(Code.ROLE, revoke, by=person.key)
    again = type(rotation(ledger, person.id, new))(
        new.public, third.public, 0, possession(ledger, person.id, third)
    )
    ledger.refuse(Code.ROLE, ledger.op("id.key.rotate", again), by=person.key)
    ledger.accept(ledger.op("id.key.rotate", again), by=new)


def test_the_overlap_is_bounded_by_the_parameter() -> None:
    ledger = Ledger(params={OVERLAP_HEIGHTS_MAX: 5})
    person = ledger.person()
    body = rotation(ledger, person.id, person.key, overlap=6)
    ledger.refuse(Code.LIMIT, ledger.op("id.key.rotate", body), by=person)


def test_a_revoked_key_is_refused_from_exactly_the_next_height() -> None:
    ledger = Ledger()
    person = ledger.person()
    harmless = ledger.op("id.kem.set", KemSet(person.id, b""))
    revoke = ledger.op("id.key.revoke", KeyRevoke(person.key.public, 1))
    outcomes = ledger.block(ledger.tx(revoke, by=person), ledger.tx(harmless, by=person))
    assert [outcome.code for outcome in outcomes] == [OK, OK]
    assert can_sign(ledger, person, person.key) == Code.KEY_REVOKED


def test_a_lost_key_is_replaced_by_an_administrator_and_a_privacy_officer_together() -> None:
    ledger = Ledger()
    org = ledger.org()
    lost = ledger.person(org)
    both = ledger.person(org, Role.ORG_ADMIN, Role.PRIVACY_OFFICER)
    admin = ledger.person(org, Role.ORG_ADMIN)
    operation = ledger.op("id.key.rotate", rotation(ledger, lost.id, lost.key))
    ledger.refuse(Code.ROLE, operation, by=both)
    ledger.refuse(Code.ROLE, operation, by=[both, ledger.second_key(both)])
    # Whoever holds both roles fills the one that the other person cannot, in any order of signing.
    ledger.accept(operation, by=[both, admin])


def test_keys_can_be_rotated_and_revoked_while_the_organisation_is_suspended() -> None:
    ledger = Ledger()
    person = ledger.person(None, Role.ORG_ADMIN)
    colleague = ledger.person(person.org)
    ledger.suspend(person.org)
    issue = issuance(ledger, colleague.id, person.org.id, Role.NURSE)
    ledger.refuse(Code.ORG, ledger.op("id.cred.issue", issue), by=person)
    ledger.accept(ledger.op("id.key.rotate", rotation(ledger, person.id, person.key)), by=person)


@pytest.mark.parametrize("height", [5, 2**53 - 1])
def test_a_key_cannot_be_compromised_from_a_height_of_the_future(height: int) -> None:
    ledger = Ledger()
    person = ledger.person()
    operation = ledger.op("id.key.revoke", KeyRevoke(person.key.public, height))
    ledger.refuse(Code.SCHEMA, operation, by=person)


def test_a_root_key_speaks_for_its_organisation_and_governance_replaces_a_lost_one() -> None:
    ledger = Ledger()
    org = ledger.org()
    new = some_key("new root")
    content = OrgRootReplace(org.id, new.public, possession(ledger, org.id, new))
    proposal = decide(ledger, ProposalKind.ORG_ROOT_REPLACE, content)
    ledger.accept(ledger.op("id.org.root_replace", CarryOut(proposal)), by=ledger.founders[0])
    recruit = enrolment(ledger, org)
    ledger.refuse(Code.KEY_REVOKED, ledger.op("id.actor.enrol", recruit), by=org)
    ledger.accept(ledger.op("id.actor.enrol", recruit), by=new)
