"""Brings the database of a home forward when software with a newer layout first opens it
(docs/spec/storage.md, section 8, rules S2 to S5).

    <copies>/chain-<format>-<height>       the database as it was, until an operator removes it
    <copies>/chain-<format>-<height>.tmp   such a copy that was not finished: worthless

A crash at any point leaves the old database alone, or the old one beside its copy, or one in the
midst of a step beside the copy, which the next opening takes on.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from storage import layout
from storage.errors import DiskFailedError, DiskFullError
from storage.files import FULL, TEMP_SUFFIX, DiskFiles, sync_file
from storage.kv import KV
from storage.schema import bring_forward, database_format

OpenKV = Callable[[Path], KV]
"""Opens or creates the database in a directory."""
NEVER_CHANGED: Final = frozenset({".ldb", ".sst"})
"""Files of LevelDB that are written once and later only removed: a second name is as good as a
copy, and takes no room.
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """A database that has to be brought forward, and where the copy of it will be."""

    path: Path
    copy: Path
    found: int
    wanted: int
    height: int
    bytes: int
    """What it takes on the disk, which is the room that has to be free."""


def pending(path: Path, kv: KV, copies: Path) -> Migration | None:
    """What has to be done to the open database `kv` at `path`; None if nothing.

    Raises FormatError for a newer format (S2), DamagedStoreError, DiskFailedError.
    """
    found = database_format(kv)
    if found is None or found == layout.FORMAT_VERSION:
        return None
    tip = kv.get(layout.TIP)
    height = 0 if tip is None else layout.unpack_height(tip)
    copy = copies / f"chain-{found}-{height}"
    return Migration(path, copy, found, layout.FORMAT_VERSION, height, kv.bytes_on_disk())


def open_current(
    path: Path,
    open_kv: OpenKV,
    copies: Path,
    *,
    began: Callable[[Migration], None],
    free_bytes: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free,
) -> KV:
    """Open or create a database and bring it forward if need be; `began` is told before.

    The caller holds the lock of the data directory. Raises FormatError (S2), DiskFullError before
    anything is changed if there is no room (S4), DamagedStoreError, DiskError.
    """
    kv = open_kv(path)
    try:
        task = pending(path, kv, copies)
    except BaseException:
        kv.close()
        raise
    if task is None:
        return kv
    kv.close()
    began(task)
    if not task.copy.exists():
        _require_room(task, free_bytes)
        _copy(path, task.copy)
    with closing(open_kv(path)) as kv:
        bring_forward(kv)
    return open_kv(path)


def copies_in(copies: Path) -> tuple[Path, ...]:
    """The copies that migrations left, by name. Raises OSError."""
    if not copies.exists():
        return ()
    return tuple(sorted(path for path in copies.iterdir() if path.is_dir()))


def _require_room(task: Migration, free_bytes: Callable[[Path], int]) -> None:
    free = free_bytes(task.path)
    if free < task.bytes:
        detail = f"{free} bytes are free, and a second copy takes up to {task.bytes}"
        raise DiskFullError(task.path, "migrate", detail)


def _copy(source: Path, target: Path) -> None:
    """Copy the files of a closed database; whole and durable once `target` has its name."""
    files = DiskFiles()
    temp = target.with_name(target.name + TEMP_SUFFIX)
    try:
        shutil.rmtree(temp, ignore_errors=True)
        files.make_directory(temp)
        for file in sorted(source.iterdir()):
            if file.suffix not in NEVER_CHANGED or not _linked(file, temp / file.name):
                shutil.copyfile(file, temp / file.name)
                sync_file(temp / file.name)
    except OSError as error:
        shutil.rmtree(temp, ignore_errors=True)
        kind = DiskFullError if error.errno in FULL else DiskFailedError
        raise kind(temp, "copy", error.strerror or "") from None
    files.sync_directory(temp)
    files.rename(temp, target)
    files.sync_directory(target.parent)


def _linked(file: Path, name: Path) -> bool:
    """Give a file a second name; not possible on every file system."""
    try:
        os.link(file, name)
    except OSError:
        return False
    return True
