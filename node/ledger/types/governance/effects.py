"""What a passed proposal does, one function a kind; and the emergency pause."""

from __future__ import annotations

from typing import assert_never

import msgspec

from medquorum.genesis import Genesis
from node.ledger.access import signer_with_role
from node.ledger.codes import Code
from node.ledger.context import Context
from node.ledger.decisions import EXECUTED, require_open, require_passed
from node.ledger.errors import TxError, refuse_unless
from node.ledger.membership import (
    ACTIVATIONS,
    DAEMON_KEYS,
    NODE_USE,
    OBSERVERS,
    PAUSES,
    VALIDATORS,
    Activation,
    DaemonKey,
    Observer,
    Pause,
    file_keys,
    validator_set,
)
from node.ledger.params import PARAMS, param
from node.ledger.proposal_checks import check_content, validator_with_key
from node.ledger.proposals import (
    NEVER_PAUSED,
    Activate,
    GovernanceContent,
    ObserverAdd,
    ObserverRemove,
    OrgRegister,
    OrgReinstate,
    OrgRootReplace,
    OrgSuspend,
    ParamSet,
    PauseModule,
    UnpauseModule,
    ValidatorAdd,
    ValidatorChange,
    ValidatorReinstate,
    ValidatorRemove,
    ValidatorReplace,
    ValidatorSuspend,
    content_of,
)
from node.ledger.roles import Role
from node.ledger.suspensions import SUSPENSIONS, Suspension, proven, suspended
from node.ledger.types.governance.bodies import EmergencyPause, Execute
from node.ledger.types.governance.changes import newcomers, validators_after
from node.ledger.types.governance.parameters import EMERGENCY_PAUSE_MS_MAX, EMERGENCY_REST_MS
from node.ledger.types.governance.rows import OVERRIDES
from node.ledger.types.governance.voting import close, require_voter


def execute(body: Execute, ctx: Context) -> None:
    """gov.execute"""
    signer_with_role(ctx, Role.ORG_ADMIN)
    draft = require_passed(ctx, body.proposal)
    content = content_of(draft)
    if isinstance(content, OrgRegister | OrgSuspend | OrgReinstate | OrgRootReplace):
        raise TxError(Code.STATE, "an id.org type carries this out")
    check_content(ctx, content)
    if isinstance(content, ValidatorChange):
        _require_followers(ctx, body.proposal, content)
    row = require_open(ctx, body.proposal)
    close(ctx, body.proposal, row, EXECUTED)
    ctx.emit("gov.executed", proposal=body.proposal, kind=draft.kind)
    _carry_out(content, ctx)


def emergency_pause(body: EmergencyPause, ctx: Context) -> None:
    """gov.pause"""
    refuse_unless(body.first_org != body.second_org, Code.ROLE, "two organisations must sign")
    require_voter(ctx, body.first_org)
    require_voter(ctx, body.second_org)
    refuse_unless(body.module not in NEVER_PAUSED, Code.STATE, "this module cannot be paused")
    refuse_unless(body.until_ms > ctx.time_ms, Code.TTL, "the pause would be over")
    latest = ctx.time_ms + param(ctx, EMERGENCY_PAUSE_MS_MAX)
    refuse_unless(body.until_ms <= latest, Code.TTL, "the pause is too long")
    before = PAUSES.get(ctx.state, body.module)
    if before is not None:
        rested = ctx.time_ms >= before.until_ms + param(ctx, EMERGENCY_REST_MS)
        refuse_unless(rested, Code.STATE, "the module was paused too recently")
    _pause(ctx, body.module, body.until_ms)


def found(genesis: Genesis, ctx: Context) -> None:
    """File the keys of the founding validators. The set itself is written by the core."""
    for validator in genesis.validators:
        file_keys(ctx.state, validator)


def _carry_out(content: GovernanceContent, ctx: Context) -> None:
    match content:
        case ParamSet():
            _set_param(content, ctx)
        case ValidatorAdd() | ValidatorRemove() | ValidatorReplace():
            _change_validators(content, ctx)
        case ValidatorSuspend():
            _suspend(content, ctx)
        case ValidatorReinstate():
            _reinstate(content, ctx)
        case ObserverAdd():
            OBSERVERS.put(ctx.state, Observer(content.node_key, content.org), content.node_key)
            DAEMON_KEYS.put(ctx.state, DaemonKey(content.org, NODE_USE), content.node_key)
            ctx.emit("gov.observers_changed", node_key=content.node_key)
        case ObserverRemove():
            OBSERVERS.delete(ctx.state, content.node_key)
            ctx.emit("gov.observers_changed", node_key=content.node_key)
        case Activate():
            decided = Activation(ctx.height, content.code_hash)
            ACTIVATIONS.put(ctx.state, decided, content.name, content.version, content.height)
            ctx.emit(
                "gov.activation_set",
                name=content.name, version=content.version, height=content.height,
            )  # fmt: skip
        case PauseModule():
            _pause(ctx, content.module, content.until_ms)
        case UnpauseModule():
            _unpause(ctx, content.module)
        case _:
            assert_never(content)


def _set_param(content: ParamSet, ctx: Context) -> None:
    row = PARAMS.get(ctx.state, content.name)
    if row is None:
        raise TxError(Code.NOT_FOUND, "no such parameter")
    changed = msgspec.structs.replace(
        row,
        value=content.value,
        before=param(ctx, content.name),
        from_height=ctx.height + 1,
    )
    PARAMS.put(ctx.state, changed, content.name)
    ctx.emit("gov.param_changed", name=content.name, value=content.value)


def _change_validators(content: ValidatorChange, ctx: Context) -> None:
    """Write the set that votes on the next height.

    A new validator's daemon is an observer no longer.
    """
    before = validator_set(ctx)
    after = validators_after(before, content)
    VALIDATORS.put(ctx.state, after)
    for new in newcomers(before, after):
        file_keys(ctx.state, new)
        OBSERVERS.delete(ctx.state, new.node_key)
    ctx.emit("gov.validators_changed", count=len(after.validators))


def _require_followers(ctx: Context, proposal: bytes, content: ValidatorChange) -> None:
    """Whoever is to vote is a member already, so that it can have the chain: others will wait for
    its vote. Unless an organisation answers for it.
    """
    before = validator_set(ctx)
    new = newcomers(before, validators_after(before, content))
    if all(OBSERVERS.has(ctx.state, validator.node_key) for validator in new):
        return
    answered = any(True for _ in OVERRIDES.rows(ctx.state, proposal))
    refuse_unless(answered, Code.STATE, "a validator is an observer first, or is answered for")


def _suspend(content: ValidatorSuspend, ctx: Context) -> None:
    """The next height is decided without it. Its key is remembered: it never votes again."""
    accusation = proven(ctx, content.evidence)
    accused = validator_with_key(ctx, accusation.validator)
    row = Suspension(accused.org, accusation.kind.value, content.evidence.id(), ctx.height, 0, b"")
    SUSPENSIONS.put(ctx.state, row, accused.key)
    ctx.emit(
        "gov.validator_suspended",
        validator=accused.key, org=accused.org, kind=row.kind, evidence=row.evidence,
    )  # fmt: skip
    _change_validators(content, ctx)


def _reinstate(content: ValidatorReinstate, ctx: Context) -> None:
    row = suspended(ctx, content.key)
    lifted = msgspec.structs.replace(row, lifted=ctx.height, successor=content.new_key)
    SUSPENSIONS.put(ctx.state, lifted, content.key)
    ctx.emit(
        "gov.validator_reinstated",
        validator=content.key, org=row.org, successor=content.new_key,
    )  # fmt: skip
    _change_validators(content, ctx)


def _pause(ctx: Context, module: str, until_ms: int) -> None:
    PAUSES.put(ctx.state, Pause(ctx.height + 1, 0, until_ms), module)
    ctx.emit("gov.module_paused", module=module, until_ms=until_ms)


def _unpause(ctx: Context, module: str) -> None:
    row = PAUSES.get(ctx.state, module)
    if row is None:
        raise TxError(Code.STATE, "the module is not paused")
    PAUSES.put(ctx.state, msgspec.structs.replace(row, until_height=ctx.height + 1), module)
    ctx.emit("gov.module_unpaused", module=module)
