"""Builds the database of a chain from a backup, and proves it before anything may use it.

Its chunks are held against the manifest; what they hold against the genesis: every block, its
certificate under the validators that the chain itself names, and the state, whose root is computed
again from every page and found again for every value. What is here from before the oldest block is
proven by the hashes that lead from it. What only the manifest vouches for: the values of earlier
heights.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import msgspec

from medquorum.codec import encode
from medquorum.errors import DecodeError, VerificationError
from medquorum.genesis import Genesis
from medquorum.history import ValidatorHistory
from medquorum.invariants import InvariantBroken
from node.backup.errors import FalseBackupError
from node.backup.format import (
    BackupManifest,
    ChunkRef,
    Entry,
    chunks_of,
    decode_chunk,
    load_manifest,
)
from node.backup.limits import FILL_BYTES, FILL_ENTRIES
from node.chain import Chain
from node.checking.findings import Report
from node.ledger.registry import Registry
from node.receipts import certified_at, history_before
from node.repair.blocks import BlockAudit, Progress
from node.repair.indexes import check_strays
from node.repair.limits import ENTRY_SHOWN_BYTES, PAGES_HELD_MAX
from node.repair.past import PastAudit
from node.snapshots.making import first_past
from storage import layout
from storage.chain import ChainStore
from storage.entries import wrong_with
from storage.errors import BlobNotFoundError, DamagedBlobError, DamagedError, FormatError
from storage.files import DiskFiles
from storage.kv import KV, Batch
from storage.schema import bring_forward
from storage.snapshots import SnapshotFiles
from storage.stateaudit import StateAudit
from storage.vault import read_blob

OpenKV = Callable[[Path], KV]
"""Opens or creates the database in a directory."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A chain that was built and proven, what was checked, and how long each part took."""

    manifest: BackupManifest
    checked: Counter[str]
    read_seconds: float
    verify_seconds: float
    open_seconds: float


def choose(directory: Path, height: int | None) -> BackupManifest | None:
    """The manifest of the latest backup in a directory, or of the latest of a height; None if there
    is none. Raises FalseBackupError, DiskError.
    """
    files = SnapshotFiles(directory)
    names = [name for name in files.names() if height in {None, name.height}]
    return load_manifest(files, names[-1]) if names else None


def rebuild(
    path: Path,
    directory: Path,
    manifest: BackupManifest,
    *,
    genesis: Genesis,
    registry: Registry,
    open_kv: OpenKV,
    progress: Progress,
) -> Rebuilt:
    """Build at `path`, which is empty or absent, the chain of a backup in `directory`. On return it
    is proven, durable, closed, and was opened once.

    Raises FalseBackupError; FormatError for the layout of a newer version, as
    older ones are brought forward; DiskError.
    """
    if manifest.chain_id != genesis.chain_id():
        raise FalseBackupError("the manifest", "it is of a chain with another genesis")
    if manifest.layout > layout.FORMAT_VERSION:
        raise FormatError(directory, manifest.layout, layout.FORMAT_VERSION)
    began_s = time.monotonic()
    with closing(open_kv(path)) as kv:
        _fill(kv, directory, manifest, progress)
        filled_s = time.monotonic()
        try:
            _bring_forward(kv, manifest)
            checked = _verify(kv, manifest, genesis, progress)
            verified_s = time.monotonic()
            _check_opens(kv, manifest, genesis, registry)
        except (
            DamagedError, VerificationError, InvariantBroken, DecodeError, msgspec.DecodeError
        ) as error:  # fmt: skip
            raise FalseBackupError("the chain", str(error)) from None
    opened_s = time.monotonic()
    return Rebuilt(
        manifest, checked, filled_s - began_s, verified_s - filled_s, opened_s - verified_s
    )


def _check_opens(kv: KV, manifest: BackupManifest, genesis: Genesis, registry: Registry) -> None:
    """What was built is a chain, and its past reaches as far back as the next block needs."""
    opened = Chain(kv, genesis, registry, keep_versions=1)
    if (opened.tip.height, opened.state.root()) != (manifest.height, manifest.state_root):
        raise FalseBackupError("the chain", "it opens at another height or state")
    first = first_past(opened)
    if opened.blocks.header(first) is None:
        raise FalseBackupError("the chain", f"its past does not reach back to {first}")


def _fill(kv: KV, directory: Path, manifest: BackupManifest, progress: Progress) -> None:
    """All entries, in ascending order and synced."""
    last = b""
    count = size = 0
    batch = Batch()
    for number, ref in enumerate(manifest.chunks, 1):
        for key, value in _chunk(directory, ref):
            if key <= last:
                raise FalseBackupError(f"the chunk {ref.hash.hex()}", "its keys do not ascend")
            if (wrong := wrong_with(key, value, manifest.height)) is not None:
                raise FalseBackupError(f"the entry {key[:ENTRY_SHOWN_BYTES].hex()}", wrong)
            last = key
            batch.put(key, value)
        size += ref.size
        if len(batch) >= FILL_ENTRIES or size >= FILL_BYTES:
            kv.write(batch, sync=False)
            count += len(batch)
            batch, size = Batch(), 0
        progress("chunks", number, len(manifest.chunks))
    kv.write(batch, sync=True)
    if count + len(batch) != manifest.entries:
        raise FalseBackupError("the manifest", "the chunks hold another number of entries")


def _chunk(directory: Path, ref: ChunkRef) -> tuple[Entry, ...]:
    part = f"the chunk {ref.hash.hex()}"
    try:
        data = read_blob(chunks_of(directory), ref.hash, files=DiskFiles(), size=ref.size)
        return decode_chunk(data)
    except BlobNotFoundError:
        raise FalseBackupError(part, "it is missing") from None
    except DamagedBlobError:
        raise FalseBackupError(part, "it is damaged: it does not hash to its name") from None
    except DecodeError as error:
        raise FalseBackupError(part, str(error)) from None


def _bring_forward(kv: KV, manifest: BackupManifest) -> None:
    """Give the chain of an older backup today's layout; its copy is the backup."""
    try:
        found = bring_forward(kv)
    except (DamagedError, FormatError, InvariantBroken, ValueError) as error:
        raise FalseBackupError("the chain", str(error)) from None
    if found != manifest.layout:
        raise FalseBackupError("the manifest", f"it names layout {manifest.layout}, not {found}")


def _verify(kv: KV, manifest: BackupManifest, genesis: Genesis, progress: Progress) -> Counter[str]:
    blocks = ChainStore(kv)
    if blocks.genesis() != encode(genesis):
        raise FalseBackupError("the chain", "it has another genesis")
    if blocks.tip() != manifest.height:
        raise FalseBackupError("the chain", f"it ends at height {blocks.tip()}")
    _verify_tip(blocks, manifest, genesis)
    report = Report()
    first = blocks.oldest_block()
    audit = BlockAudit(kv, blocks, genesis, report, first=first, last=manifest.height)
    audit.run(len(os.sched_getaffinity(0)), progress)
    PastAudit(kv, blocks, genesis, report).run(progress)
    check_strays(kv, blocks, report)
    state = StateAudit(kv, manifest.height, pages_held_max=PAGES_HELD_MAX)
    if state.root != manifest.state_root:
        raise FalseBackupError("the state", "its root is not the certified one")
    for damage in chain(state.tree(), state.every_value()):
        place = f"{damage.kind} {damage.namespace}/{damage.key.hex()}"
        raise FalseBackupError("the state", f"{place}: {damage.detail}")
    report.looked_at("values", state.values)
    if report.damaged:
        more = f" ({report.damaged - 1} more findings)" if report.damaged > 1 else ""
        raise FalseBackupError("the chain", report.findings[0].line() + more)
    return report.counts


def _verify_tip(blocks: ChainStore, manifest: BackupManifest, genesis: Genesis) -> None:
    """The validators that follow from the genesis certified the block and the state that the
    manifest names. Raises VerificationError, FalseBackupError.
    """
    tip = certified_at(blocks, manifest.height)
    if tip is None:
        raise FalseBackupError("the chain", "its last height is not certified")
    history = ValidatorHistory(genesis)
    history.extend(history_before(blocks, manifest.height))
    history.verify(tip)
    found = (tip.header.height, tip.header.hash(), tip.result.hash(), tip.result.state_root)
    named = (manifest.height, manifest.block_hash, manifest.result_hash, manifest.state_root)
    if found != named:
        raise FalseBackupError("the manifest", "it names another block, result or state")
