"""The actors of the manifest, enrolled on the chain with their roles. Doing it twice is harmless.

async with Client(network.nodes[0].url, genesis=network.genesis) as client:
    await enrol(network, client)
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import Final

from devnet.errors import StateError
from devnet.keys import DevnetKeys
from devnet.manifest import ActorSpec, OrgSpec
from devnet.network import Network
from medquorum.answers import TxStatus
from medquorum.client import Client
from medquorum.codec import Wire
from medquorum.errors import ProblemError
from medquorum.keys import SigningKey, possession_bytes
from node.ledger.types.identity.bodies import ActorEnrol, CredentialIssue

CREDENTIAL_MS: Final = 365 * 24 * 60 * 60 * 1000
"""How long the roles of a development network last: a year from its genesis."""


async def submit(
    client: Client, operations: Iterable[tuple[str, Wire]], by: Iterable[SigningKey]
) -> TxStatus:
    """One transaction, committed. Raises StateError if it was rejected, ClientError."""
    keys = list(by)
    builder = await client.builder()
    for name, body in operations:
        builder.operation(name, body)
    draft = builder.signer(*(key.public for key in keys)).build()
    status = await client.submit(draft.sign(*keys).complete(), wait="committed")
    if status.state != "committed":
        raise StateError(f"transaction {status.txid} is {status.state}: {status.code}")
    return status


async def exists(client: Client, query: str, **params: bytes) -> bool:
    """Whether a query for one thing finds it."""
    try:
        return (await client.query(query, **params)).result is not None
    except ProblemError as problem:
        if problem.code == "not_found":
            return False
        raise


async def enrol(network: Network, client: Client) -> int:
    """Enrol those who are not yet, with their keys and roles; how many they were. Their keys sign
    from the next height on. Raises ClientError.
    """
    count = 0
    for org in network.manifest.organisations:
        missing = [
            actor
            for actor in org.actors
            if not await exists(
                client, "id.actor", actor=network.keys.actor_id(org.name, actor.name)
            )
        ]
        if missing:
            operations = [pair for actor in missing for pair in enrolment(network, org, actor)]
            await submit(client, operations, [network.keys.org(org.name)])
            count += len(missing)
    return count


def enrolment(network: Network, org: OrgSpec, actor: ActorSpec) -> list[tuple[str, Wire]]:
    """The operations that enrol one actor and give them their roles, for the root key to sign."""
    keys, genesis = network.keys, network.genesis
    actor_id = keys.actor_id(org.name, actor.name)
    key = keys.actor(org.name, actor.name)
    enrolled = ActorEnrol(
        actor=actor_id,
        org=keys.org_id(org.name),
        kind=actor.kind,
        key=key.public,
        kem=keys.actor_kem(org.name, actor.name).public,
        attest_hash=sha256(b"devnet").digest(),
        possession=key.sign(possession_bytes(genesis.chain_id(), actor_id, key.public)),
    )
    issued = [
        _credential(keys, org.name, actor.name, role, genesis.time_ms) for role in actor.roles
    ]
    return [("id.actor.enrol", enrolled), *(("id.cred.issue", body) for body in issued)]


def _credential(keys: DevnetKeys, org: str, actor: str, role: str, from_ms: int) -> CredentialIssue:
    return CredentialIssue(
        credential=keys.credential_id(org, actor, role),
        actor=keys.actor_id(org, actor),
        role=role,
        scope=keys.org_id(org),
        not_before_ms=from_ms,
        not_after_ms=from_ms + CREDENTIAL_MS,
        evidence_hash=sha256(b"devnet").digest(),
    )
