"""Resources from files: bundles and single resources (*.json), and lines (*.ndjson).

A file that is not JSON to its last byte is refused as a whole, before anything of it is used: a
bundle that was cut off is no bundle. What is wrong inside one entry or one line concerns that entry
alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import IO, Final

from node.fhir.errors import InputError, ScanError
from node.fhir.limits import CHUNK_BYTES, ENTRY_BYTES_MAX, FILES_MAX, MEMBER_BYTES_MAX
from node.fhir.reasons import Reason
from node.fhir.scan import Source, elements, is_json, members, string_of

SUFFIXES: Final = frozenset({".json", ".ndjson"})


@dataclass(frozen=True, slots=True)
class FhirFile:
    """A file of the directory. Its name may be that of a patient, so reports use `label`."""

    path: Path = field(repr=False)
    label: str
    """Its place in the sorted list, and eight digits of the hash of its path in the directory."""
    size: int

    @property
    def is_lines(self) -> bool:
        """One resource a line, and nothing that holds them together."""
        return self.path.suffix.lower() == ".ndjson"


@dataclass(frozen=True, slots=True)
class Raw:
    """One resource as it stands in a file. `position` counts entries or lines from 1."""

    file: FhirFile
    position: int
    offset: int
    full_url: str
    """As the bundle gives it, or empty."""
    text: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Refused:
    """What was not imported, and why. `position` is 0 if it is about the whole file; `resource` is
    its id, if that is known and has the form of one.
    """

    file: FhirFile
    position: int
    offset: int
    reason: Reason
    type: str = ""
    resource: str = ""
    detail: str = ""


def files_of(directory: Path) -> tuple[FhirFile, ...]:
    """The files below `directory`, in the order of their paths. Raises InputError."""
    try:
        paths = sorted(
            path
            for path in directory.rglob("*")
            if path.suffix.lower() in SUFFIXES and path.is_file()
        )
        sizes = [path.stat().st_size for path in paths]
    except OSError as error:
        raise InputError(f"{directory}: {error.strerror}") from None
    if not directory.is_dir():
        raise InputError(f"{directory} is not a directory")
    if not 0 < len(paths) <= FILES_MAX:
        raise InputError(f"{directory} has {len(paths)} files ending in .json or .ndjson")
    return tuple(
        FhirFile(path, _label(number, path.relative_to(directory)), size)
        for number, (path, size) in enumerate(zip(paths, sizes, strict=True), start=1)
    )


def _label(number: int, relative: Path) -> str:
    name = relative.as_posix().encode(errors="surrogateescape")
    return f"{number}-{sha256(name).hexdigest()[:8]}"


def resources_of(file: FhirFile) -> Iterator[Raw | Refused]:
    """The resources of a file in their order, and what in it is none. Never raises for what the
    file holds.
    """
    try:
        with file.path.open("rb") as stream:
            if file.is_lines:
                yield from _lines(file, stream)
            else:
                yield from _document(file, stream)
    except OSError:
        yield Refused(file, 0, 0, Reason.UNREADABLE)


def _lines(file: FhirFile, stream: IO[bytes]) -> Iterator[Raw | Refused]:
    offset = position = 0
    while line := stream.readline(ENTRY_BYTES_MAX + 1):
        position += 1
        start, offset = offset, offset + len(line)
        if len(line) > ENTRY_BYTES_MAX:
            while not line.endswith(b"\n") and (line := stream.readline(CHUNK_BYTES)):
                offset += len(line)
            yield Refused(file, position, start, Reason.TOO_LARGE)
        elif text := line.removeprefix(b"\xef\xbb\xbf").strip():
            yield Raw(file, position, start, "", text)
    if position == 0:
        yield Refused(file, 0, 0, Reason.EMPTY_FILE)


def _document(file: FhirFile, stream: IO[bytes]) -> Iterator[Raw | Refused]:
    outline = _outline(file, stream)
    if isinstance(outline, Refused):
        yield outline
        return
    stream.seek(0)
    if not outline.bundle:
        if file.size > ENTRY_BYTES_MAX:
            yield Refused(file, 1, 0, Reason.TOO_LARGE, outline.type)
        else:
            text = stream.read(ENTRY_BYTES_MAX).removeprefix(b"\xef\xbb\xbf").strip()
            yield Raw(file, 1, 0, "", text)
        return
    if outline.entries:
        try:
            yield from _entries(file, stream)
        except ScanError as error:
            # The first reading found no fault: somebody writes to the file while we read.
            yield Refused(file, 0, error.offset, Reason.UNREADABLE)


@dataclass(frozen=True, slots=True)
class _Outline:
    """What stands at the top of a document."""

    type: str
    bundle: bool
    entries: bool


def _outline(file: FhirFile, stream: IO[bytes]) -> _Outline | Refused:
    """Read the whole document once, for its brackets and its top."""
    source = Source(stream.read)
    source.skip_mark()
    if source.peek() == -1:
        return Refused(file, 0, 0, Reason.EMPTY_FILE)
    if source.peek() != ord("{"):
        return Refused(file, 0, source.offset, _other_than_object(source))
    found: dict[str, bytes | None] = {}
    try:
        for name in members(source):
            if name in found:
                return Refused(file, 0, source.offset, Reason.DUPLICATE_KEY)
            lists = name == "entry" and source.peek() == ord("[")
            found[name] = source.value(0 if lists else MEMBER_BYTES_MAX)
            if lists:
                found[name] = b"[]"
        source.finish()
        return _judged(file, found)
    except ScanError as error:
        return Refused(file, 0, error.offset, Reason.NOT_JSON)


def _other_than_object(source: Source) -> Reason:
    try:
        text = source.value(MEMBER_BYTES_MAX)
        source.finish()
    except ScanError:
        return Reason.NOT_JSON
    return Reason.NOT_FHIR if text is None or is_json(text) else Reason.NOT_JSON


def _judged(file: FhirFile, found: dict[str, bytes | None]) -> _Outline | Refused:
    type_ = string_of(found.get("resourceType"))
    if type_ is None:
        return Refused(file, 0, 0, Reason.NO_RESOURCE_TYPE)
    if type_ != "Bundle":
        return _Outline(type_, bundle=False, entries=False)
    for text in found.values():
        if text is not None and not is_json(text):
            return Refused(file, 0, 0, Reason.NOT_JSON)
    if string_of(found.get("type")) == "history":
        return Refused(file, 0, 0, Reason.BUNDLE_HISTORY)
    entries = found.get("entry", b"")
    if entries not in (b"", b"[]"):
        return Refused(file, 0, 0, Reason.NOT_FHIR)
    return _Outline(type_, bundle=True, entries=entries == b"[]")


def _entries(file: FhirFile, stream: IO[bytes]) -> Iterator[Raw | Refused]:
    source = Source(stream.read)
    source.skip_mark()
    for name in members(source):
        if name != "entry":
            source.value(0)
            continue
        for position, offset in enumerate(elements(source), start=1):
            text = source.value(ENTRY_BYTES_MAX)
            if text is None:
                yield Refused(file, position, offset, Reason.TOO_LARGE)
            else:
                yield _entry(file, position, offset, text)


def _entry(file: FhirFile, position: int, offset: int, text: bytes) -> Raw | Refused:
    """The resource inside an entry, exactly as it stands there."""
    found: dict[str, bytes] = {}
    try:
        if Source.of(text).peek() != ord("{"):
            return Refused(file, position, offset, Reason.NOT_FHIR)
        source = Source.of(text)
        for name in members(source):
            if name in found:
                return Refused(file, position, offset, Reason.DUPLICATE_KEY)
            found[name] = source.value(len(text)) or b""
        source.finish()
    except ScanError as error:
        return Refused(file, position, offset + error.offset, Reason.NOT_JSON)
    if not all(is_json(value) for name, value in found.items() if name != "resource"):
        return Refused(file, position, offset, Reason.NOT_JSON)
    resource = found.get("resource")
    if resource is None:
        return Refused(file, position, offset, Reason.NO_RESOURCE)
    return Raw(file, position, offset, string_of(found.get("fullUrl")) or "", resource)
