"""One development network on this machine: made once, then started, disturbed and stopped.

    network = Network.create(NetworkDir(path), load_manifest(DEFAULT_FILE, base_port=0))
    network.start(network.nodes)
    network.wait_ready(network.nodes)
    network.stop(network.nodes)

Commands come and go; nodes run on. So everything that is known about a network is in its directory,
and the caller holds `directory.locked()` while it changes something.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from devnet import api
from devnet.errors import ManifestError, NoNetworkError, NotReadyError, StateError
from devnet.founding import founders_peers, make_genesis, make_home
from devnet.keys import DevnetKeys
from devnet.layout import CHECKOUT, NetworkDir
from devnet.limits import GONE_S, POLL_S, READY_S, STOP_S, TAIL_LINES
from devnet.manifest import Manifest
from devnet.netfile import FORMAT, NetFile, NodeInfo, Standing, pretty, replace_file
from devnet.ports import Ports, free_block, require_free
from devnet.processes import ProcessId, RunState, recall, remember, spawn
from medquorum.errors import MalformedError
from medquorum.genesis import Genesis
from medquorum.genesis import load as load_genesis
from medquorum.quorum import EngineName
from node.config.load import load
from node.errors import ConfigError
from node.ledger.genesis import genesis_changes
from node.modules import installed_registry
from storage.signstate import SignState


@dataclass(frozen=True, slots=True)
class Launch:
    """How a node's process is started: Python's `-m module`, `words`, and where its home is."""

    module: str = "node.cli.main"
    words: tuple[str, ...] = ("start",)
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stopped:
    """How a node was stopped. `gracefully` is False if it had to be killed."""

    node: NodeInfo
    was_running: bool
    gracefully: bool


class Network:
    """A network that exists on disk. Its nodes may run or not."""

    def __init__(self, directory: NetworkDir, manifest: Manifest, described: NetFile) -> None:
        self.directory = directory
        self.manifest = manifest
        self.nodes = described.nodes
        """Those that belong to it now, by their numbers. A number is never given again."""
        self._described = described
        self.chain_id = described.chain_id
        self.base_port = described.base_port
        self.keys = DevnetKeys(manifest.name)
        self.launches: dict[int, Launch] = {}
        """Nodes that this object starts in another way than the usual one."""
        # Children of this very process: they must be waited for, and their exit codes are known.
        self._children: dict[int, subprocess.Popen[bytes]] = {}

    @classmethod
    def create(cls, directory: NetworkDir, manifest: Manifest, *, now_ms: int) -> Network:
        """Make keys, genesis and homes. `base_port` 0 takes a block of free ports.

        Raises ManifestError, PortsBusyError; StateError if there is a network already.
        """
        if directory.net_file.exists():
            raise StateError(f"there is a network in {directory.path} already")
        keys = DevnetKeys(manifest.name)
        count = manifest.validators
        base = manifest.base_port or free_block(count)
        ports = [Ports.of(base, index) for index in range(count)]
        require_free(port for node in ports for port in node.all())
        # What a crash in the middle of this left behind is no network, and goes.
        _remove_contents(directory)
        directory.path.mkdir(parents=True, exist_ok=True)
        try:
            genesis = make_genesis(manifest, keys, ports, now_ms)
            genesis_changes(genesis, installed_registry())
            for index in range(count):
                make_home(
                    directory,
                    index,
                    manifest=manifest,
                    keys=keys,
                    genesis=genesis,
                    own=ports[index],
                    peers=founders_peers(index, manifest=manifest, keys=keys, ports=ports),
                    vault_of=manifest.operator(index).name if manifest.has_vault(index) else None,
                )
                load(directory.node(index).config_file, {}, {})
        except (ConfigError, MalformedError) as error:
            raise ManifestError(str(error)) from None
        nodes = tuple(
            NodeInfo(
                index,
                manifest.operator(index).name,
                *at.all(),
                keys.node(index).public.hex(),
                keys.validator(index).public.hex(),
                manifest.has_vault(index),
            )
            for index, at in enumerate(ports)
        )
        described = NetFile(FORMAT, genesis.chain_id().hex(), base, nodes, count)
        directory.manifest_file.write_bytes(pretty(manifest))
        directory.net_file.write_bytes(pretty(described))
        return cls(directory, manifest, described)

    @classmethod
    def open(cls, directory: NetworkDir) -> Network:
        """The network in this directory. Raises NoNetworkError."""
        try:
            described = msgspec.json.decode(directory.net_file.read_bytes(), type=NetFile)
            manifest = msgspec.json.decode(directory.manifest_file.read_bytes(), type=Manifest)
        except FileNotFoundError:
            name = directory.path.name
            raise NoNetworkError(f"there is no network {name}: `devnet up` makes one") from None
        except msgspec.DecodeError as error:
            raise StateError(
                f"{directory.path} was made by another version ({error}): `devnet destroy` it"
            ) from None
        return cls(directory, manifest, described)

    @property
    def engine(self) -> EngineName:
        """How its validators agree."""
        return self.manifest.engine

    @property
    def genesis(self) -> Genesis:
        """The founding agreement."""
        return load_genesis(self.directory.node(0).genesis_file.read_bytes())

    def node(self, name: str) -> NodeInfo:
        """`node2` or `2`. Raises StateError."""
        digits = name.removeprefix("node")
        found = self.at(int(digits)) if digits.isdecimal() else None
        if found is None:
            raise StateError(f"there is no {name}: the nodes are {', '.join(self.names)}")
        return found

    def at(self, index: int) -> NodeInfo | None:
        """The node of this number, None if it has left or never was."""
        return next((node for node in self.nodes if node.index == index), None)

    @property
    def names(self) -> list[str]:
        """All nodes, as commands call them."""
        return [node.name for node in self.nodes]

    @property
    def validators(self) -> list[NodeInfo]:
        """The nodes that vote."""
        return [node for node in self.nodes if node.standing is Standing.VALIDATOR]

    @property
    def next_index(self) -> int:
        """The number of the next node that joins."""
        return self._described.next_index

    def describe(self, *nodes: NodeInfo) -> None:
        """Write down what these nodes are now: new ones, or others in place of those of the same
        number.
        """
        numbers = {node.index for node in nodes}
        others = [node for node in self.nodes if node.index not in numbers]
        self._write([*others, *nodes])

    def forget(self, node: NodeInfo) -> None:
        """It has left. Its home stays on the disk. Raises StateError while it runs."""
        if node in self.alive():
            raise StateError(f"{node.name} still runs")
        self._write([other for other in self.nodes if other.index != node.index])

    def _write(self, nodes: Iterable[NodeInfo]) -> None:
        ordered = tuple(sorted(nodes, key=lambda node: node.index))
        after = max(self.next_index, *(node.index + 1 for node in ordered))
        described = msgspec.structs.replace(self._described, nodes=ordered, next_index=after)
        replace_file(self.directory.net_file, pretty(described))
        self.nodes, self._described = ordered, described

    def process(self, node: NodeInfo) -> ProcessId | None:
        """The process that runs, or last ran, the node; None after it was stopped."""
        return recall(self.directory.pid_file(node.index))

    def state(self, node: NodeInfo) -> RunState:
        """What the node's process does."""
        process = self.process(node)
        return RunState.STOPPED if process is None else process.state()

    def alive(self) -> list[NodeInfo]:
        """The nodes that have a process, running or paused."""
        return [n for n in self.nodes if self.state(n) in (RunState.RUNNING, RunState.PAUSED)]

    def start(self, nodes: Iterable[NodeInfo]) -> list[NodeInfo]:
        """Start those that have no process; which they were. Raises PortsBusyError."""
        alive = self.alive()
        starting = [node for node in nodes if node not in alive]
        require_free(port for node in starting for port in node.ports)
        for node in starting:
            self._spawn(node)
        return starting

    def wait_ready(
        self, nodes: Sequence[NodeInfo], *, min_peers: int | None = None, timeout_s: float = READY_S
    ) -> None:
        """Until all are ready and connected to `min_peers` others, by default all that run.

        Raises NotReadyError when one ends, or after `timeout_s`.
        """
        peers = len(self.alive()) - 1 if min_peers is None else min_peers
        deadline = time.monotonic() + timeout_s
        for node in nodes:
            reason = "it does not answer"
            while True:
                answer = api.ready(node.ops, peers)
                if answer is not None and answer.ready:
                    break
                if answer is not None:
                    reason = ", ".join(f"{c.component}: {c.reason}" for c in answer.failed_checks)
                if self.state(node) is RunState.DIED:
                    raise NotReadyError(self._obituary(node))
                if time.monotonic() >= deadline:
                    raise NotReadyError(
                        f"{node.name} is not ready after {timeout_s:.0f} s: {reason}\n"
                        + self._log_tail(node)
                    )
                time.sleep(POLL_S)

    def stop(self, nodes: Iterable[NodeInfo], *, timeout_s: float = STOP_S) -> list[Stopped]:
        """Ask all to stop, then wait for each; those that do not are killed."""
        leaving = [(node, self.process(node)) for node in nodes]
        # The answer tells whether it was there; a moment later it may be gone because of us.
        running = [p is not None and p.ask_to_end() for _, p in leaving]
        done = []
        for (node, process), was_running in zip(leaving, running, strict=True):
            gracefully = process is None or process.wait_end(timeout_s)
            self._forget(node)
            done.append(Stopped(node, was_running, gracefully))
        return done

    def kill(self, node: NodeInfo) -> ProcessId:
        """SIGKILL. Raises StateError if there is no process."""
        return self.kill_together([node])[0]

    def kill_together(self, nodes: Sequence[NodeInfo]) -> list[ProcessId]:
        """SIGKILL to all before anybody waits: none hears of another's end in time to act on it.
        Raises StateError if one has no process.
        """
        processes = [self._running(node) for node in nodes]
        for process in processes:
            process.signal(signal.SIGKILL)
        for node, process in zip(nodes, processes, strict=True):
            process.wait_gone(GONE_S)
            self._reap(node)
        return processes

    def pause(self, node: NodeInfo) -> ProcessId:
        """SIGSTOP: it keeps its connections and does nothing. Raises StateError."""
        process = self._running(node)
        process.signal(signal.SIGSTOP)
        process.wait_state(RunState.PAUSED, GONE_S)
        return process

    def resume(self, node: NodeInfo) -> ProcessId:
        """SIGCONT. Raises StateError."""
        process = self._running(node)
        process.signal(signal.SIGCONT)
        process.wait_state(RunState.RUNNING, GONE_S)
        return process

    def exit_code(self, node: NodeInfo, *, timeout_s: float = READY_S) -> int:
        """How a node that this very object started has ended; waits for it. Raises StateError."""
        child = self._children.get(node.index)
        if child is None:
            raise StateError(f"{node.name} was not started here")
        try:
            return child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise StateError(f"{node.name} still runs") from None

    def reset(self) -> None:
        """Remove what the nodes recorded; keys, genesis and configuration stay. Raises StateError
        while one runs.

        The sign states go as well. Only because every validator forgets at once, and the whole
        chain with them, is that no way to vote twice.
        """
        self._require_all_stopped()
        for node in self.nodes:
            home = self.directory.node(node.index)
            shutil.rmtree(home.data, ignore_errors=True)
            home.data.mkdir(mode=0o700)
            SignState.create(
                home.sign_state, bytes.fromhex(self.chain_id), bytes.fromhex(node.validator_key)
            )
        shutil.rmtree(self.directory.demo, ignore_errors=True)

    def destroy(self) -> None:
        """Remove everything. Raises StateError while a node runs."""
        self._require_all_stopped()
        _remove_contents(self.directory)

    def close(self) -> None:
        """Kill what this object started and forget it. For tests, whatever happened in them."""
        for child in self._children.values():
            child.kill()
            child.wait()
        self._children.clear()

    def _spawn(self, node: NodeInfo) -> None:
        home = self.directory.node(node.index)
        launch = self.launches.get(node.index, Launch())
        command = [launch.module, *launch.words, "--home", str(home.root), *launch.options]
        child = spawn(
            [sys.executable, "-m", *command],
            folder=CHECKOUT,
            environment=_environment(),
            log=self.directory.log_file(node.index),
        )
        self._children[node.index] = child
        process = ProcessId.of(child.pid)
        if process is not None:
            remember(self.directory.pid_file(node.index), process)

    def _running(self, node: NodeInfo) -> ProcessId:
        process = self.process(node)
        if process is None or not process.alive:
            raise StateError(f"{node.name} is not running")
        return process

    def _forget(self, node: NodeInfo) -> None:
        self._reap(node)
        self.directory.pid_file(node.index).unlink(missing_ok=True)

    def _reap(self, node: NodeInfo) -> None:
        child = self._children.get(node.index)
        if child is not None:
            child.wait(GONE_S)

    def _require_all_stopped(self) -> None:
        alive = self.alive()
        if alive:
            names = ", ".join(node.name for node in alive)
            raise StateError(f"{names} still run: `devnet down` first")

    def _obituary(self, node: NodeInfo) -> str:
        child = self._children.get(node.index)
        code = "" if child is None else f" with exit code {child.poll()}"
        return f"{node.name} ended{code}:\n{self._log_tail(node)}"

    def _log_tail(self, node: NodeInfo) -> str:
        log = self.directory.log_file(node.index)
        lines = log.read_text("utf-8", errors="replace").splitlines() if log.exists() else []
        return "\n".join(f"  {line}" for line in [*lines[-TAIL_LINES:], f"(all of it: {log})"])


def _environment() -> dict[str, str]:
    """Ours, without what would configure a node: two developers get the same network."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MEDQUORUM_")}
    return kept | {"PYTHONUNBUFFERED": "1"}


def _remove_contents(directory: NetworkDir) -> None:
    """Everything of a network but its lock, which the caller holds."""
    # First, so that a removal that is interrupted leaves what everybody takes for no network.
    directory.net_file.unlink(missing_ok=True)
    shutil.rmtree(directory.path / "pids", ignore_errors=True)
    shutil.rmtree(directory.demo, ignore_errors=True)
    for home in directory.path.glob("node[0-9]*"):
        shutil.rmtree(home)
    directory.manifest_file.unlink(missing_ok=True)
