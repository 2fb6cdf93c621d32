"""Small questions to nodes of this machine, each answered at once or not at all."""

from __future__ import annotations

import http.client
from typing import TypeVar

import msgspec

from devnet.limits import REQUEST_S
from devnet.ports import HOST

T = TypeVar("T")


class PeerView(msgspec.Struct, frozen=True):
    """A peer, as a node sees it."""

    node_key: str
    connected: bool


class PoolView(msgspec.Struct, frozen=True):
    """What waits for a block."""

    txs: int


class StatusView(msgspec.Struct, frozen=True):
    """What we use of /v1/status."""

    chain_id: str
    height: int
    time_ms: int
    round: int
    phase: str
    role: str
    peers: list[PeerView]
    mempool: PoolView
    version: str
    halted: str | None

    @property
    def connected(self) -> int:
        """How many peers are connected."""
        return sum(peer.connected for peer in self.peers)


class ConsensusView(msgspec.Struct, frozen=True):
    """What we use of /v1/consensus. `proposer` is a validator key, or empty if nobody leads."""

    height: int
    round: int
    phase: str
    proposer: str


class FailedCheck(msgspec.Struct, frozen=True):
    """Why a node is not ready."""

    component: str
    reason: str


class ReadyView(msgspec.Struct, frozen=True):
    """What we use of /readyz."""

    ready: bool
    failed_checks: list[FailedCheck]


def get(port: int, path: str, *, timeout_s: float = REQUEST_S) -> tuple[int, bytes] | None:
    """Status and body of a GET request, or None if nobody answers properly."""
    connection = http.client.HTTPConnection(HOST, port, timeout=timeout_s)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def get_as(kind: type[T], port: int, path: str, *, timeout_s: float = REQUEST_S) -> T | None:
    """The JSON answer, or None if there is none of this shape."""
    answered = get(port, path, timeout_s=timeout_s)
    if answered is None:
        return None
    try:
        return msgspec.json.decode(answered[1], type=kind)
    except msgspec.DecodeError:
        return None


def status(rpc_port: int) -> StatusView | None:
    """The node at a glance, or None if it does not answer."""
    return get_as(StatusView, rpc_port, "/v1/status")


def consensus(rpc_port: int, *, timeout_s: float = REQUEST_S) -> ConsensusView | None:
    """Where the node's engine stands, or None if it does not answer."""
    return get_as(ConsensusView, rpc_port, "/v1/consensus", timeout_s=timeout_s)


def ready(ops_port: int, min_peers: int) -> ReadyView | None:
    """Whether the node is ready and connected to so many peers, or None if it does not answer."""
    return get_as(ReadyView, ops_port, f"/readyz?min_peers={min_peers}")
