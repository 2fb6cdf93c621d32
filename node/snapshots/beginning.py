"""Begins a chain with a snapshot: builds the database and puts it in place (P3, P4, P7)."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from medquorum import merkle
from medquorum.block import Result
from medquorum.codec import decode, encode
from medquorum.errors import DecodeError, VerificationError
from medquorum.genesis import Genesis
from node.chain import Chain
from node.home import Home
from node.ledger.genesis import genesis_changes
from node.ledger.registry import Registry
from node.snapshots.errors import FalseSnapshotError
from node.snapshots.format import (
    ChunkRef,
    PastCheck,
    PastChunk,
    SnapshotHead,
    StateChunk,
    verify_head,
)
from node.snapshots.limits import CHUNK_BYTES_MAX
from node.snapshots.making import first_past
from storage.chain import ChainStore
from storage.chainbase import stage_beginning, stage_change, stage_past
from storage.files import DiskFiles
from storage.kv import KV, Batch
from storage.memory import MemoryKV
from storage.snapshots import SnapshotFiles
from storage.state import StateStore
from storage.statebuild import StateBuilder

OpenKV = Callable[[Path], KV]
"""Opens or creates the database in a directory."""


def build_chain(
    path: Path,
    head: SnapshotHead,
    files: SnapshotFiles,
    *,
    genesis: Genesis,
    registry: Registry,
    open_kv: OpenKV,
    require_room: Callable[[], None] = lambda: None,
) -> None:
    """Build at `path` the database of a chain whose first block stands on this snapshot. All chunks
    are in `files`. On return it is proven, durable and closed; if this raises, nothing is left.
    Takes seconds for each 10^5 keys.

    `require_room` is called every few MiB and raises if no more may be written: how large the
    database will be cannot be told from the chunks. Raises what it raises, FalseSnapshotError,
    BlobNotFoundError or DamagedBlobError for a chunk that is not (or no longer) here, DiskError.
    """
    scratch = _scratch(path)
    for left in (path, scratch):
        shutil.rmtree(left, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        with closing(open_kv(path)) as kv:
            verify_head(head, genesis)
            _found(kv, head, genesis, registry)
            _fill_past(kv, head, files, require_room)
            last = Batch()
            _fill_state(kv, head, files, scratch, last, require_room=require_room)
            stage_beginning(last, head.certified())
            kv.write(last, sync=True)
            _check_opens(kv, genesis, registry)
    except (DecodeError, VerificationError) as error:
        shutil.rmtree(path, ignore_errors=True)
        raise FalseSnapshotError(getattr(error, "reason", "chunk"), str(error)) from None
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)
        raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def put_in_place(home: Home) -> bool:
    """Let a database that is ready take the place of the one that is there; whether there was one.

    Called before anything is opened: a crash at any point leaves the old one, or the new one, or
    one that this finishes to put in place (P7).
    """
    files = DiskFiles()
    for left in (home.chain_building, _scratch(home.chain_building), home.scratch):
        shutil.rmtree(left, ignore_errors=True)
    if not home.chain_ready.exists():
        return False
    if home.chain.exists():
        shutil.rmtree(home.chain)
    files.rename(home.chain_ready, home.chain)
    files.sync_directory(home.data)
    return True


def build_ready(
    home: Home,
    head: SnapshotHead,
    files: SnapshotFiles,
    *,
    genesis: Genesis,
    registry: Registry,
    open_kv: OpenKV,
    require_room: Callable[[], None],
) -> None:
    """Build a chain that the next start of the node takes. Raises what `build_chain` raises."""
    build_chain(
        home.chain_building,
        head,
        files,
        genesis=genesis,
        registry=registry,
        open_kv=open_kv,
        require_room=require_room,
    )
    mark_ready(home)


def mark_ready(home: Home) -> None:
    """What was built is whole: the next opening takes it. Durable on return."""
    files = DiskFiles()
    files.sync_directory(home.chain_building)
    files.rename(home.chain_building, home.chain_ready)
    files.sync_directory(home.data)


def verify_snapshot(
    head: SnapshotHead, files: SnapshotFiles, genesis: Genesis, scratch: Path, *, open_kv: OpenKV
) -> int:
    """Prove a snapshot that is here from the genesis, down to every value of the state; how many
    there are. Raises what `build_chain` raises.
    """
    with closing(open_kv(scratch / "kv")) as kv:
        try:
            verify_head(head, genesis)
            _fill_past(kv, head, files, _no_limit)
            leaves = scratch / "leaves"
            leaves.mkdir()
            return _fill_state(kv, head, files, leaves, Batch(), require_room=_no_limit)
        except (DecodeError, VerificationError) as error:
            raise FalseSnapshotError(getattr(error, "reason", "chunk"), str(error)) from None


def _scratch(path: Path) -> Path:
    """Where what does not fit in memory waits while a database is built at `path`."""
    return path.with_name(path.name + ".scratch")


def _found(kv: KV, head: SnapshotHead, genesis: Genesis, registry: Registry) -> None:
    """The genesis, and how the validators came to be."""
    batch = Batch()
    validators = genesis.validator_set()
    first = Result(
        _genesis_root(genesis, registry), merkle.EMPTY_ROOT, merkle.EMPTY_ROOT, validators.hash()
    )
    ChainStore(kv).stage_genesis(batch, encode(genesis), first, validators)
    for change in head.set_changes():
        stage_change(batch, change)
    kv.write(batch, sync=False)


def _no_limit() -> None:
    """An operator asked for it, and looks at the disk himself."""


def _fill_past(
    kv: KV, head: SnapshotHead, files: SnapshotFiles, require_room: Callable[[], None]
) -> None:
    check = PastCheck(head.manifest)
    for data in _contents(files, head.manifest.past):
        require_room()
        batch = Batch()
        for past in decode(PastChunk, data, size_max=CHUNK_BYTES_MAX).heights:
            check.next(past)
            stage_past(batch, past.header, past.result, past.outcomes)
        kv.write(batch, sync=False)
    check.end()


def _fill_state(
    kv: KV,
    head: SnapshotHead,
    files: SnapshotFiles,
    scratch: Path,
    last: Batch,
    *,
    require_room: Callable[[], None],
) -> int:
    builder = StateBuilder(kv, head.manifest.height, scratch, before_write=require_room)
    count = 0
    for data in _contents(files, head.manifest.state):
        chunk = decode(StateChunk, data, size_max=CHUNK_BYTES_MAX)
        count += len(chunk.entries)
        try:
            for key, value in chunk.entries:
                builder.add(chunk.namespace, key, value)
        except ValueError as error:
            raise FalseSnapshotError("snapshot_order", str(error)) from None
    root = builder.finish(last)
    if root != head.manifest.state_root:
        raise FalseSnapshotError("snapshot_state", "the values do not have the certified root")
    return count


def _contents(files: SnapshotFiles, refs: tuple[ChunkRef, ...]) -> Iterator[bytes]:
    for ref in refs:
        yield files.read_chunk(ref.hash)


def _check_opens(kv: KV, genesis: Genesis, registry: Registry) -> None:
    """What was built is a chain, and its past reaches as far back as the next block needs."""
    chain = Chain(kv, genesis, registry, keep_versions=1)
    first = first_past(chain)
    if chain.blocks.header(first) is None:
        raise FalseSnapshotError("snapshot_past", f"the past does not reach back to {first}")


def _genesis_root(genesis: Genesis, registry: Registry) -> bytes:
    state = StateStore(MemoryKV(), keep_versions=1)
    return state.prepare(0, genesis_changes(genesis, registry)).root
