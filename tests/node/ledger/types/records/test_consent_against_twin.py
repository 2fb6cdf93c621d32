"""Consent against a dumb twin, which enumerates instead of matching, on random grants."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.ledger.roles import Role
from node.ledger.types.records.checks import includes
from node.ledger.types.records.classes import Confidentiality, RecordClass
from node.ledger.types.records.consent import (
    Ask,
    Defaults,
    Rule,
    Target,
    evaluate,
    matches_ask,
    matches_target,
)
from node.ledger.types.records.purposes import CHILDREN, Purpose
from node.ledger.types.records.rows import Grant
from node.ledger.types.records.terms import (
    Action,
    Decision,
    DefaultPolicy,
    GrantStatus,
    Scope,
)
from tests.support.ledger import some_id
from tests.support.records import grant_row, scope

PID = some_id("pid")
DEFAULTS = Defaults(PID, DefaultPolicy.DENY, Confidentiality.N)
ORGS = (b"", some_id("org 1"), some_id("org 2"))
ACTORS = (b"", some_id("actor 1"), PID)
ROLES = ("", Role.CLINICIAN.value, Role.NURSE.value)
PURPOSES = (Purpose.TREAT, Purpose.ETREAT, Purpose.ERTREAT, Purpose.HRESCH, Purpose.PURPOSE_OF_USE)
CLASSES = (RecordClass.OBSERVATION, RecordClass.BILLING)
ACTIONS = (Action.ACCESS, Action.USE)
TIMES = st.integers(0, 4)

scopes = st.builds(
    Scope,
    grantee_org=st.sampled_from(ORGS),
    grantee_actor=st.sampled_from(ACTORS),
    grantee_role=st.sampled_from(ROLES),
    purposes=st.lists(st.sampled_from(PURPOSES), max_size=2, unique=True).map(tuple),
    actions=st.lists(st.sampled_from(ACTIONS), max_size=2, unique=True).map(tuple),
    classes=st.lists(st.sampled_from(CLASSES), max_size=2, unique=True).map(tuple),
    floor=st.sampled_from(Confidentiality),
    ceiling=st.sampled_from(Confidentiality),
    data_from_ms=TIMES,
    data_to_ms=TIMES,
)
wide_scopes = st.one_of(
    scopes,
    st.just(Scope(b"", b"", "", (), (), (), Confidentiality.U, Confidentiality.V, 0, 0)),
)
grants = st.builds(
    grant_row,
    st.sampled_from(Decision),
    wide_scopes,
    st.lists(scopes, max_size=2).map(tuple),
    grant_id=st.integers(0, 5).map(lambda number: bytes([number]) * 32),
    not_before_ms=TIMES,
    not_after_ms=TIMES,
    status=st.sampled_from(GrantStatus),
)
asks = st.builds(
    Ask,
    st.sampled_from((some_id("actor 1"), some_id("actor 2"), PID)),
    st.sampled_from(ORGS[1:]),
    st.sampled_from(ROLES[1:]),
    st.sampled_from(PURPOSES),
    st.sampled_from(ACTIONS),
    TIMES,
)
targets = st.builds(
    Target, st.sampled_from(CLASSES), st.sampled_from(Confidentiality), st.integers(0, 4)
)


def below(purpose: Purpose) -> set[Purpose]:
    """The purpose and all that stand under it, by walking down the tree."""
    found = {purpose}
    for child in CHILDREN.get(purpose, ()):
        found |= below(child)
    return found


def twin_matches(about: Scope, ask: Ask, target: Target) -> bool:
    """Spell out all that the scope stands for, and look the question up in it."""
    orgs = [about.grantee_org] if about.grantee_org else list(ORGS[1:])
    actors = [about.grantee_actor] if about.grantee_actor else [ask.actor]
    roles = [about.grantee_role] if about.grantee_role else list(ROLES[1:])
    purposes = {one for purpose in about.purposes or tuple(Purpose) for one in below(purpose)}
    levels = [level for level in range(6) if about.floor <= level <= about.ceiling]
    moments = [ms for ms in range(5) if about.data_from_ms <= ms < (about.data_to_ms or 5)]
    return (
        ask.org in orgs
        and ask.actor in actors
        and ask.role in roles
        and ask.purpose in purposes
        and ask.action in (about.actions or ACTIONS)
        and target.record_class in (about.classes or CLASSES)
        and int(target.confidentiality) in levels
        and target.anchored_ms in moments
    )


def twin(candidates: list[Grant], ask: Ask, target: Target) -> tuple[bool, set[bytes]]:
    """The answer, and the ids of the grants that might be named for it."""
    if ask.actor == PID:
        return True, {b""}
    said: dict[bool, set[bytes]] = {True: set(), False: set()}
    for grant in candidates:
        in_force = ask.now_ms in range(grant.not_before_ms, grant.not_after_ms)
        if grant.status != "active" or not in_force or not twin_matches(grant.scope, ask, target):
            continue
        flips = [one for one in grant.exceptions if twin_matches(one, ask, target)]
        said[(grant.decision == "permit") is (flips == [])].add(grant.grant_id)
    if said[False]:
        return False, said[False]
    return (True, said[True]) if said[True] else (False, {b""})


@given(st.lists(grants, max_size=5), asks, targets)
def test_consent_agrees_with_a_twin_that_enumerates(
    candidates: list[Grant], ask: Ask, target: Target
) -> None:
    verdict = evaluate(DEFAULTS, candidates, ask, target)
    permitted, named = twin(candidates, ask, target)
    assert verdict.permitted is permitted
    assert verdict.grant_id == min(named)


@given(st.lists(grants, max_size=5), asks, targets)
def test_the_order_of_grants_does_not_matter(
    candidates: list[Grant], ask: Ask, target: Target
) -> None:
    distinct = list({grant.grant_id: grant for grant in candidates}.values())
    turned = list(reversed(distinct))
    assert evaluate(DEFAULTS, distinct, ask, target) == evaluate(DEFAULTS, turned, ask, target)


@given(st.lists(grants, max_size=4), grants, asks, targets)
def test_adding_a_plain_deny_never_opens_anything(
    candidates: list[Grant], extra: Grant, ask: Ask, target: Target
) -> None:
    deny = grant_row(Decision.DENY, extra.scope, not_after_ms=extra.not_after_ms)
    if evaluate(DEFAULTS, [*candidates, deny], ask, target).permitted:
        assert evaluate(DEFAULTS, candidates, ask, target).permitted


@given(scopes, scopes, st.sets(st.sampled_from(Scope.__struct_fields__), max_size=3), asks, targets)
def test_a_scope_that_includes_another_matches_whatever_the_other_matches(
    inner: Scope, other: Scope, differing: set[str], ask: Ask, target: Target
) -> None:
    changes = {name: getattr(other, name) for name in sorted(differing)}
    outer = msgspec.structs.replace(inner, **changes)
    if includes(outer, inner) and matches_ask(inner, ask) and matches_target(inner, target):
        assert matches_ask(outer, ask)
        assert matches_target(outer, target)


@pytest.mark.parametrize(
    ("outer", "inner", "included"),
    [
        ((0, 0), (2, 3), True),
        ((0, 5), (2, 5), True),
        ((0, 5), (2, 0), False),
        ((0, 5), (2, 6), False),
        ((3, 0), (2, 0), False),
    ],
)
def test_a_period_without_end_is_included_in_no_period_with_one(
    outer: tuple[int, int], inner: tuple[int, int], included: bool
) -> None:
    def dated(period: tuple[int, int]) -> Scope:
        return scope(data_from_ms=period[0], data_to_ms=period[1])

    assert includes(dated(outer), dated(inner)) is included


@given(scopes)
def test_a_scope_includes_itself(one: Scope) -> None:
    assert includes(one, one)


@given(asks, targets)
def test_nobody_but_the_patient_gets_anything_from_silence_and_a_denying_default(
    ask: Ask, target: Target
) -> None:
    rule = evaluate(DEFAULTS, (), ask, target).rule
    assert rule is (Rule.OWN_RECORD if ask.actor == PID else Rule.DEFAULT_DENY)
