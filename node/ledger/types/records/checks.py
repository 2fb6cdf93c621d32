"""What a grant may say: the rules that need no state, and containment between scopes.

The consent-specific rules follow one idea. What the patient must have understood separately must be
stated separately: marketing, research, and the most confidential records.
"""

from __future__ import annotations

from collections.abc import Sequence

from node.ledger.access import require_org_active
from node.ledger.codes import Code
from node.ledger.context import Context
from node.ledger.errors import TxError, refuse_unless
from node.ledger.identities import actor_of, org_of
from node.ledger.types.records.classes import Confidentiality
from node.ledger.types.records.purposes import INCLUDED_IN, Purpose, is_a
from node.ledger.types.records.terms import (
    NOBODY,
    ROLES,
    Decision,
    Scope,
    require_distinct,
    require_maybe_hashes,
)


def check_terms(
    decision: Decision, scope: Scope, exceptions: Sequence[Scope], form_hash: bytes
) -> None:
    """E_SCHEMA or E_SCOPE if no patient may state this, whatever the state of the ledger."""
    _check_scope(scope)
    refuse_unless(
        scope.purposes != () and scope.actions != () and scope.classes != (),
        Code.SCHEMA,
        "a grant lists its purposes, actions and classes",
    )
    for exception in exceptions:
        _check_scope(exception)
        refuse_unless(
            not includes(exception, scope), Code.SCHEMA, "an exception as wide as its grant"
        )
    require_distinct(tuple(exceptions), "an exception")
    if decision is Decision.PERMIT:
        _check_permit(scope.purposes, scope.blanket, scope.ceiling, form_hash)
        return
    for exception in exceptions:
        _check_permit(
            exception.purposes or scope.purposes,
            scope.blanket and exception.blanket,
            min(scope.ceiling, exception.ceiling),
            form_hash,
        )


def check_grantees(
    ctx: Context, decision: Decision, scope: Scope, exceptions: Sequence[Scope]
) -> None:
    """Whoever is named exists; whoever is given access is active. E_NOTFOUND, E_ORG."""
    for one in (scope, *exceptions):
        gives_access = (one is scope) == (decision is Decision.PERMIT)
        if one.grantee_org != NOBODY:
            _check_org(ctx, one.grantee_org, active=gives_access)
        if one.grantee_actor != NOBODY:
            actor = actor_of(ctx, one.grantee_actor)
            if actor is None:
                raise TxError(Code.NOT_FOUND, "no such grantee")
            _check_org(ctx, actor.org, active=gives_access)


def includes(outer: Scope, inner: Scope) -> bool:
    """Whether `outer` matches whatever `inner` matches. Errs on the side of no."""
    return (
        outer.grantee_org in (NOBODY, inner.grantee_org)
        and outer.grantee_actor in (NOBODY, inner.grantee_actor)
        and outer.grantee_role in ("", inner.grantee_role)
        and _includes_purposes(outer.purposes, inner.purposes)
        and _includes_all(outer.actions, inner.actions)
        and _includes_all(outer.classes, inner.classes)
        and outer.floor <= inner.floor
        and inner.ceiling <= outer.ceiling
        and outer.data_from_ms <= inner.data_from_ms
        and (outer.data_to_ms == 0 or 0 < inner.data_to_ms <= outer.data_to_ms)
    )


def _check_scope(scope: Scope) -> None:
    require_maybe_hashes(scope.grantee_org, scope.grantee_actor)
    refuse_unless(
        scope.grantee_role == "" or scope.grantee_role in ROLES, Code.SCHEMA, "unknown role"
    )
    require_distinct(scope.purposes, "a purpose")
    require_distinct(scope.actions, "an action")
    require_distinct(scope.classes, "a class")
    refuse_unless(
        scope.floor <= scope.ceiling,
        Code.SCHEMA,
        "the floor of confidentiality is above the ceiling",
    )
    refuse_unless(
        scope.data_to_ms == 0 or scope.data_from_ms < scope.data_to_ms,
        Code.SCHEMA,
        "the period of the data is empty or reversed",
    )


def _check_permit(
    purposes: tuple[Purpose, ...], blanket: bool, ceiling: Confidentiality, form_hash: bytes
) -> None:
    refuse_unless(
        Purpose.PURPOSE_OF_USE not in purposes, Code.SCHEMA, "nobody is given every purpose at once"
    )
    if Purpose.HMARKT in purposes:
        refuse_unless(len(purposes) == 1, Code.SCHEMA, "marketing is consented to on its own")
        refuse_unless(form_hash != NOBODY, Code.SCHEMA, "marketing needs a form of its own")
    research = [is_a(purpose, Purpose.HRESCH) for purpose in purposes]
    refuse_unless(
        all(research) or not any(research), Code.SCHEMA, "research is consented to on its own"
    )
    refuse_unless(
        not (blanket and ceiling is Confidentiality.V),
        Code.SCOPE,
        "very restricted records are opened to a named organisation or person only",
    )


def _check_org(ctx: Context, org: bytes, *, active: bool) -> None:
    if active:
        require_org_active(ctx, org)
    else:
        refuse_unless(org_of(ctx, org) is not None, Code.NOT_FOUND, "no such organisation")


def _includes_purposes(outer: tuple[Purpose, ...], inner: tuple[Purpose, ...]) -> bool:
    if outer == ():
        return True
    return inner != () and all(not INCLUDED_IN[one].isdisjoint(outer) for one in inner)


def _includes_all(outer: Sequence[object], inner: Sequence[object]) -> bool:
    if len(outer) == 0:
        return True
    return len(inner) > 0 and all(one in outer for one in inner)
