"""Credentials: who may give which role, for how long, and when it ends."""

from __future__ import annotations

import msgspec
import pytest

from node.ledger.access import has_role
from node.ledger.codes import Code
from node.ledger.limits import HOLDS_PER_ROLE_MAX
from node.ledger.roles import OrgKind, Role
from node.ledger.types.identity.bodies import CredentialRevoke
from node.ledger.types.identity.parameters import CREDENTIAL_MS_MAX
from tests.support.examples_identity import DAY_MS, issuance
from tests.support.ledger import Ledger


def test_a_role_counts_at_once_and_ends_with_its_time() -> None:
    ledger = Ledger()
    person = ledger.person()
    body = issuance(ledger, person.id, person.org.id, Role.NURSE)
    ledger.accept(ledger.op("id.cred.issue", body), by=person.org)
    assert has_role(ledger.view(), person.id, Role.NURSE, person.org.id)
    ledger.pass_time(ms=body.not_after_ms - ledger.time_ms - 1)
    assert has_role(ledger.view(), person.id, Role.NURSE)
    ledger.pass_time(ms=1)
    assert not has_role(ledger.view(), person.id, Role.NURSE)


def test_nobody_gives_a_role_to_themselves_not_even_with_a_second_key() -> None:
    ledger = Ledger()
    admin = ledger.person(None, Role.ORG_ADMIN)
    body = issuance(ledger, admin.id, admin.org.id, Role.PHARMACIST)
    operation = ledger.op("id.cred.issue", body)
    ledger.refuse(Code.ROLE, operation, by=admin)
    ledger.refuse(Code.ROLE, operation, by=[admin, ledger.second_key(admin)])
    colleague = ledger.person(admin.org, Role.ORG_ADMIN)
    ledger.accept(operation, by=[admin, colleague])


@pytest.mark.parametrize(
    ("kind", "role"),
    [
        (OrgKind.HOSPITAL, Role.MINT_AUTHORITY),
        (OrgKind.INSURER, Role.CLINICIAN),
        (OrgKind.HOSPITAL, Role.DRUG_REGULATOR),
        (OrgKind.MANUFACTURER, Role.INVESTIGATOR),
    ],
)
def test_an_organisation_gives_only_the_roles_that_its_kind_is_entitled_to(
    kind: OrgKind, role: Role
) -> None:
    ledger = Ledger()
    person = ledger.person(ledger.org(kind))
    body = issuance(ledger, person.id, person.org.id, role)
    ledger.refuse(Code.ROLE, ledger.op("id.cred.issue", body), by=person.org)


def test_roles_are_for_the_organisations_own_people() -> None:
    ledger = Ledger()
    mine, theirs = ledger.org(), ledger.person()
    body = issuance(ledger, theirs.id, mine.id, Role.CLINICIAN)
    ledger.refuse(Code.ORG, ledger.op("id.cred.issue", body), by=mine)
    elsewhere = issuance(ledger, theirs.id, theirs.org.id, Role.CLINICIAN)
    ledger.refuse(Code.ROLE, ledger.op("id.cred.issue", elsewhere), by=mine)


def test_a_credential_has_an_end_that_is_ahead_and_not_too_far() -> None:
    ledger = Ledger(params={CREDENTIAL_MS_MAX: 400 * DAY_MS})
    person = ledger.person()
    good = issuance(ledger, person.id, person.org.id, Role.NURSE)
    for changes, code in (
        ({"not_after_ms": 0}, Code.SCHEMA),
        ({"not_before_ms": 1, "not_after_ms": ledger.time_ms}, Code.TTL),
        ({"not_after_ms": ledger.time_ms + 500 * DAY_MS}, Code.TTL),
        ({"role": "surgeon"}, Code.SCHEMA),
        ({"actor": ledger.fresh_id()}, Code.NOT_FOUND),
    ):
        bad = msgspec.structs.replace(good, **changes)
        ledger.refuse(code, ledger.op("id.cred.issue", bad), by=person.org)


def test_a_revoked_credential_stops_at_once_and_stays_revoked() -> None:
    ledger = Ledger()
    person = ledger.person()
    first, second = (issuance(ledger, person.id, person.org.id, Role.NURSE) for _ in range(2))
    for body in (first, second):
        ledger.accept(ledger.op("id.cred.issue", body), by=person.org)
    revoke = ledger.op("id.cred.revoke", CredentialRevoke(first.credential, "left"))
    ledger.accept(revoke, by=person.org)
    assert has_role(ledger.view(), person.id, Role.NURSE), "the other credential still counts"
    ledger.refuse(Code.STATE, revoke, by=person.org)
    given_up = ledger.op("id.cred.revoke", CredentialRevoke(second.credential, "given_up"))
    ledger.accept(given_up, by=person)
    assert not has_role(ledger.view(), person.id, Role.NURSE)
    ledger.refuse(Code.DUPLICATE, ledger.op("id.cred.issue", first), by=person.org)


def test_the_credentials_for_one_role_are_bounded_and_expired_ones_make_room() -> None:
    ledger = Ledger()
    person = ledger.person()
    bodies = [
        issuance(ledger, person.id, person.org.id, Role.NURSE) for _ in range(HOLDS_PER_ROLE_MAX)
    ]
    for body in bodies:
        ledger.accept(ledger.op("id.cred.issue", body), by=person.org)
    ledger.refuse(
        Code.LIMIT,
        ledger.op("id.cred.issue", issuance(ledger, person.id, person.org.id, Role.NURSE)),
        by=person.org,
    )
    ledger.pass_time(days=366)
    late = issuance(ledger, person.id, person.org.id, Role.NURSE)
    ledger.accept(ledger.op("id.cred.issue", late), by=person.org)


def test_queries_show_people_with_the_roles_that_count() -> None:
    ledger = Ledger()
    person = ledger.person(None, Role.NURSE)
    expired = ledger.grant(person, Role.BILLING, not_after_ms=1)
    answer = msgspec.to_builtins(ledger.query("id.actor", actor=person.id))
    assert answer["roles"] == ("nurse",)
    credential = msgspec.to_builtins(ledger.query("id.credential", credential=expired))
    assert credential["status"] == "expired"
    page = msgspec.to_builtins(ledger.query("id.actors", org=person.org.id))
    assert len(page["items"]) == 1 and page["next_cursor"] == ""
    key = msgspec.to_builtins(ledger.query("id.key", key=person.key.public))
    assert key["status"] == "active"
