"""Opens everything durable of a node in the right order, and closes it in the reverse."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from consensus.messages import LogRecord, decode_record
from medquorum.errors import DecodeError
from medquorum.genesis import Genesis
from node.chain import Chain
from node.config.schema import Config
from node.errors import IdentityError
from node.forgotten_votes import require_all_known
from node.home import Home
from node.ledger.registry import Registry
from node.pending import PendingLog
from node.recovering import expect_installed
from node.snapshots.beginning import put_in_place
from storage.backends import open_backend
from storage.files import DiskFiles, Files, make_durable
from storage.journal import MempoolJournal
from storage.kv import KV
from storage.lock import DataDirLock
from storage.migration import Migration, open_current
from storage.reached import Reached
from storage.signstate import SignState
from storage.snapshots import SnapshotFiles
from storage.wal import WriteAheadLog


@dataclass(frozen=True, slots=True)
class Stores:
    """The open stores of one node. `guard` is None on an observer."""

    chain: Chain
    consensus_log: WriteAheadLog
    records: tuple[LogRecord, ...]
    evidence: WriteAheadLog
    guard: SignState | None
    pending: PendingLog
    kv: KV
    snapshots: SnapshotFiles
    closing: ExitStack
    base: ExitStack = field(default_factory=ExitStack)
    """The database and the lock of the data directory, which `closing` closes last."""

    def close(self, *, in_use: bool = False) -> None:
        """Close all; the lock of the data directory goes last. No other thread may be in a call.

        If one may be in the database (`in_use`), that and the lock stay as they are for the end of
        the process, which must follow: to close it under a thread that reads is no clean end, and
        what was written is as safe as after a crash, with nothing left to write.
        """
        if in_use:
            self.base.pop_all()
        self.closing.close()


def _silent(_task: Migration) -> None:
    """Tell nobody."""


def open_stores(
    home: Home,
    config: Config,
    genesis: Genesis,
    registry: Registry,
    validator: bytes | None,
    *,
    migrating: Callable[[Migration], None] = _silent,
) -> Stores:
    """Open or create the stores below `home.data`, and bring the database forward if an older
    version wrote it; `migrating` is told before.

    `validator` is the public validator key, None for an observer. Raises StorageErrors as they
    come, and IdentityError if the data belongs to another chain, or the sign state is missing or
    does not know a vote that is here: then the validator may have signed votes that nobody here
    remembers.
    """
    with ExitStack() as opening:
        base = opening.enter_context(ExitStack())
        base.enter_context(DataDirLock(home.data))
        put_in_place(home)
        kv = open_current_database(home, config, migrating)
        base.callback(kv.close)
        reached = Reached(home.chain)
        opening.callback(reached.close)
        stores = open_stores_on(
            kv,
            DiskFiles(),
            opening,
            reached=reached,
            home=home,
            config=config,
            genesis=genesis,
            registry=registry,
            validator=validator,
        )
        if validator is not None:
            require_all_known(home.sign_state, stores.chain.blocks, genesis, validator)
        expect_installed(home, stores.chain)
        return replace(stores, closing=opening.pop_all(), base=base)


def open_database(path: Path, config: Config) -> KV:
    """Open or create a database of a chain. Raises BackendError, DamagedStoreError, DiskError."""
    return open_backend(
        path,
        config.storage.backend,
        write_buffer_bytes=staggered_bytes(config.storage.write_buffer_bytes),
        cache_bytes=config.storage.cache_bytes,
        compression=config.storage.compression,
    )


def staggered_bytes(size: int) -> int:
    """By chance up to a quarter less than `size`, another share at each start. All nodes of a chain
    write the same: with buffers of one size they would write them out, and compact, in the same
    second, and then no quorum is left that could go on meanwhile.
    """
    return size - secrets.randbelow(size // 4 + 1)


def open_current_database(
    home: Home, config: Config, migrating: Callable[[Migration], None] = _silent
) -> KV:
    """The database of a home in the layout of this software. The caller holds the lock. Raises what
    `open_current` of storage.migration raises.
    """
    return open_current(
        home.chain,
        lambda path: open_database(path, config),
        home.before_migration,
        began=migrating,
    )


def open_stores_on(
    kv: KV,
    files: Files,
    opening: ExitStack,
    *,
    reached: Reached | None = None,
    home: Home,
    config: Config,
    genesis: Genesis,
    registry: Registry,
    validator: bytes | None,
) -> Stores:
    """The same on a store and a file system that are given; what is opened is entered in `opening`.

    So the simulator's disks hold exactly what a real one would.
    """
    keep_versions = config.storage.keep_versions
    chain = Chain(kv, genesis, registry, keep_versions=keep_versions, reached=reached)
    guard = None if validator is None else _open_guard(home, files, chain, validator)
    consensus_log = WriteAheadLog.open(home.consensus_log, files=files)
    opening.callback(consensus_log.close)
    evidence = WriteAheadLog.open(home.evidence, files=files)
    opening.callback(evidence.close)
    journal = MempoolJournal(home.mempool, files=files)
    opening.callback(journal.close)
    return Stores(
        chain=chain,
        consensus_log=consensus_log,
        records=decode_records(home, consensus_log),
        evidence=evidence,
        guard=guard,
        pending=PendingLog(journal),
        kv=kv,
        snapshots=SnapshotFiles(home.snapshots, files=files),
        closing=opening,
    )


def _open_guard(home: Home, files: Files, chain: Chain, validator: bytes) -> SignState:
    if SignState.exists(home.sign_state, files=files):
        make_durable(files, home.sign_state)
        guard = SignState.open(home.sign_state, files=files)
        guard.check_owner(chain.chain_id, validator)
        return guard
    raise IdentityError(
        f"{home.sign_state} is missing: without it this validator could contradict votes that it"
        " signed before. If the key has never voted on this chain, create it with"
        " 'medquorum keys new-sign-state --never-voted'; else rejoin with a new validator key, by"
        " governance"
    )


def decode_records(home: Home, log: WriteAheadLog) -> tuple[LogRecord, ...]:
    """What the consensus log held when it was opened. Raises IdentityError."""
    try:
        return tuple(decode_record(record) for record in log.records)
    except DecodeError as error:
        # The checksum holds, so this is no bit rot: another version wrote it, or somebody edited.
        raise IdentityError(f"{home.consensus_log}: a record does not decode: {error}") from None
