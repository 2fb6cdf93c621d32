"""Nodes that join, vote, change their keys and leave while the network runs: what the consortium
decides on the chain, and what the operators of the machines do about it.

    node = await join(network, client, "st-anna")   # an observer that has the chain
    node = await promote(network, client, node)     # votes from the next height on
    node = await replace(network, client, node)     # another machine, other keys, the same vote
    await leave(network, client, node)              # is stopped and forgotten

A development network holds the root keys of all organisations, so one transaction carries a
proposal, everybody's votes and the execution. Real organisations take a transaction each.
"""

from __future__ import annotations

import asyncio
import secrets
from http import HTTPStatus
from typing import Final

import msgspec

from devnet import api
from devnet.errors import NotReadyError, StateError
from devnet.founding import make_home, peer
from devnet.limits import READY_S, REQUEST_S
from devnet.netfile import NodeInfo, Standing
from devnet.network import Network
from devnet.people import submit
from devnet.ports import Ports, require_free
from medquorum.answers import TxStatus
from medquorum.client import Client
from medquorum.codec import Wire, encode
from medquorum.keys import possession_bytes
from node.ledger.decisions import APPROVE, Draft, proposal_id
from node.ledger.proposals import (
    Content,
    ObserverAdd,
    ObserverRemove,
    ProposalKind,
    ValidatorAdd,
    ValidatorRemove,
    ValidatorReplace,
)
from node.ledger.types.governance.bodies import CastVote, Execute, Override, Propose

NONCE_BYTES: Final = 16
FOLLOW_S: Final = 30.0
"""Patience with a node that fetches the chain."""


class _Validator(msgspec.Struct):
    key: str
    org: str


class _Validators(msgspec.Struct):
    items: tuple[_Validator, ...]


class _Observer(msgspec.Struct):
    node_key: str


class _Observers(msgspec.Struct):
    items: tuple[_Observer, ...]


async def decide(
    network: Network, client: Client, kind: ProposalKind, content: Content, *, override: str = ""
) -> TxStatus:
    """Propose, approve by every organisation with a validator, and carry out, in one transaction.
    With `override`, a reason, the first of them answers for a change after which too few would be
    there to vote. Raises StateError if it was rejected, ClientError.
    """
    voters = dict.fromkeys(bytes.fromhex(v.org) for v in await _validators(client))
    names = {network.keys.org_id(org.name): org.name for org in network.manifest.organisations}
    draft = Draft(str(kind), encode(content), secrets.token_bytes(NONCE_BYTES))
    proposal = proposal_id(draft)
    answers: list[tuple[str, Wire]] = [
        ("gov.override", Override(org, proposal, override)) for org in voters if override != ""
    ]
    operations: list[tuple[str, Wire]] = [
        ("gov.propose", Propose(next(iter(voters)), draft)),
        *(("gov.vote", CastVote(org, proposal, APPROVE)) for org in voters),
        *answers[:1],
        ("gov.execute", Execute(proposal)),
    ]
    return await submit(client, operations, [network.keys.org(names[org]) for org in voters])


async def join(
    network: Network, client: Client, org: str, *, timeout_s: float = READY_S
) -> NodeInfo:
    """A new node of this organisation: the members admit it as an observer, it is started, and it
    fetches the chain. Raises StateError, PortsBusyError, NotReadyError, ClientError.
    """
    if org not in {hospital.name for hospital in network.manifest.hospitals}:
        raise StateError(f"{org} is no hospital of this network")
    own = Ports.of(network.base_port, network.next_index)
    require_free(own.all())
    node_key = network.keys.node(network.next_index).public
    # Admitted already if this was interrupted once: then only the rest is left to do.
    if not any(o.node_key == node_key.hex() for o in await _observers(client)):
        content = ObserverAdd(node_key, network.keys.org_id(org))
        await decide(network, client, ProposalKind.OBSERVER_ADD, content)
    node = _create(network, org, own)
    network.start([node])
    await follow(network, client, node, timeout_s=timeout_s)
    return node


async def follow(
    network: Network, client: Client, node: NodeInfo, *, timeout_s: float = READY_S
) -> None:
    """Until the node has what the others had when this was called. Raises NotReadyError."""
    height = (await client.status()).height
    await asyncio.to_thread(network.wait_ready, [node], min_peers=1, timeout_s=timeout_s)
    path = f"/v1/blocks/{height}?min_height={height}&timeout={FOLLOW_S:g}"
    answered = await asyncio.to_thread(api.get, node.rpc, path, timeout_s=FOLLOW_S + REQUEST_S)
    if answered is None or answered[0] != HTTPStatus.OK:
        raise NotReadyError(
            f"{node.name} has not reached height {height} in {FOLLOW_S:g} s; "
            f"its log: {network.directory.log_file(node.index)}"
        )


async def promote(network: Network, client: Client, node: NodeInfo) -> NodeInfo:
    """Give an observer a vote. Raises StateError, ClientError."""
    if node.standing is Standing.VALIDATOR:
        raise StateError(f"{node.name} votes already")
    content = ValidatorAdd(
        bytes.fromhex(node.validator_key),
        bytes.fromhex(node.node_key),
        network.keys.org_id(node.org),
        _possession(network, node),
    )
    await decide(network, client, ProposalKind.VALIDATOR_ADD, content)
    promoted = msgspec.structs.replace(node, standing=Standing.VALIDATOR)
    network.describe(promoted)
    return promoted


async def replace(network: Network, client: Client, old: NodeInfo) -> NodeInfo:
    """Another machine with other keys takes the place of a validator: it joins, the members agree,
    and the old one is stopped. Raises StateError, PortsBusyError, NotReadyError, ClientError.
    """
    if old.standing is not Standing.VALIDATOR:
        raise StateError(f"{old.name} does not vote")
    new = await join(network, client, old.org)
    content = ValidatorReplace(
        bytes.fromhex(old.validator_key),
        bytes.fromhex(new.validator_key),
        bytes.fromhex(new.node_key),
        _possession(network, new),
    )
    await decide(network, client, ProposalKind.VALIDATOR_REPLACE, content)
    promoted = msgspec.structs.replace(new, standing=Standing.VALIDATOR)
    network.describe(promoted)
    await _stop(network, old)
    return promoted


async def leave(network: Network, client: Client, node: NodeInfo) -> None:
    """Take a node's vote, or its place as an observer, then stop it. Its home stays on the disk.
    Raises StateError, ClientError.
    """
    if node.standing is Standing.VALIDATOR:
        content: Content = ValidatorRemove(bytes.fromhex(node.validator_key))
        await decide(network, client, ProposalKind.VALIDATOR_REMOVE, content)
    else:
        content = ObserverRemove(bytes.fromhex(node.node_key))
        await decide(network, client, ProposalKind.OBSERVER_REMOVE, content)
    await _stop(network, node)


async def reconcile(network: Network, client: Client) -> None:
    """Bring what we believe in line with the chain, after a change that was interrupted: who votes,
    and who is no member any more and is stopped. Raises ClientError.
    """
    voting = {v.key for v in await _validators(client)}
    observing = {o.node_key for o in await _observers(client)}
    for node in network.nodes:
        if node.validator_key in voting:
            network.describe(msgspec.structs.replace(node, standing=Standing.VALIDATOR))
        elif node.node_key in observing:
            network.describe(msgspec.structs.replace(node, standing=Standing.OBSERVER))
        else:
            await _stop(network, node)


async def _validators(client: Client) -> tuple[_Validator, ...]:
    return msgspec.convert((await client.query("gov.validators")).result, _Validators).items


async def _observers(client: Client) -> tuple[_Observer, ...]:
    return msgspec.convert((await client.query("gov.observers")).result, _Observers).items


async def _stop(network: Network, node: NodeInfo) -> None:
    await asyncio.to_thread(network.stop, [node])
    network.forget(node)


def _create(network: Network, org: str, own: Ports) -> NodeInfo:
    """A home for the next node, and its entry in net.json."""
    index, keys, manifest = network.next_index, network.keys, network.manifest
    peers = [
        peer(other.node_key, other.p2p, proxied=(index, other.index) if manifest.proxied else None)
        for other in network.nodes
    ]
    make_home(
        network.directory,
        index,
        manifest=manifest,
        keys=keys,
        genesis=network.genesis,
        own=own,
        peers=peers,
        vault_of=None,
    )
    node = NodeInfo(
        index,
        org,
        *own.all(),
        keys.node(index).public.hex(),
        keys.validator(index).public.hex(),
        vault=False,
        standing=Standing.OBSERVER,
    )
    network.describe(node)
    return node


def _possession(network: Network, node: NodeInfo) -> bytes:
    """The vote key says that it belongs to the organisation."""
    key, org = network.keys.validator(node.index), network.keys.org_id(node.org)
    return key.sign(possession_bytes(bytes.fromhex(network.chain_id), org, key.public))
