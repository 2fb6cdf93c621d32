"""Stopped homes to prune and archives to bend, for the tests of both."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from medquorum import genesis as genesis_files
from medquorum.errors import VerificationError
from node.archive.format import ArchiveHead, ArchiveReader, framed
from node.archive.proving import Proven, prove_archive
from node.archive.writing import Written, finished, writing
from node.home import Home
from storage.chain import ChainStore
from storage.kv import KV
from tests.support.cli import ok
from tests.support.stopped_home import opened

TIP = 8
"""Of the homes."""
CHANGED_AT = 5
"""The height that exchanges a validator."""
WINDOW = 3
"""Heights that stay, once `narrow` was called: real ones are too many for a test."""


def copied(home: Home, folder: Path) -> Home:
    """A copy of a home."""
    shutil.copytree(home.root, folder)
    return Home(folder)


def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The chain remembers few heights, so that short chains can be pruned."""
    monkeypatch.setattr("node.pruning.lines.remembered_heights", lambda _view: WINDOW)


@contextmanager
def blocks_of(home: Home) -> Iterator[ChainStore]:
    """Its blocks."""
    with opened(home) as kv:
        yield ChainStore(kv)


def write_archive(path: Path, kv: KV, chain_id: bytes, first: int, last: int) -> Written:
    """All of it in one go."""
    return finished(writing(path, kv, chain_id, first, last))


def archived(home: Home, file: Path, first: int, last: int) -> Written:
    """Write an archive without proving it."""
    with opened(home) as kv:
        stored = ChainStore(kv).header(1)
        assert stored is not None
        return write_archive(file, kv, stored.chain_id, first, last)


def proven(home: Home, file: Path) -> Proven:
    """Prove it under the genesis of a home."""
    genesis = genesis_files.load(home.genesis_file.read_bytes())
    with file.open("rb") as stream:
        return prove_archive(ArchiveReader(stream), genesis)


def refusal(home: Home, file: Path) -> tuple[str, str]:
    """The reason and the detail for which it proves nothing."""
    with pytest.raises(VerificationError) as caught:
        proven(home, file)
    return caught.value.reason, caught.value.detail


def reframed(file: Path, **changes: object) -> None:
    """Write the file again with another head, whose hash is right."""
    with file.open("rb") as stream:
        head = ArchiveReader(stream).head
        rest = stream.read()
    replaced: ArchiveHead = msgspec.structs.replace(head, **changes)
    file.write_bytes(framed(replaced) + rest)


def created(home: Home, file: Path, first: int, last: int) -> Path:
    """By the command."""
    ok("archive", "create", "--home", home.root, "--from", first, "--to", last, file)
    return file
