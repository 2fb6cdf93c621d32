"""Consent as a truth table, after the cases of the IHE profile Privacy Consent on FHIR."""

from __future__ import annotations

import pytest

from node.ledger.roles import Role
from node.ledger.types.records.classes import Confidentiality, RecordClass
from node.ledger.types.records.consent import Ask, Defaults, Rule, Target, evaluate
from node.ledger.types.records.purposes import Purpose
from node.ledger.types.records.rows import Grant
from node.ledger.types.records.terms import Action, Decision, DefaultPolicy, GrantStatus
from tests.support.ledger import some_id
from tests.support.records import ANYTHING, grant_row, scope

C = Confidentiality
NOW = 1_000_000
PID, DOCTOR, NURSE = some_id("pid"), some_id("doctor"), some_id("nurse")
HERE, THERE = some_id("here"), some_id("there")
DENY_BY_DEFAULT = Defaults(PID, DefaultPolicy.DENY, C.N)
PERMIT, DENY = Decision.PERMIT, Decision.DENY


def asked(
    purpose: Purpose = Purpose.TREAT,
    *,
    actor: bytes = DOCTOR,
    org: bytes = HERE,
    role: str = Role.CLINICIAN,
    action: Action = Action.ACCESS,
    now_ms: int = NOW,
) -> Ask:
    return Ask(actor, org, role, purpose, action, now_ms)


def record(
    record_class: RecordClass = RecordClass.OBSERVATION, confidentiality: C = C.N, at_ms: int = 500
) -> Target:
    return Target(record_class, confidentiality, at_ms)


GENERAL = grant_row(PERMIT)
REFUSAL = grant_row(DENY, grant_id=some_id("refusal"))
ENDS_NOW = grant_row(not_after_ms=NOW)
ENDS_NEXT = grant_row(not_after_ms=NOW + 1)
BEGINS_NOW = grant_row(not_before_ms=NOW)
BEGINS_NEXT = grant_row(not_before_ms=NOW + 1)
DATED = grant_row(about=scope(data_from_ms=400, data_to_ms=600))
NOT_DATED = grant_row(
    about=scope(), exceptions=(scope(ANYTHING, data_from_ms=400, data_to_ms=600),)
)
NOT_NURSE = grant_row(exceptions=(scope(ANYTHING, grantee_actor=NURSE),))
ONLY_NURSE = grant_row(
    DENY, scope(classes=tuple(RecordClass)), (scope(ANYTHING, grantee_actor=NURSE),)
)
RESEARCH = grant_row(about=scope(purposes=(Purpose.HRESCH,)))
SECRETS_SHUT = grant_row(DENY, scope(floor=C.R, ceiling=C.V))
OPEN_TO_V = grant_row(about=scope(ceiling=C.V), grant_id=some_id("open"))

CASES: dict[str, tuple[tuple[Grant, ...], Ask, Target, Rule]] = {
    "nothing said": ((), asked(), record(), Rule.DEFAULT_DENY),
    "permit": ((GENERAL,), asked(), record(), Rule.GRANT_PERMIT),
    "deny": ((REFUSAL,), asked(), record(), Rule.GRANT_DENY),
    "any deny wins": ((GENERAL, REFUSAL), asked(), record(), Rule.GRANT_DENY),
    "own record": ((REFUSAL,), asked(actor=PID, role=Role.PATIENT), record(), Rule.OWN_RECORD),
    "expired at the boundary": ((ENDS_NOW,), asked(), record(), Rule.DEFAULT_DENY),
    "in force a millisecond before": ((ENDS_NEXT,), asked(), record(), Rule.GRANT_PERMIT),
    "begins at the boundary": ((BEGINS_NOW,), asked(), record(), Rule.GRANT_PERMIT),
    "not begun": ((BEGINS_NEXT,), asked(), record(), Rule.DEFAULT_DENY),
    "first moment of the timeframe": ((DATED,), asked(), record(at_ms=400), Rule.GRANT_PERMIT),
    "last moment of the timeframe": ((DATED,), asked(), record(at_ms=599), Rule.GRANT_PERMIT),
    "end of the timeframe": ((DATED,), asked(), record(at_ms=600), Rule.DEFAULT_DENY),
    "before the timeframe": ((DATED,), asked(), record(at_ms=399), Rule.DEFAULT_DENY),
    "not in the timeframe": ((NOT_DATED,), asked(), record(at_ms=500), Rule.EXCEPTION_DENY),
    "out of the bad timeframe": ((NOT_DATED,), asked(), record(at_ms=600), Rule.GRANT_PERMIT),
    "all but one person": ((NOT_NURSE,), asked(actor=NURSE), record(), Rule.EXCEPTION_DENY),
    "all but another person": ((NOT_NURSE,), asked(), record(), Rule.GRANT_PERMIT),
    "nobody but one person": ((ONLY_NURSE,), asked(actor=NURSE), record(), Rule.EXCEPTION_PERMIT),
    "nobody": ((ONLY_NURSE,), asked(), record(), Rule.GRANT_DENY),
    "another's deny beats an exception": (
        (ONLY_NURSE, REFUSAL),
        asked(actor=NURSE),
        record(),
        Rule.GRANT_DENY,
    ),
    "a special purpose": ((GENERAL,), asked(Purpose.ERTREAT), record(), Rule.GRANT_PERMIT),
    "a more general purpose": (
        (grant_row(about=scope(purposes=(Purpose.ETREAT,))),),
        asked(Purpose.TREAT),
        record(),
        Rule.DEFAULT_DENY,
    ),
    "treatment under research": ((RESEARCH,), asked(), record(), Rule.DEFAULT_DENY),
    "a kind of research": ((RESEARCH,), asked(Purpose.CLINTRCHPC), record(), Rule.GRANT_PERMIT),
    "class outside": ((GENERAL,), asked(), record(RecordClass.BILLING), Rule.DEFAULT_DENY),
    "above the ceiling": ((GENERAL,), asked(), record(confidentiality=C.R), Rule.DEFAULT_DENY),
    "at the ceiling": ((OPEN_TO_V,), asked(), record(confidentiality=C.V), Rule.GRANT_PERMIT),
    "secrets shut": (
        (SECRETS_SHUT, OPEN_TO_V),
        asked(),
        record(confidentiality=C.R),
        Rule.GRANT_DENY,
    ),
    "below the floor": ((SECRETS_SHUT, OPEN_TO_V), asked(), record(), Rule.GRANT_PERMIT),
    "another action": ((GENERAL,), asked(action=Action.DISCLOSE), record(), Rule.DEFAULT_DENY),
    "another organisation": (
        (grant_row(about=scope(grantee_org=THERE)),),
        asked(),
        record(),
        Rule.DEFAULT_DENY,
    ),
    "another role": (
        (grant_row(about=scope(grantee_role="nurse")),),
        asked(),
        record(),
        Rule.DEFAULT_DENY,
    ),
    "suspended grant": (
        (grant_row(status=GrantStatus.SUSPENDED),),
        asked(),
        record(),
        Rule.DEFAULT_DENY,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_each_row_of_the_truth_table_gives_its_rule(name: str) -> None:
    grants, ask, target, rule = CASES[name]
    verdict = evaluate(DENY_BY_DEFAULT, grants, ask, target)
    assert verdict.rule is rule
    permits = {Rule.OWN_RECORD, Rule.GRANT_PERMIT, Rule.EXCEPTION_PERMIT, Rule.DEFAULT_PERMIT}
    assert verdict.permitted == (rule in permits)


def test_the_grant_that_decided_is_named() -> None:
    verdict = evaluate(DENY_BY_DEFAULT, (GENERAL, REFUSAL), asked(), record())
    assert verdict.grant_id == REFUSAL.grant_id


BASIC = DefaultPolicy.BASIC_NORMAL
ALL = DefaultPolicy.ALL_NORMAL
DEFAULT_CASES: list[tuple[DefaultPolicy, C, Ask, C, bool]] = [
    (BASIC, C.V, asked(), C.N, True),
    (BASIC, C.V, asked(Purpose.COC), C.N, True),
    (BASIC, C.V, asked(), C.R, False),
    (BASIC, C.L, asked(), C.N, False),
    (BASIC, C.V, asked(Purpose.HPAYMT), C.N, False),
    (BASIC, C.V, asked(Purpose.BTG), C.N, False),
    (BASIC, C.V, asked(role=Role.BILLING), C.N, False),
    (BASIC, C.V, asked(action=Action.DISCLOSE), C.N, False),
    (ALL, C.V, asked(Purpose.HPAYMT, role=Role.BILLING), C.N, True),
    (ALL, C.V, asked(Purpose.HRESCH, role=Role.RESEARCHER), C.N, False),
    (ALL, C.V, asked(Purpose.DSRCH, role=Role.RESEARCHER), C.N, False),
    (ALL, C.V, asked(Purpose.HMARKT), C.N, False),
    (ALL, C.V, asked(Purpose.PURPOSE_OF_USE), C.N, False),
    (ALL, C.V, asked(), C.R, False),
    (DefaultPolicy.BREAK_GLASS_ONLY, C.V, asked(), C.U, False),
    (DefaultPolicy.BREAK_GLASS_ONLY, C.V, asked(Purpose.BTG), C.U, False),
    (DefaultPolicy.DENY, C.V, asked(), C.U, False),
]


@pytest.mark.parametrize(
    ("policy", "ceiling", "ask", "confidentiality", "permitted"), DEFAULT_CASES
)
def test_silence_is_answered_by_the_default_policy(
    policy: DefaultPolicy, ceiling: C, ask: Ask, confidentiality: C, permitted: bool
) -> None:
    verdict = evaluate(
        Defaults(PID, policy, ceiling), (), ask, record(confidentiality=confidentiality)
    )
    assert verdict.permitted is permitted
    assert verdict.rule is (Rule.DEFAULT_PERMIT if permitted else Rule.DEFAULT_DENY)


def test_a_deny_beats_a_permitting_default() -> None:
    defaults = Defaults(PID, ALL, C.V)
    assert evaluate(defaults, (REFUSAL,), asked(), record()).rule is Rule.GRANT_DENY
