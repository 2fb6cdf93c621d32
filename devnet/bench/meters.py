"""What the processes of a network have used so far: by the word of the kernel, and of the nodes'
own counters.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from devnet import api
from devnet.errors import StateError
from devnet.netfile import NodeInfo
from devnet.network import Network

_PREFIX: Final = "medquorum_"
_KIB: Final = 1024
_BLOCK_BYTES: Final = 512
PATIENCE_S: Final = 10.0
"""For the metrics of a node that has much else to do."""


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """All nodes together at one moment, if nothing else is said. Counters only grow."""

    at: float
    """Seconds of the monotonic clock."""

    nodes: int
    cpu_s: float
    memory_mib: float
    """Resident, of the node that holds most now."""

    anonymous_mib: float
    """Of the node that holds most of it: memory that is no file's. The rest of what is resident are
    pages of files, such as LevelDB's tables, that the kernel takes back when it needs them."""

    memory_peak_mib: float
    """Of the node that ever held most."""

    disk_bytes: int
    """What their data directories take on the disk."""

    written_bytes: int
    """What they had written to devices, including what was deleted or written over since."""

    wire_bytes: int
    """Payload that they sent each other."""

    consensus_wire_bytes: int
    """Of this, votes and proposals."""

    round_changes: int
    """Rounds that did not decide, by the node that counted most."""

    pending: int
    """Transactions that wait for a block, at the node where most do."""

    rejected: int
    """Transactions that were executed and rejected, by the node that counted most."""


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """What passed between two readings, of one committed transaction and one node."""

    cpu_us: float
    wire_bytes: float
    consensus_wire_bytes: float
    disk_bytes: float
    written_bytes: float


def read_network(network: Network) -> Reading:
    """Read all nodes. Takes some milliseconds each, and costs them as much. Raises StateError."""
    counted = [metrics_of(node) for node in network.nodes]
    pids = [_pid(network, node) for node in network.nodes]
    status = [_fields(Path(f"/proc/{pid}/status")) for pid in pids]
    processes = [network.process(node) for node in network.nodes]
    return Reading(
        at=time.monotonic(),
        nodes=len(pids),
        cpu_s=sum(process.cpu_seconds() for process in processes if process is not None),
        memory_mib=round(max(_kib(one, "VmRSS") for one in status) / _KIB, 1),
        anonymous_mib=round(max(_kib(one, "RssAnon") for one in status) / _KIB, 1),
        memory_peak_mib=round(max(_kib(one, "VmHWM") for one in status) / _KIB, 1),
        disk_bytes=sum(
            disk_usage(network.directory.node(node.index).data) for node in network.nodes
        ),
        written_bytes=sum(
            int(_fields(Path(f"/proc/{pid}/io")).get("write_bytes", "0")) for pid in pids
        ),
        wire_bytes=sum(round(total(one, "p2p_message_send_bytes_total")) for one in counted),
        consensus_wire_bytes=sum(
            round(one.get(f'{_PREFIX}p2p_message_send_bytes_total{{type="consensus"}}', 0.0))
            for one in counted
        ),
        round_changes=max(round(total(o, "consensus_view_changes_total")) for o in counted),
        pending=max(round(total(one, "mempool_size")) for one in counted),
        rejected=max(
            round(one.get(f'{_PREFIX}transactions_total{{outcome="rejected"}}', 0.0))
            for one in counted
        ),
    )


def spent_between(before: Reading, after: Reading, committed: int) -> Spent | None:
    """What a transaction cost; None if none was committed."""
    if committed == 0:
        return None
    share = committed * after.nodes
    return Spent(
        cpu_us=round(1e6 * (after.cpu_s - before.cpu_s) / share, 1),
        wire_bytes=round((after.wire_bytes - before.wire_bytes) / share, 1),
        consensus_wire_bytes=round(
            (after.consensus_wire_bytes - before.consensus_wire_bytes) / share, 1
        ),
        disk_bytes=round((after.disk_bytes - before.disk_bytes) / share, 1),
        written_bytes=round((after.written_bytes - before.written_bytes) / share, 1),
    )


def metrics_of(node: NodeInfo) -> Mapping[str, float]:
    """The node's metrics, by name with labels. Raises StateError if it does not answer."""
    answered = api.get(node.ops, "/metrics", timeout_s=PATIENCE_S)
    if answered is None:
        raise StateError(f"{node.name} does not tell its metrics")
    return parse_metrics(answered[1].decode())


def parse_metrics(page: str) -> dict[str, float]:
    """Samples of a page in the text format of Prometheus."""
    found = {}
    for line in page.splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            found[name] = float(value)
    return found


def total(metrics: Mapping[str, float], name: str) -> float:
    """The sum over all labels of a metric, given without its common prefix."""
    whole = _PREFIX + name
    return sum(v for key, v in metrics.items() if key == whole or key.startswith(f"{whole}{{"))


def disk_usage(folder: Path) -> int:
    """Bytes that the files below take on the disk. Files may come and go meanwhile."""
    used = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                used += (Path(place) / name).lstat().st_blocks
            except FileNotFoundError:
                continue
    return used * _BLOCK_BYTES


def _pid(network: Network, node: NodeInfo) -> int:
    process = network.process(node)
    if process is None or not process.alive:
        raise StateError(f"{node.name} does not run")
    return process.pid


def _fields(file: Path) -> dict[str, str]:
    try:
        text = file.read_text()
    except OSError:  # not every container shows its processes' input and output
        return {}
    return {name: value.strip() for name, _, value in (x.partition(":") for x in text.splitlines())}


def _kib(status: Mapping[str, str], name: str) -> int:
    return int(status.get(name, "0").split()[0])
