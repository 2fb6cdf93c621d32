"""The checks that a proposal's content must pass against the state: one function a kind."""

from __future__ import annotations

from typing import assert_never

from medquorum.block import Validator
from medquorum.quorum import VALIDATORS_MAX
from node.ledger.access import require_org_active
from node.ledger.codes import Code
from node.ledger.context import View
from node.ledger.errors import TxError, refuse_unless
from node.ledger.identities import GATEWAYS, Org, actor_of, gateway_key, org_of
from node.ledger.identities import NAMESPACE as IDENTITY
from node.ledger.keyrules import require_fresh_key, require_possession
from node.ledger.limits import OBSERVERS_MAX
from node.ledger.membership import (
    DAEMON_KEYS,
    NAMESPACE,
    NODE_USE,
    OBSERVERS,
    PAUSES,
    activations,
    validator_set,
)
from node.ledger.params import (
    ACTIVATION_HEIGHTS,
    PARAMS,
    PAUSE_MS_MAX,
    TX_WINDOW,
    is_settling,
    param,
)
from node.ledger.proposals import (
    NEVER_PAUSED,
    VALIDATORS_FLOOR,
    Activate,
    Content,
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
    ValidatorReinstate,
    ValidatorRemove,
    ValidatorReplace,
    ValidatorSuspend,
)
from node.ledger.roles import OrgKind
from node.ledger.suspensions import proven, suspended


def check_content(view: View, content: Content) -> None:
    """Raise TxError unless the content could be carried out now."""
    match content:
        case ParamSet():
            _check_param(view, content)
        case ValidatorAdd():
            _check_validator_add(view, content)
        case ValidatorRemove():
            _check_removal(view, content.key)
        case ValidatorReplace():
            _check_validator_replace(view, content)
        case ValidatorSuspend():
            _check_removal(view, proven(view, content.evidence).validator)
        case ValidatorReinstate():
            _check_validator_reinstate(view, content)
        case ObserverAdd():
            _check_observer_add(view, content)
        case ObserverRemove():
            known = OBSERVERS.has(view.read(NAMESPACE), content.node_key)
            refuse_unless(known, Code.NOT_FOUND, "no such observer")
        case Activate():
            _check_activate(view, content)
        case PauseModule():
            _check_pause(view, content)
        case UnpauseModule():
            _check_unpause(view, content)
        case OrgRegister():
            _check_org_register(view, content)
        case OrgSuspend():
            org = _org(view, content.org)
            refuse_unless(not org.suspended(view.height + 1), Code.STATE, "it is suspended")
        case OrgReinstate():
            org = _org(view, content.org)
            refuse_unless(org.suspended(view.height + 1), Code.STATE, "it is not suspended")
        case OrgRootReplace():
            _org(view, content.org)
            require_fresh_key(view, content.new_key)
            require_possession(view, content.org, content.new_key, content.possession)
        case _:
            assert_never(content)


def validator_with_key(view: View, key: bytes) -> Validator:
    """The validator that votes with this key. E_NOTFOUND."""
    for validator in validator_set(view).validators:
        if validator.key == key:
            return validator
    raise TxError(Code.NOT_FOUND, "no such validator")


def _org(view: View, org: bytes) -> Org:
    row = org_of(view, org)
    if row is None:
        raise TxError(Code.NOT_FOUND, "no such organisation")
    return row


def _check_param(view: View, content: ParamSet) -> None:
    row = PARAMS.get(view.read(NAMESPACE), content.name)
    if row is None:
        raise TxError(Code.NOT_FOUND, "no such parameter")
    within = row.minimum <= content.value <= row.maximum
    refuse_unless(within, Code.SCHEMA, f"{content.name} is {row.minimum} to {row.maximum}")
    if content.name == TX_WINDOW:
        refuse_unless(not is_settling(view), Code.STATE, "the last change has not settled")


def _check_validator_add(view: View, content: ValidatorAdd) -> None:
    require_org_active(view, content.org)
    _require_room(view)
    _check_daemon_keys(view, content.key, content.node_key, content.org)
    require_possession(view, content.org, content.key, content.possession)


def _check_validator_reinstate(view: View, content: ValidatorReinstate) -> None:
    same = suspended(view, content.key).org == content.org
    refuse_unless(same, Code.ORG, "it was another organisation's validator")
    require_org_active(view, content.org)
    _require_room(view)
    _check_daemon_keys(view, content.new_key, content.new_node_key, content.org)
    require_possession(view, content.org, content.new_key, content.possession)


def _require_room(view: View) -> None:
    room = len(validator_set(view).validators) < VALIDATORS_MAX
    refuse_unless(room, Code.LIMIT, f"there are at most {VALIDATORS_MAX} validators")


def _check_removal(view: View, key: bytes) -> None:
    validator_with_key(view, key)
    count = len(validator_set(view).validators)
    refuse_unless(count > 1, Code.LIMIT, "the last validator stays")
    refuse_unless(
        count != VALIDATORS_FLOOR, Code.LIMIT, f"there must stay {VALIDATORS_FLOOR} validators"
    )


def _check_validator_replace(view: View, content: ValidatorReplace) -> None:
    org = validator_with_key(view, content.key).org
    _check_daemon_keys(view, content.new_key, content.new_node_key, org)
    require_possession(view, org, content.new_key, content.possession)


def _check_observer_add(view: View, content: ObserverAdd) -> None:
    require_org_active(view, content.org)
    state = view.read(NAMESPACE)
    # Counted one further than needed, and no further: the table is bounded by this very check.
    count = sum(1 for _ in OBSERVERS.rows(state))
    refuse_unless(count < OBSERVERS_MAX, Code.LIMIT, f"there are at most {OBSERVERS_MAX} observers")
    _check_node_key(view, content.node_key, content.org)
    refuse_unless(
        not OBSERVERS.has(state, content.node_key), Code.DUPLICATE, "it is an observer already"
    )


def _check_daemon_keys(view: View, key: bytes, node_key: bytes, org: bytes) -> None:
    refuse_unless(key != node_key, Code.SCHEMA, "votes and links need different keys")
    require_fresh_key(view, key)
    _check_node_key(view, node_key, org)


def _check_node_key(view: View, node_key: bytes, org: bytes) -> None:
    """A node key is new, or an idle one of the same organisation."""
    known = DAEMON_KEYS.get(view.read(NAMESPACE), node_key)
    if known is None:
        require_fresh_key(view, node_key)
        return
    own = known.org == org and known.use == NODE_USE
    refuse_unless(own, Code.DUPLICATE, "the node key was used before for something else")
    busy = any(v.node_key == node_key for v in validator_set(view).validators)
    refuse_unless(not busy, Code.DUPLICATE, "the node key belongs to a validator")


def _check_activate(view: View, content: Activate) -> None:
    earliest = view.height + param(view, ACTIVATION_HEIGHTS)
    refuse_unless(
        content.height >= earliest, Code.TTL, f"the earliest possible height is {earliest}"
    )
    for decided in activations(view):
        same = (decided.name, decided.version) == (content.name, content.version)
        refuse_unless(
            not (same and decided.height == content.height), Code.DUPLICATE, "decided before"
        )


def _check_pause(view: View, content: PauseModule) -> None:
    refuse_unless(content.module not in NEVER_PAUSED, Code.STATE, "this module cannot be paused")
    refuse_unless(content.until_ms > view.time_ms, Code.TTL, "the pause would be over")
    latest = view.time_ms + param(view, PAUSE_MS_MAX)
    refuse_unless(content.until_ms <= latest, Code.TTL, "the pause is too long")


def _check_unpause(view: View, content: UnpauseModule) -> None:
    row = PAUSES.get(view.read(NAMESPACE), content.module)
    held = row is not None and row.holds(max(view.height + 1, row.from_height), view.time_ms)
    refuse_unless(held, Code.STATE, "the module is not paused")


def _check_org_register(view: View, content: OrgRegister) -> None:
    refuse_unless(content.kind in tuple(OrgKind), Code.SCHEMA, "no such kind of organisation")
    # Organisations and actors share the space of owners in statements of possession.
    taken = org_of(view, content.org) is not None or actor_of(view, content.org) is not None
    refuse_unless(not taken, Code.DUPLICATE, "the id is taken")
    if content.gateway_uri != "":
        taken = GATEWAYS.has(view.read(IDENTITY), gateway_key(content.gateway_uri))
        refuse_unless(not taken, Code.DUPLICATE, "another organisation names this gateway")
    require_fresh_key(view, content.root_key)
    require_possession(view, content.org, content.root_key, content.possession)
