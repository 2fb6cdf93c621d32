"""Roles, issued by organisations to their own actors, if their kind is entitled to."""

from __future__ import annotations

import msgspec

from node.ledger.access import require_org_active, signer_with_role
from node.ledger.codes import Code
from node.ledger.context import Context
from node.ledger.errors import TxError, refuse_unless
from node.ledger.identities import ACTORS, CREDENTIALS, ROLES, Credential, Hold, Holds
from node.ledger.limits import HOLDS_PER_ROLE_MAX
from node.ledger.params import param
from node.ledger.roles import ISSUER_KINDS, OrgKind, Role
from node.ledger.types.identity.authority import require_admin_or_registrar
from node.ledger.types.identity.bodies import (
    NOT_REVOKED,
    CredentialIssue,
    CredentialRevoke,
    RevocationReason,
)
from node.ledger.types.identity.parameters import CREDENTIAL_MS_MAX

_BY_REGISTRAR = frozenset({Role.PATIENT, Role.GUARDIAN})


def issue(body: CredentialIssue, ctx: Context) -> None:
    """id.cred.issue"""
    refuse_unless(body.role in tuple(Role), Code.SCHEMA, "no such role")
    role = Role(body.role)
    issuer = require_org_active(ctx, body.scope)
    # Nobody gives a role to themselves, not even an administrator.
    if role in _BY_REGISTRAR:
        require_admin_or_registrar(ctx, body.scope, other_than=body.actor)
    else:
        signer_with_role(ctx, Role.ORG_ADMIN, body.scope, other_than=body.actor)
    entitled = OrgKind(issuer.kind) in ISSUER_KINDS[role]
    refuse_unless(entitled, Code.ROLE, f"a {issuer.kind} cannot make somebody {role}")
    _check_time(body, ctx)
    actor = ACTORS.get(ctx.state, body.actor)
    if actor is None:
        raise TxError(Code.NOT_FOUND, "no such actor")
    refuse_unless(actor.org == body.scope, Code.ORG, "the actor belongs to another organisation")
    exists = CREDENTIALS.has(ctx.state, body.credential)
    refuse_unless(not exists, Code.DUPLICATE, "the credential exists")
    holds = _live(body.actor, role, ctx)
    refuse_unless(len(holds) < HOLDS_PER_ROLE_MAX, Code.LIMIT, "too many credentials for one role")
    hold = Hold(body.credential, body.scope, body.not_before_ms, body.not_after_ms)
    row = Credential(
        actor=body.actor,
        role=role.value,
        scope=body.scope,
        issuer=body.scope,
        not_before_ms=body.not_before_ms,
        not_after_ms=body.not_after_ms,
        evidence_hash=body.evidence_hash,
        issued=ctx.height,
        revoked=0,
        reason=NOT_REVOKED,
    )
    CREDENTIALS.put(ctx.state, row, body.credential)
    ROLES.put(ctx.state, Holds((*holds, hold)), body.actor, role.value)
    ctx.emit(
        "id.credential_issued",
        credential=body.credential,
        actor=body.actor,
        role=role.value,
        org=body.scope,
    )


def revoke(body: CredentialRevoke, ctx: Context) -> None:
    """id.cred.revoke"""
    refuse_unless(body.reason in tuple(RevocationReason), Code.SCHEMA, "no such reason")
    row = CREDENTIALS.get(ctx.state, body.credential)
    if row is None:
        raise TxError(Code.NOT_FOUND, "no such credential")
    given_up = any(signer.actor == row.actor for signer in ctx.signers)
    if not given_up and row.role in _BY_REGISTRAR:
        require_admin_or_registrar(ctx, row.issuer)
    elif not given_up:
        signer_with_role(ctx, Role.ORG_ADMIN, row.issuer)
    refuse_unless(row.revoked == 0, Code.STATE, "the credential was revoked before")
    changed = msgspec.structs.replace(row, revoked=ctx.height, reason=body.reason)
    CREDENTIALS.put(ctx.state, changed, body.credential)
    holds = tuple(
        hold for hold in _live(row.actor, row.role, ctx) if hold.credential != body.credential
    )
    if holds:
        ROLES.put(ctx.state, Holds(holds), row.actor, row.role)
    else:
        ROLES.delete(ctx.state, row.actor, row.role)
    ctx.emit(
        "id.credential_revoked",
        credential=body.credential,
        actor=row.actor,
        role=row.role,
        org=row.issuer,
    )


def _check_time(body: CredentialIssue, ctx: Context) -> None:
    refuse_unless(body.not_before_ms < body.not_after_ms, Code.SCHEMA, "it would never be valid")
    refuse_unless(body.not_after_ms > ctx.time_ms, Code.TTL, "it would have expired")
    latest = ctx.time_ms + param(ctx, CREDENTIAL_MS_MAX)
    refuse_unless(body.not_after_ms <= latest, Code.TTL, "it would be valid for too long")


def _live(actor: bytes, role: str, ctx: Context) -> tuple[Hold, ...]:
    """What the actor holds for the role, without what has expired: so the row stays small."""
    row = ROLES.get(ctx.state, actor, role)
    if row is None:
        return ()
    return tuple(hold for hold in row.holds if hold.not_after_ms > ctx.time_ms)
