"""The file that says which format a directory has, for directories whose files do not say it
(docs/spec/storage.md, section 8).

    FORMAT    "medquorum <kind> <format>" and a line end

A directory without one is of format 1, from before there were marks, and gets one when it is next
opened.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from storage.errors import DamagedStoreError, FormatError
from storage.files import Files, replace_file

NAME: Final = "FORMAT"
_FIRST: Final = 1


def read_mark(files: Files, directory: Path, kind: str) -> int | None:
    """The format that `directory` says it has; None if it says nothing.

    Raises DamagedStoreError, also for a directory of another kind; DiskFailedError.
    """
    data = files.read(directory / NAME)
    if data is None:
        return None
    words = data.decode("ascii", errors="replace").removesuffix("\n").split(" ")
    if words[:-1] != ["medquorum", kind] or not words[-1].isdecimal():
        raise DamagedStoreError(directory / NAME, f"it does not mark a directory as a {kind}")
    return int(words[-1])


def check_mark(files: Files, directory: Path, kind: str, version: int) -> None:
    """Raise FormatError unless `directory` has this format; mark it where it says nothing, creating
    it if need be. Also raises DamagedStoreError, DiskFullError, DiskFailedError.
    """
    found = read_mark(files, directory, kind)
    if found is None:
        found = _FIRST
        files.make_directory(directory)
        replace_file(files, directory / NAME, b"medquorum %b %d\n" % (kind.encode("ascii"), found))
    if found != version:
        raise FormatError(directory, found, version)
