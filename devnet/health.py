"""How a network is doing, and what its quorum arithmetic says about that."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import IntEnum

from devnet import api
from devnet.network import Network, NodeInfo
from devnet.processes import RunState
from medquorum.quorum import faulty, quorum


class Health(IntEnum):
    """The verdict; also the exit code of `devnet status`."""

    HEALTHY = 0
    """All nodes run and are ready."""
    DEGRADED = 1
    """Some do not, but a quorum does: transactions commit."""
    NO_QUORUM = 2
    """Too few: nothing commits until some come back. Nothing is lost."""
    NOT_RUNNING = 3
    """No node runs."""


@dataclass(frozen=True, slots=True)
class NodeHealth:
    """A node as its process and its API show it. `status` is None while it does not answer."""

    node: NodeInfo
    state: RunState
    pid: int | None
    status: api.StatusView | None
    ready: bool
    problem: str


@dataclass(frozen=True, slots=True)
class NetworkHealth:
    """All nodes, and the verdict."""

    nodes: tuple[NodeHealth, ...]
    health: Health


def look(network: Network) -> NetworkHealth:
    """Ask all nodes at once."""
    with ThreadPoolExecutor(len(network.nodes)) as pool:
        nodes = tuple(pool.map(lambda node: _look_at(network, node), network.nodes))
    return NetworkHealth(nodes, _verdict(nodes))


def arithmetic(voting: int, total: int) -> str:
    """What `voting` of `total` validators can do, in words."""
    needed = quorum("pbft", total)
    rule = f"{voting} of {total} validators run, {needed} make a quorum"
    spare = voting - needed
    if spare < 0:
        return f"{rule}: nothing commits until {-spare} more come back; nothing is lost"
    if spare == 0:
        return f"{rule}: transactions commit, but every one of them is needed"
    return f"{rule}: transactions commit, also if {spare} more stopped"


def tolerance(total: int) -> str:
    """What a network of `total` validators withstands."""
    return (
        f"{total} validators, {quorum('pbft', total)} make a quorum; "
        f"{faulty(total)} of them may fail in any way, even lie"
    )


def voting(network: Network) -> int:
    """How many nodes have a running process that is not paused."""
    return sum(network.state(node) is RunState.RUNNING for node in network.nodes)


def _look_at(network: Network, node: NodeInfo) -> NodeHealth:
    state = network.state(node)
    process = network.process(node)
    pid = None if process is None else process.pid
    if state is not RunState.RUNNING:
        return NodeHealth(node, state, pid, None, False, "")
    status = api.status(node.rpc)
    ready = api.ready(node.ops, min(1, len(network.nodes) - 1))
    if status is None or ready is None:
        return NodeHealth(node, state, pid, status, False, "does not answer")
    problem = ", ".join(f"{check.component}: {check.reason}" for check in ready.failed_checks)
    return NodeHealth(node, state, pid, status, ready.ready, problem)


def _verdict(nodes: tuple[NodeHealth, ...]) -> Health:
    ready = sum(node.ready for node in nodes)
    if ready == len(nodes):
        return Health.HEALTHY
    if all(node.state in (RunState.STOPPED, RunState.DIED) for node in nodes):
        return Health.NOT_RUNNING
    return Health.DEGRADED if ready >= quorum("pbft", len(nodes)) else Health.NO_QUORUM
