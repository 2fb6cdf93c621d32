"""`medquorum status`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import ceil
from time import time_ns
from typing import Final

import click
import msgspec

from node.cli.exits import Ended, Exit
from node.cli.fetch import get_json
from node.cli.options import json_option, rpc_option
from node.cli.show import echo_json, fields

_MS: Final = 1000


class Syncing(msgspec.Struct, frozen=True):
    """How far a node is behind, and how it gets on."""

    height: int
    target: int
    blocks_per_second: float = 0.0
    seconds_left: float | None = None
    passed_over: tuple[str, ...] = ()


class Fetching(msgspec.Struct, frozen=True):
    """The snapshot with which a node is about to begin."""

    height: int
    chunks: int
    fetched: int


class Peer(msgspec.Struct, frozen=True):
    """A member's daemon."""

    node_key: str
    connected: bool = False


class Pool(msgspec.Struct, frozen=True):
    """What waits for a block."""

    txs: int = 0
    bytes: int = 0


class Pruning(msgspec.Struct, frozen=True):
    """What the node gave up of old blocks since it started, and what holds more."""

    heights_pruned: int
    bytes_freed: int
    held_by: str = ""


class NodeStatus(msgspec.Struct, frozen=True):
    """The part of /v1/status that is shown; a newer node may say more."""

    node: str
    chain_id: str
    chain_name: str
    height: int
    time_ms: int
    round: int
    phase: str
    role: str
    version: str
    peers: tuple[Peer, ...] = ()
    mempool: Pool = Pool()
    syncing: Syncing | None = None
    halted: str | None = None
    engine: str = ""
    leader: str = ""
    validator: str = ""
    evidence: int = 0
    oldest_block: int = 1
    recoveries: int = 0
    snapshot: Fetching | None = None
    pruning: Pruning | None = None


@click.command
@rpc_option
@click.option("--timeout", default=5.0, show_default=True, help="Seconds to wait for the answer.")
@json_option
def status(rpc: str, timeout: float, as_json: bool) -> int:
    """Show how a node is doing, by its own word.

    Exit code 0: it follows the chain; 1: it is behind, halted or without peers; 2: no answer.
    """
    try:
        raw = get_json(dict[str, object], rpc, "v1/status", timeout_s=timeout)
        answered = msgspec.convert(raw, NodeStatus)
    except msgspec.ValidationError:
        raise Ended(Exit.UNREACHABLE, f"{rpc} answers, but not as a node does") from None
    except Ended as error:
        raise Ended(Exit.UNREACHABLE, error.message) from None
    complaints = complaints_about(answered)
    if as_json:
        echo_json({**raw, "complaints": complaints})
    else:
        _show(answered, complaints)
    return Exit.NO if complaints else Exit.OK


def complaints_about(found: NodeStatus) -> list[str]:
    """What keeps the node from being well."""
    complaints = []
    if found.halted is not None:
        complaints.append(f"halted: {found.halted}")
    if found.syncing is not None and found.syncing.target > found.syncing.height:
        behind = found.syncing.target - found.syncing.height
        percent = 100 * found.syncing.height // found.syncing.target
        complaints.append(
            f"syncing {found.syncing.height}/{found.syncing.target} ({behind} behind) {percent} %"
            + _pace(found.syncing)
        )
    if found.snapshot is not None:
        complaints.append(
            f"fetching the snapshot of height {found.snapshot.height}:"
            f" {found.snapshot.fetched} of {found.snapshot.chunks} chunks"
        )
    if found.peers and not any(peer.connected for peer in found.peers):
        complaints.append(f"none of {len(found.peers)} peers is connected")
    return complaints


def _pruning_line(found: Pruning | None) -> str:
    if found is None:
        return "off"
    held = f", held by {found.held_by}" if found.held_by else ""
    return f"{found.heights_pruned} heights pruned, {found.bytes_freed} bytes freed{held}"


def _pace(syncing: Syncing) -> str:
    """How fast it goes, and whom it does not wait for; nothing of what is not known."""
    parts = []
    if syncing.seconds_left is not None:
        left = timedelta(seconds=ceil(syncing.seconds_left))
        parts.append(f", {syncing.blocks_per_second:g} blocks/s, {left} left")
    if syncing.passed_over:
        names = ", ".join(peer[:16] for peer in syncing.passed_over)
        parts.append(f", without {names}, who did not answer")
    return "".join(parts)


def consensus_line(found: NodeStatus) -> str:
    """Which engine, where it stands, and who leads or proposes."""
    if found.phase == "":
        return "no engine"
    names = {"raft": ("term", "leader"), "pbft": ("round", "proposer")}
    place, head = names.get(found.engine, ("round", "proposer"))
    who = "this node" if found.leader == found.validator else found.leader[:16]
    return (
        f"{found.engine} {place} {found.round}, {found.phase}, {head} {who or 'none yet'}".lstrip()
    )


def _show(found: NodeStatus, complaints: list[str]) -> None:
    connected = sum(peer.connected for peer in found.peers)
    made = datetime.fromtimestamp(found.time_ms / _MS, UTC)
    age_s = max(0, time_ns() // 1_000_000 - found.time_ms) // _MS
    fields(
        [
            ("chain", f"{found.chain_name}  {found.chain_id}"),
            ("node", found.node),
            ("role", found.role),
            ("height", found.height),
            *([("blocks", f"from {found.oldest_block} on")] * (found.oldest_block > 1)),
            *([("pruning", _pruning_line(found.pruning))] * (found.pruning is not None)),
            *(
                [("recoveries", f"{found.recoveries}: 'medquorum query gov.recoveries'")]
                * (found.recoveries > 0)
            ),
            ("last block", f"{made:%Y-%m-%d %H:%M:%S} UTC, {age_s} s ago"),
            ("consensus", consensus_line(found)),
            ("peers", f"{connected} of {len(found.peers)} connected"),
            ("mempool", f"{found.mempool.txs} transactions, {found.mempool.bytes} bytes"),
            *(
                [("evidence", f"{found.evidence}: 'medquorum evidence list'")]
                * (found.evidence > 0)
            ),
            ("version", found.version),
            ("state", "; ".join(complaints) or "well"),
        ]
    )
