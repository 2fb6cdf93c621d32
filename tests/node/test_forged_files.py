"""Archives and snapshots whose hashes are all right and in which one thing is another: refused by a
name, whatever it is, and never by an exception that nobody expected.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from random import Random

import pytest
from msgspec.structs import replace

from medquorum import genesis as genesis_files
from medquorum import merkle
from medquorum.errors import VerificationError
from medquorum.genesis import Genesis
from node.archive.format import ArchivedHeight, ArchiveHead, ArchiveReader, framed, payload_of
from node.archive.proving import prove_archive
from node.chain import Chain
from node.home import Home
from node.snapshots.beginning import build_chain
from node.snapshots.errors import FalseSnapshotError
from node.snapshots.format import ChunkRef, SnapshotHead
from node.snapshots.making import SnapshotWork, load_head
from storage.memory import MemoryKV
from storage.snapshots import SnapshotFiles
from tests.support.archives import archived
from tests.support.signed_chain import REGISTRY
from tests.support.stopped_home import make_stopped_home, opened

ROUNDS = 60
_ODD = (0x00, 0x80, 0x90, 0xA1, 0xC0, 0xC1, 0xCF, 0xDC, 0xDD, 0xFF)
_HUGE = b"\xcf" + b"\xff" * 8


@dataclass(frozen=True, slots=True)
class Sound:
    """True files of one chain."""

    genesis: Genesis
    archive: ArchiveHead
    heights: tuple[ArchivedHeight, ...]
    snapshot: SnapshotHead
    files: SnapshotFiles


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Sound:
    """Those of a chain on which a bit of everything happened."""
    folder = tmp_path_factory.mktemp("sound")
    home: Home = make_stopped_home(folder)
    genesis = genesis_files.load(home.genesis_file.read_bytes())
    archived(home, folder / "archive", 4, 7)
    with (folder / "archive").open("rb") as stream:
        reader = ArchiveReader(stream)
        heights = tuple(entry.content for entry in reader.entries())
    files = SnapshotFiles(folder / "snapshots")
    with opened(home) as kv:
        chain = Chain(kv, genesis, REGISTRY, keep_versions=10)
        with closing(kv.snapshot()) as view:
            work = SnapshotWork(chain, view, files)
            while work.step():
                pass
            head = load_head(files, work.finish())
    assert head is not None
    return Sound(genesis, reader.head, heights, head, files)


def mutants(random: Random, data: bytes) -> Iterator[bytes]:
    """Bytes that are nearly these, without end."""
    while True:
        changed = bytearray(data or b"\x00")
        place = random.randrange(len(changed))
        match random.randrange(5):
            case 0:
                changed[place] ^= 1 << random.randrange(8)
            case 1:
                changed[place] = random.choice(_ODD)
            case 2:
                del changed[place:]
            case 3:
                changed[place:place] = random.randbytes(random.randrange(1, 9))
            case _:
                changed[place : place + len(_HUGE)] = _HUGE
        if changed not in (data, b""):
            yield bytes(changed)


def test_no_archive_with_another_part_of_a_height_is_proven(sound: Sound) -> None:
    random = Random(7)
    for _ in range(ROUNDS):
        heights = list(sound.heights)
        index = random.randrange(len(heights))
        part = random.choice(ArchivedHeight.__struct_fields__)
        forged = next(mutants(random, getattr(heights[index], part)))
        heights[index] = replace(heights[index], **{part: forged})
        payloads = [payload_of(height) for height in heights]
        head = replace(sound.archive, root=merkle.root([entry.digest for entry in payloads]))
        data = framed(head) + b"".join(entry.framed for entry in payloads)
        with pytest.raises(VerificationError, match=f"height {4 + index}"):
            prove_archive(ArchiveReader(BytesIO(data)), sound.genesis)


def test_no_chain_begins_with_a_snapshot_of_another_chunk(sound: Sound, tmp_path: Path) -> None:
    random = Random(8)
    for _ in range(ROUNDS):
        manifest = sound.snapshot.manifest
        part = random.choice(("past", "state"))
        refs = list(getattr(manifest, part))
        index = random.randrange(len(refs))
        data = next(mutants(random, sound.files.read_chunk(refs[index].hash)))
        refs[index] = ChunkRef(sound.files.chunks.put(data), len(data))
        forged = replace(sound.snapshot, manifest=replace(manifest, **{part: tuple(refs)}))
        with pytest.raises(FalseSnapshotError):
            build_chain(
                tmp_path / "chain",
                forged,
                sound.files,
                genesis=sound.genesis,
                registry=REGISTRY,
                open_kv=lambda _: MemoryKV(),
            )
