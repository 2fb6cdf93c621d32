"""Organisations, actors, their keys and credentials."""

from __future__ import annotations

from typing import Final

from node.ledger.identities import NAMESPACE, TABLES
from node.ledger.txtype import EventType, Module, Traffic, TxType
from node.ledger.types.identity import actors, credentials, keys, orgs
from node.ledger.types.identity.bodies import (
    ActorEnrol,
    CarryOut,
    CredentialIssue,
    CredentialRevoke,
    KemSet,
    KeyRevoke,
    KeyRotate,
)
from node.ledger.types.identity.founding import found
from node.ledger.types.identity.parameters import PARAMS
from node.ledger.types.identity.queries import QUERIES

_GOVERNANCE: Final = Traffic.GOVERNANCE

TYPES: Final = (
    TxType("id.org.register", 1, CarryOut, orgs.register,
           "Admit the organisation that a passed proposal names.", _GOVERNANCE),
    TxType("id.org.suspend", 1, CarryOut, orgs.suspend,
           "Suspend the organisation that a passed proposal names.", _GOVERNANCE),
    TxType("id.org.reinstate", 1, CarryOut, orgs.reinstate,
           "End the suspension that a passed proposal names.", _GOVERNANCE),
    TxType("id.org.root_replace", 1, CarryOut, orgs.replace_root,
           "Give an organisation the root key that a passed proposal names.", _GOVERNANCE),
    TxType("id.actor.enrol", 1, ActorEnrol, actors.enrol,
           "Enrol a person or system with a signing key."),
    TxType("id.kem.set", 1, KemSet, actors.set_kem,
           "Set the key to which records are wrapped for an actor.", unstoppable=True),
    TxType("id.key.rotate", 1, KeyRotate, keys.rotate,
           "Replace a key by its successor.", _GOVERNANCE, unstoppable=True),
    TxType("id.key.revoke", 1, KeyRevoke, keys.revoke,
           "End a key.", _GOVERNANCE, unstoppable=True),
    TxType("id.cred.issue", 1, CredentialIssue, credentials.issue,
           "Give an actor a role, with an end."),
    TxType("id.cred.revoke", 1, CredentialRevoke, credentials.revoke,
           "Take a role away, at once.", _GOVERNANCE, unstoppable=True),
)  # fmt: skip

EVENTS: Final = (
    EventType("id.org_registered", ("org", "kind"), "An organisation was admitted."),
    EventType("id.org_suspended", ("org",), "An organisation is suspended from the next height."),
    EventType("id.org_reinstated", ("org",), "A suspension ends with the next height."),
    EventType("id.actor_enrolled", ("actor", "org", "kind"), "An actor was enrolled."),
    EventType("id.kem_set", ("actor",), "Records are wrapped to another key from now on."),
    EventType("id.key_rotated", ("actor", "org"), "A key has a successor from the next height."),
    EventType("id.key_revoked", ("actor", "org"), "A key signs no longer from the next height."),
    EventType("id.credential_issued", ("credential", "actor", "role", "org"), "A role was given."),
    EventType(
        "id.credential_revoked", ("credential", "actor", "role", "org"), "A role was taken away."
    ),
)

MODULE: Final = Module(
    name=NAMESPACE,
    types=TYPES,
    tables=TABLES,
    events=EVENTS,
    queries=QUERIES,
    params=PARAMS,
    genesis=found,
)
