"""Whether this machine can run a development network, one line a check, and what to do."""

from __future__ import annotations

import importlib
import os
import resource
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from devnet.errors import NoNetworkError
from devnet.layout import NetworkDir
from devnet.manifest import DEFAULT_FILE, load_manifest
from devnet.network import Network
from devnet.ports import Ports, holder, is_free
from devnet.processes import RunState
from medquorum import keys
from medquorum.errors import KeyFormatError
from medquorum.invariants import InvariantBroken
from medquorum.kem import KemKey

PYTHON_MIN: Final = (3, 11)
FILES_MIN: Final = 1024
FREE_BYTES_MIN: Final = 3 * 1024**3
"""Above the line at which nodes warn, with the default configuration."""
MODULES: Final = ("plyvel", "nacl", "msgspec", "aiohttp", "cryptography", "psutil", "structlog")


@dataclass(frozen=True, slots=True)
class Finding:
    """One check. `remedy` is what to do if it failed."""

    check: str
    ok: bool
    detail: str
    remedy: str = ""


def examine(directory: NetworkDir) -> Iterator[Finding]:
    """All checks, for the network in `directory` or the one that `up` would make there."""
    checks: tuple[Callable[[NetworkDir], Iterator[Finding]], ...] = (
        _python,
        _modules,
        _cryptography,
        _limits,
        _disk,
        _ports,
        _processes,
        _strays,
    )
    for check in checks:
        yield from check(directory)


def _python(_directory: NetworkDir) -> Iterator[Finding]:
    version = ".".join(str(part) for part in sys.version_info[:3])
    yield Finding(
        "python",
        sys.version_info >= PYTHON_MIN,
        f"{version} at {sys.executable}",
        "install Python 3.11 or later and remove .venv",
    )


def _modules(_directory: NetworkDir) -> Iterator[Finding]:
    missing = []
    for name in MODULES:
        try:
            importlib.import_module(name)
        except ImportError as error:
            missing.append(f"{name} ({error})")
    detail = ", ".join(missing) or "all there"
    yield Finding("dependencies", not missing, detail, "remove .venv and run the command again")


def _cryptography(_directory: NetworkDir) -> Iterator[Finding]:
    try:
        keys.self_test()
        KemKey.generate()
    except (InvariantBroken, KeyFormatError) as error:
        yield Finding("cryptography", False, str(error), "install the locked dependencies")
        return
    yield Finding("cryptography", True, "Ed25519 answers as agreed, ML-KEM-768 is there")


def _limits(_directory: NetworkDir) -> Iterator[Finding]:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = soft == resource.RLIM_INFINITY or soft >= FILES_MIN
    yield Finding("open files", enough, f"limit {soft}", f"ulimit -n {FILES_MIN * 8}")


def _disk(directory: NetworkDir) -> Iterator[Finding]:
    place = next(p for p in (directory.path, *directory.path.parents) if p.exists())
    free = shutil.disk_usage(place).free
    yield Finding(
        "disk",
        free >= FREE_BYTES_MIN,
        f"{free / 1024**3:.1f} GiB free at {place}",
        "nodes refuse transactions when the disk gets full: make room, or give --root elsewhere",
    )
    yield Finding("writable", os.access(place, os.W_OK), str(place), "give --root elsewhere")


def _ports(directory: NetworkDir) -> Iterator[Finding]:
    try:
        network = Network.open(directory)
        ours = {port for node in network.alive() for port in node.ports}
        wanted = [port for node in network.nodes for port in node.ports]
    except NoNetworkError:
        manifest = load_manifest(DEFAULT_FILE)
        ours = set()
        indexes = range(manifest.validators)
        wanted = [port for i in indexes for port in Ports.of(manifest.base_port, i).all()]
    for port in wanted:
        if port not in ours and not is_free(port):
            yield Finding(
                "ports", False, f"{port} is held by {holder(port)}", "stop it, or give --base-port"
            )
            return
    yield Finding("ports", True, f"{min(wanted)} to {max(wanted)} are ours or free")


def _processes(directory: NetworkDir) -> Iterator[Finding]:
    try:
        network = Network.open(directory)
    except NoNetworkError:
        yield Finding("nodes", True, "there is no network yet")
        return
    died = [node for node in network.nodes if network.state(node) is RunState.DIED]
    if not died:
        yield Finding("nodes", True, f"{len(network.alive())} of {len(network.nodes)} run")
    for node in died:
        yield Finding(
            "nodes",
            False,
            f"{node.name} was not stopped, and yet it ended",
            f"read {network.directory.log_file(node.index)}; `devnet start {node.name}`",
        )


def _strays(directory: NetworkDir) -> Iterator[Finding]:
    """Nodes of this network that no pid file knows, for instance of a directory made anew."""
    try:
        network = Network.open(directory)
        known = {process.pid for node in network.nodes if (process := network.process(node))}
    except NoNetworkError:
        known = set()
    strays = [pid for pid in _node_processes(directory.path) if pid not in known]
    detail = f"processes {strays} run nodes in {directory.path}" if strays else "none"
    remedy = f"kill {' '.join(str(pid) for pid in strays)}"
    yield Finding("strays", not strays, detail, remedy)


def _node_processes(folder: Path) -> Iterator[int]:
    for process in psutil.process_iter(["pid", "cmdline", "status"]):
        words = process.info["cmdline"] or []
        if "node.cli.main" in words and any(word.startswith(f"{folder}/node") for word in words):
            yield int(process.info["pid"])
