"""How the consortium decides about itself: proposals, votes, and what follows from them."""

from __future__ import annotations

from typing import Final

from medquorum.recovery import Recovery
from node.ledger.membership import NAMESPACE
from node.ledger.txtype import EventType, Module, Traffic, TxType
from node.ledger.types.governance import effects, recovering, voting
from node.ledger.types.governance.bodies import (
    CastVote,
    EmergencyPause,
    Execute,
    Override,
    Propose,
)
from node.ledger.types.governance.parameters import PARAMS
from node.ledger.types.governance.queries import QUERIES
from node.ledger.types.governance.rows import TABLES

_GOVERNANCE: Final = Traffic.GOVERNANCE

TYPES: Final = (
    TxType("gov.propose", 1, Propose, voting.propose, "Put something to the vote.", _GOVERNANCE),
    TxType("gov.vote", 1, CastVote, voting.vote, "Approve or reject a proposal.", _GOVERNANCE),
    TxType("gov.execute", 1, Execute, effects.execute,
           "Carry out a proposal that more than two thirds approve.", _GOVERNANCE),
    TxType("gov.override", 1, Override, voting.override,
           "Answer for a change of validators that nodes hold for dangerous.", _GOVERNANCE),
    TxType("gov.pause", 1, EmergencyPause, effects.emergency_pause,
           "Pause a module for a short time, as two organisations.", _GOVERNANCE),
    TxType("gov.recover", 1, Recovery, recovering.recover,
           "Record who votes after a disaster, as organisations have signed.", _GOVERNANCE,
           unstoppable=True),
)  # fmt: skip

EVENTS: Final = (
    EventType("gov.proposed", ("proposal", "kind", "org"), "Something was put to the vote."),
    EventType(
        "gov.voted",
        ("proposal", "org", "decision", "approved", "rejected", "validators"),
        "An organisation voted; the weights after it.",
    ),
    EventType(
        "gov.overridden",
        ("proposal", "org", "reason"),
        "An organisation answers for a change after which a quorum may be missing.",
    ),
    EventType("gov.executed", ("proposal", "kind"), "A proposal was carried out."),
    EventType("gov.proposal_expired", ("proposal", "kind"), "The time of a proposal is over."),
    EventType("gov.validators_changed", ("count",), "Another set votes on the next height."),
    EventType(
        "gov.validator_suspended",
        ("validator", "org", "kind", "evidence"),
        "A validator that contradicted itself votes no more, from the next height on.",
    ),
    EventType(
        "gov.validator_reinstated",
        ("validator", "org", "successor"),
        "Its organisation votes again, with another key.",
    ),
    EventType(
        "gov.recovered",
        ("counter", "statement", "kept", "reason"),
        "Too many validators were lost; organisations have named those who vote from here on.",
    ),
    EventType("gov.observers_changed", ("node_key",), "A daemon may or may no longer follow."),
    EventType("gov.param_changed", ("name", "value"), "A parameter changes with the next height."),
    EventType("gov.activation_set", ("name", "version", "height"), "Code runs from a height on."),
    EventType("gov.module_paused", ("module", "until_ms"), "A module pauses with the next height."),
    EventType("gov.module_unpaused", ("module",), "A pause ends with the next height."),
)

MODULE: Final = Module(
    name=NAMESPACE,
    types=TYPES,
    tables=TABLES,
    events=EVENTS,
    queries=(*QUERIES, recovering.RECOVERIES_QUERY),
    params=PARAMS,
    due={voting.EXPIRE: voting.expire},
    genesis=effects.found,
)
