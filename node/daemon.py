"""The daemon from the operator's side: a home directory in, an exit code out."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from enum import IntEnum
from pathlib import Path
from typing import Final, NoReturn

from structlog.typing import FilteringBoundLogger

from medquorum import genesis as genesis_files
from medquorum import keys
from medquorum.errors import DecodeError, KeyFormatError
from medquorum.genesis import Genesis
from medquorum.invariants import InvariantBroken
from medquorum.kem import KemKey
from medquorum.keyfile import load_kem_key, load_signing_key
from medquorum.keys import SigningKey
from node.app import Node, NodeKeys
from node.backups import make_backups
from node.config.load import Loaded
from node.config.schema import Config, Devnet
from node.errors import (
    ChainReplaced,
    ConfigError,
    DivergenceError,
    IdentityError,
    RecoveryRefusedError,
)
from node.eventloop import loop_factory
from node.heap import settle_heap
from node.home import Home
from node.ledger.errors import UnservedCodeError
from node.longwork import LeftWork
from node.modules import installed_registry
from node.ops.diskguard import DiskGuard, DiskLowError, lines_of
from node.ops.metrics import Metrics
from node.places import check_places
from node.pruning.making import make_pruner
from node.run import Endpoints, run_node
from node.services import Services
from node.site import raise_descriptor_limit
from node.stores import Stores, open_stores
from node.version import VERSION
from p2p.errors import ListenError
from storage.errors import (
    BackendError,
    DamagedError,
    DataDirLockedError,
    DiskError,
    DiskFullError,
    DoubleSignRefusedError,
    FormatError,
    SignStateMismatchError,
)
from storage.migration import Migration

DEVNET_PREFIX: Final = "devnet-"
"""Chains of this name are development networks: their keys may lie in the clear."""


class Exit(IntEnum):
    """How a daemon ends. Those that restarting cannot mend are in the service file's list."""

    OK = 0
    USAGE = 64
    CORRUPT = 65
    INTERNAL = 70
    DISK = 73
    TEMPORARY = 75
    CONFIG = 78


class StartError(Exception):
    """The daemon cannot start, or had to stop; `code` says how it ends."""

    def __init__(self, code: Exit, message: str) -> None:
        super().__init__(message)
        self.code = code


def run_daemon(
    home: Home,
    loaded: Loaded,
    *,
    passphrase: bytes | None,
    log: FilteringBoundLogger,
    ready: Callable[[Endpoints], None],
    compose: Callable[..., Node] = Node,
) -> Exit:
    """Run a node in this process until SIGTERM or SIGINT, or until it must stop. `compose` makes
    it of its parts, and takes what Node takes.

    A second signal ends it at once, which loses nothing that was acknowledged. Failures are logged.
    Does not return if work had to be left in a thread: then the process ends here, with that code.
    """
    raise_descriptor_limit()
    left: list[LeftWork] = []
    life = _Life(home, loaded.config, passphrase, log, ready=ready, compose=compose, left=left)
    code = _run(life, log)
    if left:
        _end_process(Exit.TEMPORARY if code is Exit.OK else code)
    return code


def _run(life: _Life, log: FilteringBoundLogger) -> Exit:
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(life.run())
    except StartError as error:
        log.error("not_started", detail=str(error), code=int(error.code))
        return error.code
    except Exception as error:
        return _report(error, log)
    log.info("stopped")
    return Exit.OK


def load_genesis(home: Home) -> Genesis:
    """The genesis file. Raises IdentityError."""
    try:
        return genesis_files.load(home.genesis_file.read_bytes())
    except OSError as error:
        raise IdentityError(f"{home.genesis_file}: {error.strerror}") from None
    except DecodeError as error:
        raise IdentityError(f"{home.genesis_file}: {error}") from None


def load_keys(home: Home, config: Config, chain_name: str, passphrase: bytes | None) -> NodeKeys:
    """The node's private keys. Raises IdentityError; key files that others may read are refused."""
    devnet = chain_name.startswith(DEVNET_PREFIX)

    def signing(path: Path, purpose: str) -> SigningKey:
        return load_signing_key(path, purpose=purpose, passphrase=passphrase, devnet=devnet)

    try:
        gateway: SigningKey | None = None
        kem: KemKey | None = None
        if config.vault.enabled:
            gateway = signing(home.gateway_key, "gateway")
            kem = load_kem_key(
                home.gateway_kem, purpose="gateway", passphrase=passphrase, devnet=devnet
            )
        validator = (
            signing(home.validator_key, "validator") if home.validator_key.exists() else None
        )
        return NodeKeys(signing(home.node_key, "node"), validator, gateway, kem)
    except OSError as error:
        raise IdentityError(f"{error.filename}: {error.strerror}") from None
    except KeyFormatError as error:
        raise IdentityError(str(error)) from None


class _Life:
    """One node after the other in this process, each from the opening of its stores to their
    closing. `left` gets the work that did not end with one of them.
    """

    def __init__(
        self,
        home: Home,
        config: Config,
        passphrase: bytes | None,
        log: FilteringBoundLogger,
        *,
        ready: Callable[[Endpoints], None],
        compose: Callable[..., Node],
        left: list[LeftWork],
    ) -> None:
        self._home = home
        self._config = config
        self._passphrase = passphrase
        self._log = log
        self._ready = ready
        self._compose = compose
        self._left = left

    async def run(self) -> None:
        """Until a signal comes. Raises what a node failed with."""
        stop = _stop_signal()
        again = True
        while again and not stop.is_set():
            again = await self._node(stop)

    async def _node(self, stop: asyncio.Event) -> bool:
        """Run one. Whether another one must follow, because a chain that begins with a snapshot has
        been built for it: never while the old one has left a thread in its database.
        """
        again = False
        home, config, log = self._home, self._config, self._log
        stores, node_keys, disk = _prepare(home, config, self._passphrase, log)
        try:
            try:
                node = self._compose(
                    home=home,
                    config=config,
                    keys=node_keys,
                    stores=stores,
                    metrics=Metrics(version=VERSION),
                    log=log,
                    software=f"medquorum/{VERSION}",
                    now_ms=_clock(config.devnet.clock_offset_ms),
                )
            except ConfigError as error:
                raise StartError(Exit.CONFIG, str(error)) from None
            try:
                services = _services(node, disk)
                await run_node(node, services, stop=stop, ready=self._started)
            except* ChainReplaced:
                again = True
            finally:
                node.threads.close()
                self._note_left(node.long_work.left())
        finally:
            stores.close(in_use=bool(self._left))
        return again and not self._left

    def _started(self, endpoints: Endpoints) -> None:
        settle_heap()
        self._ready(endpoints)

    def _note_left(self, left: tuple[LeftWork, ...]) -> None:
        self._left.extend(left)
        for work in left:
            self._log.error("work_left", name=work.worker, detail=f"{work.call}, at {work.place}")


def _end_process(code: Exit) -> NoReturn:
    """End without the interpreter's own end: that waits for every thread, and one never returns."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _prepare(
    home: Home, config: Config, passphrase: bytes | None, log: FilteringBoundLogger
) -> tuple[Stores, NodeKeys, DiskGuard]:
    """Everything that can be wrong before anything runs, each with its exit code."""
    try:
        keys.self_test()
        genesis = load_genesis(home)
        _require_devnet(genesis, config)
        for place in check_places(home, config):
            log.warning("place_does_not_answer", path=str(place))
        node_keys = load_keys(home, config, genesis.chain_name, passphrase)
        home.data.mkdir(parents=True, exist_ok=True)
        disk = DiskGuard(
            home.data, lines_of(config.disk), check_seconds=config.disk.check_seconds, log=log
        )
        disk.check()
        validator = None if node_keys.validator is None else node_keys.validator.public
        stores = open_stores(
            home, config, genesis, installed_registry(), validator, migrating=_announce(log)
        )
    except (ConfigError, IdentityError, SignStateMismatchError, FormatError, BackendError) as error:
        raise StartError(Exit.CONFIG, str(error)) from None
    except (DiskLowError, DiskFullError) as error:
        raise StartError(Exit.DISK, str(error)) from None
    except (DamagedError, DecodeError) as error:
        raise StartError(Exit.CORRUPT, str(error)) from None
    except (DataDirLockedError, DiskError, OSError) as error:
        raise StartError(Exit.TEMPORARY, str(error)) from None
    log.info(
        "opened",
        height=stores.chain.tip.height,
        chain_id=stores.chain.chain_id,
        state=stores.chain.state.root(),
        version=VERSION,
    )
    return stores, node_keys, disk


def _announce(log: FilteringBoundLogger) -> Callable[[Migration], None]:
    """Writes into the log that the database is brought forward, and where its copy is."""

    def announce(task: Migration) -> None:
        log.warning(
            "migrating",
            state=f"format {task.found} to {task.wanted}",
            height=task.height,
            bytes=task.bytes,
            path=str(task.copy),
        )

    return announce


def _services(node: Node, disk: DiskGuard) -> Services:
    validator = node.keys.validator
    archives = node.config.pruning.archive_directory
    return Services(
        chain=node.chain,
        pool=node.pool,
        intake=node.intake,
        tracker=node.tracker,
        readers=node.threads.readers,
        metrics=node.metrics,
        disk=disk,
        vault=node.vault,
        evidence=node.exchange.book,
        allowed_hosts=node.config.rpc.allowed_hosts,
        node_key=node.keys.node.public,
        validator_key=None if validator is None else validator.public,
        version=VERSION,
        now_ms=node.now_ms,
        read_height=node.reads.height,
        leadership=node.leadership,
        forecast=node.preflight.forecast,
        sync_status=node.sync.status,
        engine_status=node.engine_status,
        peers=node.transport.peers_info,
        halted=node.halt_reason,
        fetching=node.snapshots.fetching.status,
        backups=make_backups(node, lines_of(node.config.disk), software=f"medquorum/{VERSION}"),
        pruner=make_pruner(node, Path(archives) if archives else None),
    )


def _stop_signal() -> asyncio.Event:
    """Set by the first SIGTERM or SIGINT; the second one ends the process."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def asked() -> None:
        if stop.is_set():
            os._exit(Exit.TEMPORARY)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked)
    return stop


def _report(error: Exception, log: FilteringBoundLogger) -> Exit:
    """Log what stopped the node; the most serious cause gives the exit code."""
    causes = _leaves(error)
    for cause in causes:
        log.error("stopped_by", error=type(cause).__name__, detail=str(cause))
    for kinds, code in _CAUSES:
        if any(isinstance(cause, kinds) for cause in causes):
            return code
    traceback.print_exception(error)
    return Exit.INTERNAL


_CAUSES: Final[tuple[tuple[tuple[type[BaseException], ...], Exit], ...]] = (
    ((UnservedCodeError,), Exit.CONFIG),
    (
        (DivergenceError, RecoveryRefusedError, DamagedError, DoubleSignRefusedError),
        Exit.CORRUPT,
    ),
    ((InvariantBroken,), Exit.INTERNAL),
    ((DiskLowError, DiskFullError), Exit.DISK),
    ((ListenError, OSError, DiskError), Exit.TEMPORARY),
)


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for part in error.exceptions for leaf in _leaves(part)]
    return [error]


def _clock(offset_ms: int) -> Callable[[], int]:
    """The wall clock in milliseconds, wrong by `offset_ms`."""
    return lambda: time.time_ns() // 1_000_000 + offset_ms


def _require_devnet(genesis: Genesis, config: Config) -> None:
    """Raise ConfigError if a chain that is none for trying out is configured like one."""
    if config.devnet != Devnet() and not genesis.chain_name.startswith(DEVNET_PREFIX):
        raise ConfigError(
            f"[devnet] is for chains whose name begins with {DEVNET_PREFIX};"
            f" this one is {genesis.chain_name}"
        )
