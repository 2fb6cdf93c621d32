"""Organisations: carrying out what the consortium decided about them."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from medquorum.invariants import require
from node.ledger.access import signer_with_role
from node.ledger.codes import Code
from node.ledger.context import Context
from node.ledger.decisions import require_passed
from node.ledger.errors import TxError, refuse_unless
from node.ledger.identities import (
    CARRIED_OUT,
    KEYS,
    ORGS,
    CarriedOut,
    KeyBinding,
    Org,
)
from node.ledger.proposal_checks import check_content
from node.ledger.proposals import (
    OrgContent,
    OrgRegister,
    OrgReinstate,
    OrgRootReplace,
    OrgSuspend,
    content_of,
)
from node.ledger.roles import Role
from node.ledger.types.identity.bodies import CarryOut
from node.ledger.types.identity.founding import admit
from node.ledger.types.identity.keys import end_binding

ContentT = TypeVar("ContentT", bound=OrgContent)


def register(body: CarryOut, ctx: Context) -> None:
    """id.org.register"""
    content = _decided(body, OrgRegister, ctx)
    row = Org(
        kind=content.kind,
        legal_hash=content.legal_hash,
        jurisdiction=content.jurisdiction,
        gateway_uri=content.gateway_uri,
        root_key=content.root_key,
        registered=ctx.height,
        suspended_from=0,
        suspended_until=0,
    )
    admit(ctx.state, content.org, row)
    _close(body, ctx)
    ctx.emit("id.org_registered", org=content.org, kind=content.kind)


def suspend(body: CarryOut, ctx: Context) -> None:
    """id.org.suspend"""
    content = _decided(body, OrgSuspend, ctx)
    row = _org(ctx, content.org)
    changed = msgspec.structs.replace(row, suspended_from=ctx.height + 1, suspended_until=0)
    ORGS.put(ctx.state, changed, content.org)
    _close(body, ctx)
    ctx.emit("id.org_suspended", org=content.org)


def reinstate(body: CarryOut, ctx: Context) -> None:
    """id.org.reinstate"""
    content = _decided(body, OrgReinstate, ctx)
    row = _org(ctx, content.org)
    changed = msgspec.structs.replace(row, suspended_until=ctx.height + 1)
    ORGS.put(ctx.state, changed, content.org)
    _close(body, ctx)
    ctx.emit("id.org_reinstated", org=content.org)


def replace_root(body: CarryOut, ctx: Context) -> None:
    """id.org.root_replace"""
    content = _decided(body, OrgRootReplace, ctx)
    row = _org(ctx, content.org)
    end_binding(ctx, row.root_key, ctx.height + 1)
    KEYS.put(ctx.state, KeyBinding(b"", content.org, ctx.height + 1, 0, 0), content.new_key)
    ORGS.put(ctx.state, msgspec.structs.replace(row, root_key=content.new_key), content.org)
    _close(body, ctx)
    ctx.emit("id.key_rotated", org=content.org)


def _decided(body: CarryOut, kind: type[ContentT], ctx: Context) -> ContentT:
    """What was decided: passed, of this kind, not carried out before, and still possible."""
    signer_with_role(ctx, Role.ORG_ADMIN)
    done = CARRIED_OUT.has(ctx.state, body.proposal)
    refuse_unless(not done, Code.STATE, "the proposal was carried out before")
    content = content_of(require_passed(ctx, body.proposal))
    if not isinstance(content, kind):
        raise TxError(Code.STATE, "the proposal decides something else")
    check_content(ctx, content)
    return content


def _close(body: CarryOut, ctx: Context) -> None:
    CARRIED_OUT.put(ctx.state, CarriedOut(ctx.height), body.proposal)


def _org(ctx: Context, org: bytes) -> Org:
    row = ORGS.get(ctx.state, org)
    if row is None:
        require(False, "the content of the proposal was checked")
        raise TxError(Code.NOT_FOUND, "no such organisation")
    return row
