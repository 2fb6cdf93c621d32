"""Whoever can write to the directory of backups can make the hashes of a backup right. What it says
of the chain is still proven, and what is no entry of a chain is refused by its key.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from random import Random

import msgspec
import pytest
from msgspec.structs import replace
from typing_extensions import override

from medquorum import genesis as genesis_files
from medquorum.codec import encode
from medquorum.genesis import Genesis
from node.backup.errors import FalseBackupError
from node.backup.format import BackupChunk, BackupManifest, ChunkRef, chunks_of, load_manifest
from node.backup.limits import CHUNK_BYTES_TARGET_MAX
from node.backup.making import BackupWork
from node.backup.restoring import choose, rebuild
from storage import entries, layout, pages
from storage.chain import ChainStore
from storage.kv import KV, Batch
from storage.leveldb import LevelDB
from storage.memory import MemoryKV
from storage.snapshots import SnapshotFiles
from storage.state import newest_head
from tests.support.signed_chain import REGISTRY
from tests.support.stopped_home import make_stopped_home, opened

TIP = 8
Entries = dict[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Sound:
    """A true backup: what it holds, of which chain."""

    entries: Entries
    genesis: Genesis
    manifest: BackupManifest


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Sound:
    """One of a chain on which a bit of everything happened."""
    folder = tmp_path_factory.mktemp("sound")
    home = make_stopped_home(folder)
    genesis = genesis_files.load(home.genesis_file.read_bytes())
    files = SnapshotFiles(folder / "b")
    with opened(home) as kv, closing(kv.snapshot()) as view:
        work = BackupWork(view, files, chain_id=genesis.chain_id(), software="test")
        while work.step():
            pass
        made = work.finish(0.0)
        return Sound(dict(kv.scan(b"\x00", b"\xff")), genesis, load_manifest(files, made.name()))


def write(directory: Path, sound: Sound, forged: Entries) -> BackupManifest:
    """A backup of these entries, with all its hashes right."""
    files = SnapshotFiles(directory)
    data = encode(BackupChunk(tuple(sorted(forged.items()))))
    ref = ChunkRef(files.chunks.put(data), len(data))
    manifest = replace(sound.manifest, entries=len(forged), chunks=(ref,))
    files.keep(manifest.name(), encode(manifest))
    return manifest


class Kept(MemoryKV):
    """A database that can be looked at after it was closed."""

    @override
    def close(self) -> None:
        """Nothing is lost."""


def restored(folder: Path, sound: Sound, manifest: BackupManifest) -> KV:
    """What is built of it. Raises FalseBackupError."""
    kv = Kept()
    rebuild(
        folder / "chain",
        folder,
        manifest,
        genesis=sound.genesis,
        registry=REGISTRY,
        open_kv=lambda _: kv,
        progress=lambda *_: None,
    )
    return kv


def test_a_true_one_is_restored(sound: Sound, tmp_path: Path) -> None:
    kv = restored(tmp_path, sound, write(tmp_path, sound, sound.entries))
    assert dict(kv.scan(b"\x00", b"\xff")) == sound.entries


def _future(prefix: bytes, height: int = TIP + 1) -> Callable[[Sound], Entries]:
    """The value of the last key under a prefix, under a height that was not reached."""

    def forged(sound: Sound) -> Entries:
        last = max(key for key in sound.entries if key[:1] == prefix)
        return {layout.at_height(prefix, height) + last[9:]: sound.entries[last]}

    return forged


def _stale(*keys: bytes) -> Callable[[Sound], Entries]:
    listed = layout.STALE + layout.pack_place(TIP, 7)
    return lambda _: {listed: msgspec.msgpack.encode(list(keys))}


def _misplaced(leaves: Callable[[bytes, int], tuple[int, bytes]]) -> Callable[[Sound], Entries]:
    """A page of the latest state that says what it said, but for the leaves of one slot: which slot
    and which leaves is told from one of its leaves and where that stands.
    """

    def forged(sound: Sound) -> Entries:
        last = (key for key in sound.entries if key[:1] == layout.PAGE and key[9:][-1:] == b"\x00")
        key = max(last, key=lambda key: key[:9])
        page = bytearray(sound.entries[key])
        held = next(slot for slot in range(pages.SLOTS) if pages.slot_leaves(page, slot))
        slot, placed = leaves(pages.slot_leaves(page, held)[: pages.LEAF_BYTES], held)
        hashed = pages.node_hash(page, pages.SLOTS + slot)
        pages.set_leaves(page, slot, placed, hashed)
        return {key: bytes(page)}

    return forged


def _too_deep(_: Sound) -> Entries:
    empty = bytes(pages.empty_page())
    return {layout.PAGE + layout.pack_height(TIP) + b"\x01a\x40" + bytes(32): empty}


@pytest.mark.parametrize(
    "more",
    [
        pytest.param(_future(layout.VALIDATORS, TIP + 2), id="who votes later"),
        *(
            pytest.param(_future(prefix), id=f"a later {prefix!r}")
            for prefix in (
                layout.HEADER,
                layout.RESULT,
                layout.CERTIFICATE,
                layout.TRANSACTIONS,
                layout.OUTCOMES,
                layout.EVENTS,
                layout.PAGE,
                layout.STATE_HEAD,
                layout.STALE,
            )
        ),
        pytest.param(_stale(layout.TIP), id="the tip is to be pruned"),
        pytest.param(_stale(layout.at_height(layout.STATE_HEAD, TIP)), id="the last roots are"),
        pytest.param(lambda _: {b"Q": b"1"}, id="a key without a meaning"),
        pytest.param(lambda _: {layout.HEADER: b"1"}, id="a key without its rest"),
        pytest.param(lambda _: {layout.STATE + b"\x05a": b"1"}, id="half a namespace"),
        pytest.param(lambda _: {layout.TX + bytes(32): b"1"}, id="half a place"),
        pytest.param(_misplaced(lambda leaf, slot: (slot, 3 * leaf)), id="equal leaves"),
        pytest.param(_misplaced(lambda leaf, slot: (slot ^ 1, leaf)), id="a leaf elsewhere"),
        pytest.param(_too_deep, id="a page deeper than paths"),
    ],
)
def test_what_is_no_entry_of_this_chain_is_refused_and_its_key_named(
    sound: Sound, tmp_path: Path, more: Callable[[Sound], Entries]
) -> None:
    forged = more(sound)
    manifest = write(tmp_path, sound, sound.entries | forged)
    with pytest.raises(FalseBackupError) as refused:
        restored(tmp_path, sound, manifest)
    assert next(iter(forged))[:64].hex() in str(refused.value)


def test_a_page_that_no_check_has_seen_ends_no_migration(sound: Sound, tmp_path: Path) -> None:
    """Layout 1 is brought forward before the state is proven, and looks for keys in its pages."""
    forged = _misplaced(lambda leaf, slot: (slot, 3 * leaf))(sound)
    ((key, page),) = forged.items()
    slot = next(slot for slot in range(pages.SLOTS) if pages.slot_leaves(page, slot))
    path = pages.slot_leaves(page, slot)[: pages.PATH_BYTES]
    asked = layout.HISTORY + key[9:-1] + path + layout.pack_height(TIP)
    old = {layout.FORMAT: layout.pack_height(1), asked: b"\x01gone"}
    manifest = replace(write(tmp_path, sound, sound.entries | forged | old), layout=1)
    with pytest.raises(FalseBackupError):
        restored(tmp_path, sound, manifest)


def mutants(sound: Sound, rounds: int) -> Iterator[Entries]:
    """Each differs in one entry: a value, a key, or that it is there. Of every kind in turn."""
    random = Random(5)
    kinds = sorted({key[:1] for key in sound.entries})
    for number in range(rounds):
        kind = kinds[number % len(kinds)]
        key = random.choice(sorted(key for key in sound.entries if key[:1] == kind))
        forged = dict(sound.entries)
        value = forged.pop(key)
        match random.randrange(4):
            case 0:
                changed = bytearray(value or b"\x00")
                changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
                forged[key] = bytes(changed)
            case 1:
                forged[key] = value[: random.randrange(len(value) + 1)] + random.randbytes(2)
            case 2:
                forged[key[: random.randrange(1, len(key) + 1)] + random.randbytes(1)] = value
            case _:
                pass
        yield forged


def test_whatever_one_entry_says_it_is_refused_or_the_chain_is_the_certified_one(
    sound: Sound, tmp_path: Path
) -> None:
    refused = 0
    for number, forged in enumerate(mutants(sound, 120)):
        folder = tmp_path / str(number)
        try:
            kv = restored(folder, sound, write(folder, sound, forged))
        except FalseBackupError:
            refused += 1
            continue
        blocks = ChainStore(kv)
        assert blocks.tip() == TIP
        assert newest_head(kv).root == sound.manifest.state_root
        certified = {k: v for k, v in sound.entries.items() if k[:1] in b"GNhrcboeitvs"}
        assert certified == {k: v for k, v in forged.items() if k[:1] in b"GNhrcboeitvs"}
    assert refused > 60


@pytest.mark.parametrize("oldest", [4, TIP + 1])
@pytest.mark.parametrize(
    ("prefix", "height"),
    [
        (layout.OUTCOMES, 2),
        (layout.HEADER, 3),
        (layout.RESULT, 1),
        (layout.RESULT, 0),
        (layout.CERTIFICATE, 2),
    ],
)
def test_where_blocks_end_does_not_end_what_is_proven(
    sound: Sound, tmp_path: Path, oldest: int, prefix: bytes, height: int
) -> None:
    # A backup that says that it keeps few blocks, or none, to have the rest believed.
    pruned = {
        key: value
        for key, value in sound.entries.items()
        if key[:1] not in {layout.TRANSACTIONS, layout.EVENTS}
        or layout.unpack_height(key[1:]) >= oldest
    } | {layout.BLOCKS_OLDEST: layout.pack_height(oldest)}
    restored(tmp_path / "true", sound, write(tmp_path / "true", sound, pruned))
    key = layout.at_height(prefix, height)
    changed = pruned[key][:-1] + bytes([pruned[key][-1] ^ 1])
    manifest = write(tmp_path, sound, pruned | {key: changed})
    with pytest.raises(FalseBackupError, match="height"):
        restored(tmp_path, sound, manifest)


def test_every_key_that_the_layout_knows_is_known_here() -> None:
    named = {
        value
        for name, value in vars(layout).items()
        if name.isupper() and isinstance(value, bytes) and len(value) == 1
    }
    odd = [prefix for prefix in named if entries.wrong_with(prefix, b"", 0) is not None]
    unknown = [p for p in odd if "no such key" in (entries.wrong_with(p, b"", 0) or "")]
    assert unknown == []


def test_files_that_are_no_files_of_a_backup_are_not_read(sound: Sound, tmp_path: Path) -> None:
    manifest = write(tmp_path, sound, sound.entries)
    (ref,) = manifest.chunks
    chunk = chunks_of(tmp_path) / ref.hash.hex()[:2] / ref.hash.hex()
    (head,) = tmp_path.glob("*.head")
    for file in (chunk, head):
        whole = file.read_bytes()
        file.unlink()
        for endless in ("/dev/zero", None):
            if endless is None:
                os.mkfifo(file)
            else:
                file.symlink_to(endless)
            with pytest.raises(FalseBackupError):
                restored(tmp_path, sound, choose(tmp_path, None) or manifest)
            file.unlink()
        file.write_bytes(whole)
    restored(tmp_path, sound, manifest)


def test_a_chunk_of_countless_entries_is_not_taken_apart(sound: Sound, tmp_path: Path) -> None:
    # Of five bytes each: their number alone would take a hundred times the memory of the file.
    files = SnapshotFiles(tmp_path)
    count = CHUNK_BYTES_TARGET_MAX // 4
    data = b"\x91\xdd" + count.to_bytes(4, "big") + count * b"\x92\xc4\x00\xc4\x00"
    ref = ChunkRef(files.chunks.put(data), len(data))
    assert ref.hash == sha256(data).digest()
    with pytest.raises(FalseBackupError, match="length 1"):
        restored(tmp_path, sound, replace(sound.manifest, chunks=(ref,)))


def test_one_large_entry_is_a_chunk_of_its_own(sound: Sound, tmp_path: Path) -> None:
    large = bytes(CHUNK_BYTES_TARGET_MAX + 1)
    files = SnapshotFiles(tmp_path / "b")
    with closing(LevelDB(tmp_path / "kv")) as kv:
        batch_of(kv, sound.entries | {layout.at_height(layout.EVENTS, 1): large})
        with closing(kv.snapshot()) as view:
            work = BackupWork(view, files, chain_id=sound.manifest.chain_id, software="test")
            while work.step():
                pass
            made = work.finish(0.0)
    manifest = load_manifest(files, made.name())
    assert max(chunk.size for chunk in manifest.chunks) > len(large)
    # It is read; that the block has no such events is found later.
    with pytest.raises(FalseBackupError, match="events"):
        restored(tmp_path / "b", sound, manifest)


def batch_of(kv: KV, forged: Entries) -> None:
    """Write all of them."""
    batch = Batch()
    for key, value in forged.items():
        batch.put(key, value)
    kv.write(batch, sync=True)
