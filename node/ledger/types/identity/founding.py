"""The founding members: organisations of the genesis with their root keys."""

from __future__ import annotations

from medquorum.errors import MalformedError
from medquorum.genesis import Genesis
from node.ledger.context import Context
from node.ledger.identities import (
    CHAIN,
    GATEWAYS,
    KEYS,
    ORGS,
    Chain,
    KeyBinding,
    Org,
    OrgRef,
    gateway_key,
)
from node.ledger.roles import OrgKind
from node.ledger.tables import WritableState


def found(genesis: Genesis, ctx: Context) -> None:
    """Admit the founding organisations.

    Raises MalformedError for a kind that does not exist or an endpoint used twice.
    """
    CHAIN.put(ctx.state, Chain(genesis.chain_id()))
    for org in genesis.organisations:
        if org.kind not in tuple(OrgKind):
            raise MalformedError(f"{org.kind} is not a kind of organisation")
        if org.gateway_uri != "" and GATEWAYS.has(ctx.state, gateway_key(org.gateway_uri)):
            raise MalformedError("two organisations name the same gateway")
        row = Org(
            kind=org.kind,
            legal_hash=org.legal_hash,
            jurisdiction=org.jurisdiction,
            gateway_uri=org.gateway_uri,
            root_key=org.root_key,
            registered=ctx.height,
            suspended_from=0,
            suspended_until=0,
        )
        admit(ctx.state, org.org, row)


def admit(state: WritableState, org: bytes, row: Org) -> None:
    """Write an organisation, its root key and its endpoint.

    The root key signs from the next height on.
    """
    ORGS.put(state, row, org)
    KEYS.put(state, KeyBinding(b"", org, row.registered + 1, 0, 0), row.root_key)
    if row.gateway_uri != "":
        GATEWAYS.put(state, OrgRef(org), gateway_key(row.gateway_uri))
