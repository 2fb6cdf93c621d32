"""May this person see this record? The one place where consent is decided: pure, deterministic, the
same on every validator.

The order of the rules (the language is that of the IHE profile Privacy Consent on FHIR):

1. The patient sees their own records.
2. Of the grants whose period, grantee, purpose, action and data match, each says permit or deny;
   where one of its exceptions matches too, it says the opposite. Exceptions have no exceptions.
3. If any of them says deny, the answer is deny.
4. Otherwise, if any of them says permit, the answer is permit.
5. Otherwise the patient's default policy answers.

The answer does not depend on the order in which the grants are given. Of several grants that
decide, the one with the smallest id is named.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol, assert_never

from node.ledger.roles import Role
from node.ledger.types.records.classes import Confidentiality, RecordClass
from node.ledger.types.records.purposes import INCLUDED_IN, Purpose, is_a
from node.ledger.types.records.terms import (
    NOBODY,
    Action,
    Decision,
    DefaultPolicy,
    GrantStatus,
    Scope,
)

DEFAULT_CEILING: Final = Confidentiality.N
"""The 'normal' of the default policies: beyond it the patient must have said something."""
TREATING_ROLES: Final = frozenset(
    {Role.CLINICIAN, Role.SENIOR_CLINICIAN, Role.NURSE, Role.PHARMACIST}
)
DEFAULT_ACTIONS: Final = frozenset({Action.COLLECT, Action.ACCESS, Action.USE})
"""Disclosing records to others and correcting them is never permitted by silence."""


class Rule(StrEnum):
    """Which rule decided."""

    OWN_RECORD = "own_record"
    GRANT_DENY = "grant_deny"
    EXCEPTION_DENY = "exception_deny"
    """A permit matched, and so did one of its exceptions."""
    GRANT_PERMIT = "grant_permit"
    EXCEPTION_PERMIT = "exception_permit"
    """A deny matched, and so did one of its exceptions."""
    DEFAULT_PERMIT = "default_permit"
    DEFAULT_DENY = "default_deny"


@dataclass(frozen=True, slots=True)
class Defaults:
    """The patient, and what holds where they have said nothing."""

    pid: bytes
    policy: DefaultPolicy
    ceiling: Confidentiality


@dataclass(frozen=True, slots=True)
class Ask:
    """Who wants to do what, in which role and organisation, for what, and when (block time)."""

    actor: bytes
    org: bytes
    role: str
    purpose: Purpose
    action: Action
    now_ms: int


@dataclass(frozen=True, slots=True)
class Target:
    """What consent needs to know about a record."""

    record_class: RecordClass
    confidentiality: Confidentiality
    anchored_ms: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer, the rule that gave it, and the grant it came from (empty if from none)."""

    permitted: bool
    rule: Rule
    grant_id: bytes


class Statement(Protocol):
    """What evaluation reads of a grant."""

    @property
    def grant_id(self) -> bytes:
        """Its id."""
        ...

    @property
    def decision(self) -> Decision:
        """What it says where no exception matches."""
        ...

    @property
    def scope(self) -> Scope:
        """What it is about."""
        ...

    @property
    def exceptions(self) -> tuple[Scope, ...]:
        """Where it says the opposite."""
        ...

    @property
    def not_before_ms(self) -> int:
        """The first moment at which it holds."""
        ...

    @property
    def not_after_ms(self) -> int:
        """The first moment at which it no longer holds."""
        ...

    @property
    def status(self) -> GrantStatus:
        """Only active ones are asked."""
        ...


def evaluate(defaults: Defaults, grants: Iterable[Statement], ask: Ask, target: Target) -> Verdict:
    """The answer for one record."""
    return decide(defaults, applicable(grants, ask), ask, target)


def applicable(grants: Iterable[Statement], ask: Ask) -> tuple[Statement, ...]:
    """The grants that are in force and about this person and purpose, whatever the record.

    Computed once for all the records of a request.
    """
    return tuple(
        grant
        for grant in grants
        if grant.status is GrantStatus.ACTIVE
        and grant.not_before_ms <= ask.now_ms < grant.not_after_ms
        and matches_ask(grant.scope, ask)
    )


def decide(defaults: Defaults, grants: Iterable[Statement], ask: Ask, target: Target) -> Verdict:
    """The answer for one record, given the grants that `applicable` chose."""
    if ask.actor == defaults.pid:
        return Verdict(True, Rule.OWN_RECORD, NOBODY)
    denial: Verdict | None = None
    permit: Verdict | None = None
    for grant in grants:
        if not matches_target(grant.scope, target):
            continue
        verdict = _says(grant, ask, target)
        if verdict.permitted:
            if permit is None or verdict.grant_id < permit.grant_id:
                permit = verdict
        elif denial is None or verdict.grant_id < denial.grant_id:
            denial = verdict
    if denial is not None:
        return denial
    if permit is not None:
        return permit
    if default_permits(defaults, ask, target):
        return Verdict(True, Rule.DEFAULT_PERMIT, NOBODY)
    return Verdict(False, Rule.DEFAULT_DENY, NOBODY)


def matches_ask(scope: Scope, ask: Ask) -> bool:
    """Whether the scope is about this person, purpose and action."""
    if scope.grantee_org not in (NOBODY, ask.org):
        return False
    if scope.grantee_actor not in (NOBODY, ask.actor):
        return False
    if scope.grantee_role not in ("", ask.role):
        return False
    if scope.actions and ask.action not in scope.actions:
        return False
    return not scope.purposes or not INCLUDED_IN[ask.purpose].isdisjoint(scope.purposes)


def matches_target(scope: Scope, target: Target) -> bool:
    """Whether the scope is about such a record."""
    if scope.classes and target.record_class not in scope.classes:
        return False
    if not scope.floor <= target.confidentiality <= scope.ceiling:
        return False
    if target.anchored_ms < scope.data_from_ms:
        return False
    return scope.data_to_ms == 0 or target.anchored_ms < scope.data_to_ms


def default_permits(defaults: Defaults, ask: Ask, target: Target) -> bool:
    """What the default policy says.

    Breaking the glass has transactions of its own and is never permitted here.
    """
    if target.confidentiality > min(DEFAULT_CEILING, defaults.ceiling):
        return False
    if ask.action not in DEFAULT_ACTIONS or ask.purpose is Purpose.BTG:
        return False
    match defaults.policy:
        case DefaultPolicy.BASIC_NORMAL:
            return ask.role in TREATING_ROLES and is_a(ask.purpose, Purpose.TREAT)
        case DefaultPolicy.ALL_NORMAL:
            return ask.purpose not in _NEVER_BY_SILENCE
        case DefaultPolicy.BREAK_GLASS_ONLY | DefaultPolicy.DENY:
            return False
        case _:
            assert_never(defaults.policy)


_NEVER_BY_SILENCE: Final = frozenset(
    purpose
    for purpose in Purpose
    if purpose is Purpose.PURPOSE_OF_USE
    or is_a(purpose, Purpose.HMARKT)
    or is_a(purpose, Purpose.HRESCH)
)
"""Purposes that ask for a statement of their own, and the root, which would include them."""


def _says(grant: Statement, ask: Ask, target: Target) -> Verdict:
    excepted = any(
        matches_ask(exception, ask) and matches_target(exception, target)
        for exception in grant.exceptions
    )
    match grant.decision:
        case Decision.PERMIT:
            rule = Rule.EXCEPTION_DENY if excepted else Rule.GRANT_PERMIT
        case Decision.DENY:
            rule = Rule.EXCEPTION_PERMIT if excepted else Rule.GRANT_DENY
        case _:
            assert_never(grant.decision)
    return Verdict(rule in _PERMITTING, rule, grant.grant_id)


_PERMITTING: Final = frozenset({Rule.GRANT_PERMIT, Rule.EXCEPTION_PERMIT})
