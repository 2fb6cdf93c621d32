"""The mempool journal:

admitted transactions that a restart must not forget (docs/spec/storage.md section 5).

Rules, numbered as there: J1 After `sync` every item appended before it survives a power cut;
without it, the end of the process. J2 Items are replayed in the order they came. A damaged stretch
is skipped and counted, and what follows it is kept: a lost item can be submitted again, a node that
will not start helps nobody. But a whole segment of another format is no damage, and refused.
J3 A segment is deleted when all its items were released; a segment is never written to after a
restart. J4 All segments together never take more than JOURNAL_BYTES_MAX.
J5 What a full disk refused does not come back: whoever handed it in was told that it is not here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from medquorum.invariants import require
from storage import records as framing
from storage.errors import DiskError, DiskFailedError, FormatError, JournalFullError
from storage.files import DiskFiles, Files, OpenFile, make_durable
from storage.limits import JOURNAL_BYTES_MAX, JOURNAL_SEGMENT_BYTES

_MAGIC_KIND: Final = b"MQJRN"
VERSION: Final = 1
_MAGIC: Final = _MAGIC_KIND + b"%03d" % VERSION
_SUFFIX: Final = ".journal"
_NUMBER_DIGITS: Final = 16
_INDEX_BITS: Final = 32
_INDEX_MASK: Final = (1 << _INDEX_BITS) - 1


@dataclass(slots=True)
class _Segment:
    """`live` are the positions in it that were not released."""

    path: Path
    size: int
    live: set[int]


@dataclass(slots=True)
class _Current:
    """The segment that is being written."""

    number: int
    file: OpenFile
    salt: bytes
    count: int


class MempoolJournal:
    """The journal in one directory. One thread at a time may use it.

    A position names an item for as long as the directory exists: segment number << 32 | place in
    it.
    """

    __slots__ = (
        "_bytes_max",
        "_current",
        "_directory",
        "_failed",
        "_files",
        "_next",
        "_segment_bytes",
        "_segments",
        "_unsynced",
        "damaged_bytes",
    )

    def __init__(
        self,
        directory: Path,
        *,
        files: Files | None = None,
        segment_bytes: int = JOURNAL_SEGMENT_BYTES,
        bytes_max: int = JOURNAL_BYTES_MAX,
    ) -> None:
        """Open the journal, creating it if need be.

        Raises FormatError and deletes nothing then, DiskFullError, DiskFailedError.
        """
        self._directory = directory
        self._files: Files = DiskFiles() if files is None else files
        self._segment_bytes = segment_bytes
        self._bytes_max = bytes_max
        self._failed: DiskFailedError | None = None
        self._unsynced = False
        self._current: _Current | None = None
        self.damaged_bytes = 0
        """Bytes skipped because they did not hold whole records (J2), torn tails included."""
        self._segments: dict[int, _Segment] = {}
        self._files.make_directory(directory)
        numbers = sorted(filter(None, map(_parse_number, self._files.names(directory))))
        self._next = numbers[-1] + 1 if numbers else 1
        for number in numbers:
            self._adopt(number)
        # Nothing goes before all of them were found to be of this format.
        for number, segment in list(self._segments.items()):
            if segment.live:
                make_durable(self._files, segment.path)
            else:
                self._drop(number)

    @property
    def size_bytes(self) -> int:
        """The size of all segments."""
        return sum(segment.size for segment in self._segments.values())

    def append(self, items: Sequence[bytes]) -> tuple[int, ...]:
        """Write items, none of them empty; their positions, in order. Durable after `sync` (J1).

        Raises JournalFullError and writes nothing (J4). After DiskFullError none of the items
        is there (J5), and a later call may succeed.
        """
        self._check_usable()
        positions: list[int] = []
        for group in self._groups(items):
            try:
                positions += self._append_group(group)
            except DiskError:
                if self._failed is None:
                    self._retract(positions)
                raise
        return tuple(positions)

    def _retract(self, positions: Sequence[int]) -> None:
        """Take back what one call wrote before it failed, these items and half a one: no restart
        replays them (J5).

        Raises DiskFailedError, and is of no use afterwards, if the disk does not even do that.
        """
        if self._current is not None:
            self._cut(self._current.number, self._current.count)
        first_of = {position >> _INDEX_BITS: position for position in reversed(positions)}
        for number, first in first_of.items():
            self._cut(number, first & _INDEX_MASK)

    def _cut(self, number: int, count: int) -> None:
        """Let a segment end, durably, behind its first `count` items, and begin no other item in
        it.
        """
        segment = self._segments[number]
        items = _items(self._files.read(segment.path) or b"")
        sizes = (framing.RECORD_HEAD_BYTES + len(item) for item in islice(items, count))
        segment.size = framing.HEADER_BYTES + sum(sizes)
        segment.live = {p for p in segment.live if p & _INDEX_MASK < count}
        try:
            file = self._files.open_append(segment.path)
            try:
                file.truncate(segment.size)
                file.sync()
            finally:
                file.close()
        except DiskError as error:
            self._failed = DiskFailedError(segment.path, "truncate", str(error))
            raise self._failed from error
        if self._current is not None and self._current.number == number:
            self._unsynced = False
            self._finish()
        elif len(segment.live) == 0:
            self._drop(number)

    def sync(self) -> None:
        """Return when everything appended is on the disk.

        Raises DiskFailedError, whatever the reason; then it is not known, and never will be: the
        kernel may have dropped the data, and another sync would report success (D1).
        """
        self._check_usable()
        if self._current is not None and self._unsynced:
            try:
                self._current.file.sync()
                self._unsynced = False
            except DiskError as error:
                self._failed = DiskFailedError(error.path, "sync", error.detail)
                raise self._failed from error

    def replay(self) -> Iterator[tuple[int, bytes]]:
        """Position and content of every item in the segments that were not deleted, in order (J2).

        Released items of a segment that still has others come again, also after a restart: the
        caller knows which are final.
        """
        for number, segment in sorted(self._segments.items()):
            for index, item in enumerate(_items(self._files.read(segment.path) or b"")):
                yield number << _INDEX_BITS | index, item

    def release(self, positions: Iterable[int]) -> None:
        """Say that these items are final; releasing one again is harmless.

        Deletes segments that are done with (J3).
        """
        touched: set[int] = set()
        for position in positions:
            segment = self._segments.get(position >> _INDEX_BITS)
            if segment is not None:
                segment.live.discard(position)
                touched.add(position >> _INDEX_BITS)
        for number in sorted(touched):
            written = self._current is not None and self._current.number == number
            if len(self._segments[number].live) == 0 and not written:
                self._drop(number)

    def close(self) -> None:
        """Release the file; harmless if done before. Does not sync."""
        self._finish()

    def _check_usable(self) -> None:
        if self._failed is not None:
            raise self._failed

    def _append_group(self, group: Sequence[bytes]) -> range:
        if self._current is not None and self._is_full(self._current):
            self.sync()
            self._finish()
        current = self._current or self._start()
        segment = self._segments[current.number]
        data = framing.encode_records(current.salt, segment.size, group)
        self._unsynced = True
        current.file.write(data)
        segment.size += len(data)
        first = current.number << _INDEX_BITS | current.count
        current.count += len(group)
        segment.live.update(range(first, first + len(group)))
        return range(first, first + len(group))

    def _is_full(self, current: _Current) -> bool:
        return self._segments[current.number].size >= self._segment_bytes

    def _groups(self, items: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
        """Split `items` so that no group overfills a segment by more than one item."""
        room = sum(len(item) + framing.RECORD_HEAD_BYTES for item in items)
        if self.size_bytes + room + framing.HEADER_BYTES > self._bytes_max:
            raise JournalFullError(self._bytes_max)
        group: list[bytes] = []
        size = 0
        for item in items:
            require(len(item) > 0, "an empty item")
            group.append(item)
            size += len(item)
            if size >= self._segment_bytes:
                yield group
                group, size = [], 0
        if len(group) > 0:
            yield group

    def _start(self) -> _Current:
        number = self._next
        path = self._file_of(number)
        salt = self._files.random_bytes(framing.SALT_BYTES)
        header = framing.file_header(_MAGIC, salt)
        # The number is used up even if this fails, so that no position ever names two items.
        self._next += 1
        file = self._files.create(path)
        try:
            file.write(header)
            self._files.sync_directory(self._directory)
        except DiskError:
            file.close()
            with suppress(DiskError):
                self._files.remove(path)
            raise
        self._segments[number] = _Segment(path, len(header), set())
        self._current = _Current(number, file, salt, 0)
        return self._current

    def _finish(self) -> None:
        """Write no more to the current segment."""
        if self._current is None:
            return
        number = self._current.number
        self._current.file.close()
        self._current = None
        if len(self._segments[number].live) == 0:
            self._drop(number)

    def _file_of(self, number: int) -> Path:
        return self._directory / f"{number:0{_NUMBER_DIGITS}}{_SUFFIX}"

    def _adopt(self, number: int) -> None:
        """Take over a segment of an earlier process. Raises FormatError."""
        path = self._file_of(number)
        data = self._files.read(path) or b""
        _refuse_other_format(path, data)
        items = list(_items(data))
        used = framing.HEADER_BYTES + sum(len(i) + framing.RECORD_HEAD_BYTES for i in items)
        self.damaged_bytes += max(len(data) - used, 0)
        first = number << _INDEX_BITS
        self._segments[number] = _Segment(path, len(data), set(range(first, first + len(items))))

    def _drop(self, number: int) -> None:
        # Not synced: a deleted segment that a crash brings back holds nothing but final items.
        self._files.remove(self._segments.pop(number).path)


def _parse_number(name: str) -> int | None:
    stem = name.removesuffix(_SUFFIX)
    return int(stem) if stem != name and stem.isdigit() and len(stem) == _NUMBER_DIGITS else None


def _refuse_other_format(path: Path, data: bytes) -> None:
    """A header whose checksum holds was written as it stands: it is no flipped bit."""
    version = data[len(_MAGIC_KIND) : len(_MAGIC)]
    whole = framing.header_salt(_MAGIC_KIND, data) is not None
    if whole and version.isdigit() and int(version) != VERSION:
        raise FormatError(path, int(version), VERSION)


def _items(data: bytes) -> Iterator[bytes]:
    """Every whole record of a segment, across damaged stretches (J2)."""
    salt = framing.header_salt(_MAGIC, data)
    if salt is None:
        return
    offset: int | None = framing.HEADER_BYTES
    while offset is not None:
        run = framing.read_run(salt, data, offset)
        yield from run.records
        offset = framing.next_good(salt, data, run.stop) if run.stop < len(data) else None
