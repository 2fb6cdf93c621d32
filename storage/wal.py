"""The write-ahead log:

what must be on the disk before a vote leaves (docs/spec/storage.md section 3).

Rules, numbered as there:
W1 `append` returns after the records are on the disk.
W2 A torn tail, which a crash during `append` leaves, is cut off at the next opening and reported.
W3 A bad record with a good one behind it is not a torn tail: the log refuses to open.
W4 `replace` is one rename: a crash leaves the old records or the new ones.
W5 A log that failed once refuses everything until it is opened again. W6 What opening found is on
the disk when it returns.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NoReturn

from medquorum.invariants import require
from storage import records as framing
from storage.errors import DamagedLogError, DiskError, FormatError
from storage.files import TEMP_SUFFIX, DiskFiles, Files, replace_file
from storage.limits import WAL_BYTES_MAX

_MAGIC_KIND: Final = b"MQWAL"
VERSION: Final = 1
_MAGIC: Final = _MAGIC_KIND + b"%03d" % VERSION


class WriteAheadLog:
    """An open log. One thread at a time may use it."""

    __slots__ = ("_failed", "_file", "_files", "_path", "_salt", "_size", "records", "torn_bytes")

    def __init__(self, path: Path, files: Files) -> None:
        """For `open` only."""
        self._path = path
        self._files = files
        self._failed: DiskError | None = None
        self.records: tuple[bytes, ...] = ()
        """What the log held when it was opened; given up at the first `replace`."""
        self.torn_bytes = 0
        """How many bytes of an unfinished append were cut off at the opening."""
        is_found = files.size(path) is not None
        if is_found:
            files.remove(path.with_name(path.name + TEMP_SUFFIX))
            self._salt, self._size = self._recover()
        else:
            files.make_directory(path.parent)
            self._salt, self._size = self._rewrite(())
        self._file = files.open_append(path)
        if is_found:
            if self.torn_bytes > 0:
                self._file.truncate(self._size)
            # What a killed process wrote may not have reached the disk, and counts from now on.
            self._file.sync()
            files.sync_directory(path.parent)

    @classmethod
    def open(cls, path: Path, *, files: Files | None = None) -> WriteAheadLog:
        """Open the log at `path`, creating an empty one if there is none.

        Raises DamagedLogError (W3), FormatError, DiskFullError, DiskFailedError.
        """
        return cls(path, DiskFiles() if files is None else files)

    @property
    def size_bytes(self) -> int:
        """The length of the file."""
        return self._size

    def append(self, payloads: Sequence[bytes]) -> None:
        """Add records; all of them are on the disk when this returns (W1).

        After a crash before that, any number of them from the first on may be there. Raises
        DiskFullError, DiskFailedError (W5).
        """
        self._check_usable()
        if len(payloads) == 0:
            return
        data = framing.encode_records(self._salt, self._size, payloads)
        require(self._size + len(data) <= WAL_BYTES_MAX, "the log was not compacted in time")
        try:
            self._file.write(data)
            self._file.sync()
        except DiskError as error:
            self._failed = error
            raise
        self._size += len(data)

    def replace(self, payloads: Sequence[bytes]) -> None:
        """Make these the only records, durably and in one step (W4).

        Raises DiskFullError, DiskFailedError (W5).
        """
        self._check_usable()
        try:
            salt, size = self._rewrite(payloads)
            file = self._files.open_append(self._path)
        except DiskError as error:
            self._failed = error
            raise
        self._file.close()
        self._file, self._salt, self._size = file, salt, size
        self.records = ()

    def close(self) -> None:
        """Release the file. Later use raises InvariantBroken; closing again is harmless."""
        if self._size >= 0:
            self._size = -1
            with suppress(DiskError):  # everything acknowledged was synced before
                self._file.close()

    def _check_usable(self) -> None:
        require(self._size >= 0, "the log is closed")
        if self._failed is not None:
            raise self._failed

    def _rewrite(self, payloads: Sequence[bytes]) -> tuple[bytes, int]:
        salt = self._files.random_bytes(framing.SALT_BYTES)
        data = framing.encode_records(salt, framing.HEADER_BYTES, payloads)
        data = framing.file_header(_MAGIC, salt) + data
        require(len(data) <= WAL_BYTES_MAX, "the log is larger than its limit")
        replace_file(self._files, self._path, data)
        return salt, len(data)

    def _recover(self) -> tuple[bytes, int]:
        data = self._files.read(self._path) or b""
        salt, run = _read_whole(self._path, data)
        self.records = run.records
        self.torn_bytes = len(data) - run.stop
        return salt, run.stop


def read_log(path: Path, *, files: Files | None = None) -> tuple[bytes, ...]:
    """The records of the log at `path`, which stays as it is, torn tail included.

    Raises DamagedLogError (W3), FormatError, DiskFailedError.
    """
    data = (DiskFiles() if files is None else files).read(path) or b""
    return tuple(_read_whole(path, data)[1].records)


def _read_whole(path: Path, data: bytes) -> tuple[bytes, framing.Run]:
    """The salt and the good records, unless bad ones lie before good ones (W3)."""
    salt = framing.header_salt(_MAGIC, data)
    if salt is None:
        _refuse_header(path, data)
    run = framing.read_run(salt, data, framing.HEADER_BYTES)
    if run.stop < len(data) and framing.next_good(salt, data, run.stop) is not None:
        raise DamagedLogError(path, run.stop)
    return salt, run


def _refuse_header(path: Path, data: bytes) -> NoReturn:
    """The header came into being with its file, by rename, so no crash explains a bad one."""
    version = data[len(_MAGIC_KIND) : len(_MAGIC)]
    if data.startswith(_MAGIC_KIND) and version.isdigit() and int(version) != VERSION:
        raise FormatError(path, int(version), VERSION)
    raise DamagedLogError(path, 0)
