"""How a network is doing, and what its quorum arithmetic says about that."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import IntEnum
from typing import assert_never

from devnet import api
from devnet.netfile import NodeInfo, Standing
from devnet.network import Network
from devnet.processes import RunState
from medquorum.quorum import EngineName, may_lie, quorum


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
    """A node as its process and its API show it. `status` and `consensus` are None while it does
    not answer.
    """

    node: NodeInfo
    state: RunState
    pid: int | None
    status: api.StatusView | None
    consensus: api.ConsensusView | None
    ready: bool
    problem: str


@dataclass(frozen=True, slots=True)
class NetworkHealth:
    """All nodes, and the verdict."""

    engine: EngineName
    nodes: tuple[NodeHealth, ...]
    health: Health

    @property
    def latest(self) -> api.ConsensusView | None:
        """Where the engine of the foremost node stands, or None if none answers."""
        seen = (node.consensus for node in self.nodes)
        return max(
            (view for view in seen if view is not None),
            key=lambda view: (view.height, view.round, view.proposer != ""),
            default=None,
        )

    def name_of(self, validator_key: str) -> str:
        """The node of a validator; "-" if it is none of this network, or nobody."""
        named = (seen.node.name for seen in self.nodes if seen.node.validator_key == validator_key)
        return next(named, "-")


def look(network: Network) -> NetworkHealth:
    """Ask all nodes at once."""
    with ThreadPoolExecutor(len(network.nodes)) as pool:
        nodes = tuple(pool.map(lambda node: _look_at(network, node), network.nodes))
    return NetworkHealth(network.engine, nodes, _verdict(network.engine, nodes))


def arithmetic(engine: EngineName, voting: int, total: int) -> str:
    """What `voting` of `total` validators can do, in words."""
    needed = quorum(engine, total)
    rule = f"{voting} of {total} validators run, {needed} make a quorum"
    spare = voting - needed
    if spare < 0:
        return f"{rule}: nothing commits until {-spare} more come back; nothing is lost"
    if spare == 0:
        return f"{rule}: transactions commit, but every one of them is needed"
    return f"{rule}: transactions commit, also if {spare} more stopped"


def tolerance(engine: EngineName, total: int) -> str:
    """What a network of `total` validators withstands."""
    needed = quorum(engine, total)
    quorums = f"{engine}: {total} validators, {needed} make a quorum"
    match engine:
        case "pbft":
            return f"{quorums}; {may_lie(engine, total)} of them may fail in any way, even lie"
        case "raft":
            return f"{quorums}; {total - needed} of them may crash, and none may lie"
        case _:
            assert_never(engine)


def leadership(seen: NetworkHealth) -> str:
    """Who leads, in words."""
    view = seen.latest
    if view is None:
        return f"{seen.engine}: no node tells where it stands"
    leader = next((n for n in seen.nodes if n.node.validator_key == view.proposer), None)
    place = f"at height {view.height}, {round_word(seen.engine)} {view.round}"
    if leader is None:
        return f"{seen.engine}: nobody leads {place}"
    # Until somebody misses it, the leader of a chain at rest may well be one that is gone.
    runs = leader.state is RunState.RUNNING
    gone = "" if runs else f", but does not run ({leader.state.value})"
    return f"{seen.engine}: {leader.node.name} leads {place}{gone}"


def round_word(engine: EngineName) -> str:
    """What the engine calls an attempt to decide a height."""
    return "round" if engine == "pbft" else "term"


def voting(network: Network) -> int:
    """How many nodes have a running process that is not paused."""
    return sum(network.state(node) is RunState.RUNNING for node in network.validators)


def _look_at(network: Network, node: NodeInfo) -> NodeHealth:
    state = network.state(node)
    process = network.process(node)
    pid = None if process is None else process.pid
    if state is not RunState.RUNNING:
        return NodeHealth(node, state, pid, None, None, False, "")
    status, consensus = api.status(node.rpc), api.consensus(node.rpc)
    ready = api.ready(node.ops, min(1, len(network.nodes) - 1))
    if status is None or ready is None:
        return NodeHealth(node, state, pid, status, consensus, False, "does not answer")
    problem = ", ".join(f"{check.component}: {check.reason}" for check in ready.failed_checks)
    return NodeHealth(node, state, pid, status, consensus, ready.ready, problem)


def _verdict(engine: EngineName, nodes: tuple[NodeHealth, ...]) -> Health:
    if all(node.ready for node in nodes):
        return Health.HEALTHY
    if all(node.state in (RunState.STOPPED, RunState.DIED) for node in nodes):
        return Health.NOT_RUNNING
    voting = [node for node in nodes if node.node.standing is Standing.VALIDATOR]
    ready = sum(node.ready for node in voting)
    return Health.DEGRADED if ready >= quorum(engine, len(voting)) else Health.NO_QUORUM
