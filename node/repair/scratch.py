"""Room for what a tool needs while it runs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from node.home import Home


@contextmanager
def scratch_directory(home: Home) -> Iterator[Path]:
    """An empty directory in the data of a home whose lock is held. It goes at the end; of a process
    that was killed it goes when the data is opened next.
    """
    shutil.rmtree(home.scratch, ignore_errors=True)
    home.scratch.mkdir(mode=0o700)
    try:
        yield home.scratch
    finally:
        shutil.rmtree(home.scratch, ignore_errors=True)
