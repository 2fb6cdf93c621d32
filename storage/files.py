"""The file operations that logs, sign state, journal and vault are made of.

They are an object that is passed in, so that a test or the simulator can play the disk: record the
order of operations, fail any of them, or lose what was not synced. What makes a file durable is two
facts: its content was synced, and so was the directory that names it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Protocol

from storage.errors import DiskError, DiskFailedError, DiskFullError

TEMP_SUFFIX: Final = ".tmp"
"""Of a file that has not got its name yet. What a crash leaves of it is worthless and removed."""

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


class OpenFile(Protocol):
    """A file that is being written, at its end."""

    def write(self, data: bytes) -> None:
        """Append all of `data`. If it raises, any part of it may have been appended."""
        ...

    def sync(self) -> None:
        """Return when everything written is on the disk.

        After an error that can no longer be known.
        """
        ...

    def truncate(self, size: int) -> None:
        """Drop everything from offset `size` on."""
        ...

    def close(self) -> None:
        """Release it. Does not sync."""
        ...


class Files(Protocol):
    """A file system.

    Every method raises DiskFullError or DiskFailedError for what the disk refuses.
    """

    def read(self, path: Path) -> bytes | None:
        """The content, or None if there is no such file."""
        ...

    def size(self, path: Path) -> int | None:
        """The length in bytes, or None if there is no such file."""
        ...

    def names(self, directory: Path) -> list[str]:
        """What is in `directory`, sorted; empty if it does not exist."""
        ...

    def make_directory(self, path: Path) -> None:
        """Create it with its parents; durable when this returns. Harmless if it exists."""
        ...

    def create(self, path: Path) -> OpenFile:
        """A new empty file, in place of any that has this name."""
        ...

    def open_append(self, path: Path) -> OpenFile:
        """An existing file, to write on at its end."""
        ...

    def rename(self, source: Path, target: Path) -> None:
        """Give `source` the name `target` in one step. Durable only after `sync_directory`."""
        ...

    def remove(self, path: Path) -> bool:
        """Unlink it; whether it was there. Durable only after `sync_directory`."""
        ...

    def sync_directory(self, path: Path) -> None:
        """Return when the names in this directory are on the disk."""
        ...

    def random_bytes(self, count: int) -> bytes:
        """Bytes that nobody else can foresee."""
        ...


class DiskFiles:
    """The real file system."""

    __slots__ = ()

    def read(self, path: Path) -> bytes | None:
        """See Files.read."""
        with _mapped(path, "read"), suppress(FileNotFoundError):
            return path.read_bytes()
        return None

    def size(self, path: Path) -> int | None:
        """See Files.size."""
        with _mapped(path, "stat"), suppress(FileNotFoundError):
            return path.stat().st_size
        return None

    def names(self, directory: Path) -> list[str]:
        """See Files.names."""
        with _mapped(directory, "list"), suppress(FileNotFoundError):
            return sorted(entry.name for entry in directory.iterdir())
        return []

    def make_directory(self, path: Path) -> None:
        """See Files.make_directory."""
        if path.is_dir():
            return
        self.make_directory(path.parent)
        with _mapped(path, "create"):
            path.mkdir(mode=0o700, exist_ok=True)
        self.sync_directory(path.parent)

    def create(self, path: Path) -> OpenFile:
        """See Files.create. Readable by the owner only."""
        return _DiskFile(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)

    def open_append(self, path: Path) -> OpenFile:
        """See Files.open_append."""
        return _DiskFile(path, os.O_WRONLY | os.O_APPEND)

    def rename(self, source: Path, target: Path) -> None:
        """See Files.rename."""
        with _mapped(target, "rename"):
            source.replace(target)

    def remove(self, path: Path) -> bool:
        """See Files.remove."""
        with _mapped(path, "remove"), suppress(FileNotFoundError):
            path.unlink()
            return True
        return False

    def sync_directory(self, path: Path) -> None:
        """See Files.sync_directory."""
        with _mapped(path, "sync"):
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def random_bytes(self, count: int) -> bytes:
        """See Files.random_bytes."""
        return os.urandom(count)


class _DiskFile:
    __slots__ = ("_descriptor", "_path")

    def __init__(self, path: Path, flags: int) -> None:
        self._path = path
        with _mapped(path, "open"):
            self._descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        with _mapped(self._path, "write"):
            while len(view) > 0:  # a nearly full disk takes a part first and refuses the rest then
                view = view[os.write(self._descriptor, view) :]

    def sync(self) -> None:
        # fdatasync also writes the length of the file, which is the only metadata that reading
        # needs.
        with _mapped(self._path, "sync"):
            os.fdatasync(self._descriptor)

    def truncate(self, size: int) -> None:
        with _mapped(self._path, "truncate"):
            os.ftruncate(self._descriptor, size)

    def close(self) -> None:
        with _mapped(self._path, "close"):
            os.close(self._descriptor)


@contextmanager
def _mapped(path: Path, operation: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise DiskFailedError(path, operation, "no such file") from error
    except OSError as error:
        kind = DiskFullError if error.errno in FULL else DiskFailedError
        raise kind(path, operation, os.strerror(error.errno or 0)) from error


def replace_file(files: Files, path: Path, data: bytes) -> None:
    """Make `data` the content of `path`, durably and in one step:

    a crash leaves the old content or the new one.

    Before the rename the content is synced, or the name might come to stand for an empty file;
    after it the directory is synced, or the old content might come back.
    """
    temp = path.with_name(path.name + TEMP_SUFFIX)
    try:
        write_synced(files, temp, data)
    except DiskError:
        with suppress(
            DiskError
        ):  # give back the room it takes; the first error is the one to report
            files.remove(temp)
        raise
    files.rename(temp, path)
    files.sync_directory(path.parent)


def make_durable(files: Files, path: Path) -> None:
    """Sync a file that an earlier process wrote, and its name: what is read from it may be in the
    kernel's memory alone, if that process was killed between a write and its sync.

    Raises DiskFullError, DiskFailedError.
    """
    file = files.open_append(path)
    try:
        file.sync()
    finally:
        file.close()
    files.sync_directory(path.parent)


def sync_file(path: Path) -> None:
    """Sync a file that something else wrote, with all its metadata. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_synced(files: Files, path: Path, data: bytes) -> None:
    """Create `path` with this content and sync it. Its name is not durable yet."""
    file = files.create(path)
    try:
        file.write(data)
        file.sync()
    finally:
        file.close()
