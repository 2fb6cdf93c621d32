"""Rotation and revocation of keys. Both take effect with the next height, everywhere at once."""

from __future__ import annotations

import msgspec

from medquorum.invariants import require
from node.ledger.codes import Code
from node.ledger.context import Context
from node.ledger.errors import TxError, refuse_unless
from node.ledger.identities import ACTORS, KEYS, ORGS, KeyBinding
from node.ledger.keyrules import require_fresh_key, require_possession
from node.ledger.params import param
from node.ledger.types.identity.authority import require_holder_or_officers
from node.ledger.types.identity.bodies import KeyRevoke, KeyRotate
from node.ledger.types.identity.parameters import OVERLAP_HEIGHTS_MAX


def rotate(body: KeyRotate, ctx: Context) -> None:
    """id.key.rotate"""
    binding = _binding(ctx, body.key)
    require_holder_or_officers(ctx, (body.key,), binding.org)
    refuse_unless(_current(ctx, binding) == body.key, Code.STATE, "the key was replaced before")
    longest = param(ctx, OVERLAP_HEIGHTS_MAX)
    refuse_unless(body.overlap_heights <= longest, Code.LIMIT, f"overlap at most {longest} heights")
    require_fresh_key(ctx, body.new_key)
    owner = binding.actor or binding.org
    require_possession(ctx, owner, body.new_key, body.possession)
    starts = ctx.height + 1
    end_binding(ctx, body.key, starts + body.overlap_heights)
    KEYS.put(ctx.state, KeyBinding(binding.actor, binding.org, starts, 0, 0), body.new_key)
    _set_current(ctx, binding, body.new_key)
    ctx.emit("id.key_rotated", actor=binding.actor, org=binding.org)


def revoke(body: KeyRevoke, ctx: Context) -> None:
    """id.key.revoke"""
    binding = _binding(ctx, body.key)
    # The newest key may end an older one, but not the other way round: the older may be in bad
    # hands.
    require_holder_or_officers(ctx, (body.key, _current(ctx, binding)), binding.org)
    refuse_unless(body.compromised_from <= ctx.height, Code.SCHEMA, "a height of the future")
    ends = ctx.height + 1
    ended = binding.until_height != 0 and binding.until_height <= ends
    # A key that ended may still turn out to have been compromised, or earlier than was thought.
    earlier = body.compromised_from != 0 and (
        binding.compromised_from == 0 or body.compromised_from < binding.compromised_from
    )
    refuse_unless(not ended or earlier, Code.STATE, "the key was revoked before")
    changed = msgspec.structs.replace(
        binding,
        until_height=binding.until_height if ended else ends,
        compromised_from=body.compromised_from if earlier else binding.compromised_from,
    )
    KEYS.put(ctx.state, changed, body.key)
    ctx.emit("id.key_revoked", actor=binding.actor, org=binding.org)


def end_binding(ctx: Context, key: bytes, height: int) -> None:
    """Let the key sign no longer from `height` on, unless it ends earlier."""
    binding = _binding(ctx, key)
    if binding.until_height == 0 or height < binding.until_height:
        KEYS.put(ctx.state, msgspec.structs.replace(binding, until_height=height), key)


def _binding(ctx: Context, key: bytes) -> KeyBinding:
    binding = KEYS.get(ctx.state, key)
    if binding is None:
        raise TxError(Code.NOT_FOUND, "nobody has this key")
    return binding


def _current(ctx: Context, binding: KeyBinding) -> bytes:
    """The newest key of the binding's owner."""
    if binding.actor == b"":
        org = ORGS.get(ctx.state, binding.org)
        require(org is not None, "a key is bound to an organisation that does not exist")
        return b"" if org is None else org.root_key
    actor = ACTORS.get(ctx.state, binding.actor)
    require(actor is not None, "a key is bound to an actor that does not exist")
    return b"" if actor is None else actor.key


def _set_current(ctx: Context, binding: KeyBinding, key: bytes) -> None:
    if binding.actor == b"":
        org = ORGS.get(ctx.state, binding.org)
        if org is not None:
            ORGS.put(ctx.state, msgspec.structs.replace(org, root_key=key), binding.org)
        return
    actor = ACTORS.get(ctx.state, binding.actor)
    if actor is not None:
        ACTORS.put(ctx.state, msgspec.structs.replace(actor, key=key), binding.actor)
