"""People of the founding hospital of a local node, enrolled by real transactions."""

from __future__ import annotations

from medquorum.keys import SigningKey, possession_bytes
from medquorum.transaction import Operation
from node.ledger.types.identity.bodies import ActorEnrol, CredentialIssue
from tests.support.daemon import LocalNode
from tests.support.ledger import some_id, some_key

HOSPITAL = some_id("founder 0")
YEAR_MS = 365 * 24 * 60 * 60 * 1000


def enrolment(node: LocalNode, name: str, *, kind: str = "staff", kem: bytes = b"") -> Operation:
    """Somebody whom the hospital enrols."""
    actor, key = some_id(name), some_key(name)
    proof = key.sign(possession_bytes(node.chain.chain_id, actor, key.public))
    body = ActorEnrol(actor, HOSPITAL, kind, key.public, kem, some_id("attest"), proof)
    return node.operation("id.actor.enrol", body)


def credential(node: LocalNode, name: str, role: str) -> Operation:
    """A role of that person at the hospital, for a year."""
    now_ms = node.chain.tip.time_ms
    issue = CredentialIssue(
        some_id(f"{name} as {role}"),
        some_id(name),
        role,
        HOSPITAL,
        now_ms,
        now_ms + YEAR_MS,
        some_id("evidence"),
    )
    return node.operation("id.cred.issue", issue)


async def enrol(
    node: LocalNode, name: str, *roles: str, kind: str = "staff", kem: bytes = b""
) -> SigningKey:
    """Enrol somebody with these roles; the key with which they sign."""
    await node.accept(enrolment(node, name, kind=kind, kem=kem))
    for role in roles:
        await node.accept(credential(node, name, role))
    return some_key(name)
