"""The file that says which format a directory has, for directories whose files do not say it
(docs/spec/storage.md, section 8).

    FORMAT    "medquorum <kind> <format>" and a line end

A directory without one is of format 1, from before there were marks, if anything is in it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from storage.errors import DamagedStoreError
from storage.files import Files, replace_file

NAME: Final = "FORMAT"
UNMARKED: Final = 1
"""The format of a directory that has content and says nothing."""


def read_mark(files: Files, directory: Path, kind: str) -> int | None:
    """The format that `directory` says it has; None if it says nothing.

    Raises DamagedStoreError, also for a directory of another kind; DiskFailedError.
    """
    data = files.read(directory / NAME)
    if data is None:
        return None
    words = data.decode("ascii", errors="replace").removesuffix("\n").split(" ")
    is_mark = words[:-1] == ["medquorum", kind] and words[-1].isdecimal()
    if not is_mark or int(words[-1]) < UNMARKED:
        raise DamagedStoreError(directory / NAME, f"it does not mark a directory as a {kind}")
    return int(words[-1])


def write_mark(files: Files, directory: Path, kind: str, version: int) -> None:
    """Have `directory` say that it has this format, creating it if need be; durable on return.

    Raises DiskFullError, DiskFailedError.
    """
    files.make_directory(directory)
    replace_file(files, directory / NAME, b"medquorum %b %d\n" % (kind.encode("ascii"), version))
