"""Enrolment of people and systems."""

from __future__ import annotations

import msgspec

from node.ledger.access import require_org_active, signer_of_actor, signer_with_role
from node.ledger.codes import Code
from node.ledger.context import Context
from node.ledger.errors import TxError, refuse_unless
from node.ledger.identities import ACTORS, KEYS, ORG_ACTORS, ORGS, Actor, KeyBinding, Since
from node.ledger.keyrules import require_fresh_key, require_possession
from node.ledger.roles import Role
from node.ledger.types.identity.authority import require_admin_or_registrar
from node.ledger.types.identity.bodies import ActorEnrol, ActorKind, KemSet

_BY_REGISTRAR = frozenset({ActorKind.PATIENT, ActorKind.GUARDIAN})


def enrol(body: ActorEnrol, ctx: Context) -> None:
    """id.actor.enrol"""
    refuse_unless(body.kind in tuple(ActorKind), Code.SCHEMA, "no such kind of actor")
    require_org_active(ctx, body.org)
    if body.kind in _BY_REGISTRAR:
        require_admin_or_registrar(ctx, body.org)
    else:
        signer_with_role(ctx, Role.ORG_ADMIN, body.org)
    # Organisations and actors share the space of owners in statements of possession.
    taken = ACTORS.has(ctx.state, body.actor) or ORGS.has(ctx.state, body.actor)
    refuse_unless(not taken, Code.DUPLICATE, "the actor exists")
    require_fresh_key(ctx, body.key)
    require_possession(ctx, body.actor, body.key, body.possession)
    row = Actor(body.org, body.kind, body.key, body.kem, body.attest_hash, ctx.height)
    ACTORS.put(ctx.state, row, body.actor)
    ORG_ACTORS.put(ctx.state, Since(ctx.height), body.org, body.actor)
    KEYS.put(ctx.state, KeyBinding(body.actor, body.org, ctx.height + 1, 0, 0), body.key)
    ctx.emit("id.actor_enrolled", actor=body.actor, org=body.org, kind=body.kind)


def set_kem(body: KemSet, ctx: Context) -> None:
    """id.kem.set"""
    row = ACTORS.get(ctx.state, body.actor)
    if row is None:
        raise TxError(Code.NOT_FOUND, "no such actor")
    signer_of_actor(ctx, body.actor)
    ACTORS.put(ctx.state, msgspec.structs.replace(row, kem=body.kem), body.actor)
    ctx.emit("id.kem_set", actor=body.actor)
