"""A daemon whose disk begins to refuse when it is told to.

    python -m tests.support.failing_disk_node --home HOME

HOME/fail holds what is refused and how: "sync EIO", "write ENOSPC", "sync EIO sign_state". A third
word is the beginning of the name of the only file that is touched. The system calls themselves
fail, below everything that the node does about it.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from node.config.load import load
from node.daemon import run_daemon
from node.home import Home
from node.logs import configure

R = TypeVar("R")


def refuse(file: Path, home: Home) -> None:
    """Let os.write and os.fdatasync of files in the data directory fail as `file` says."""
    data = f"{home.data.resolve()}/"

    def wrapped(kind: str, call: Callable[..., R]) -> Callable[..., R]:
        def checked(descriptor: int, *rest: object) -> R:
            if file.exists():
                what, name, *of = file.read_text().split()
                path = str(Path(f"/proc/self/fd/{descriptor}").readlink())
                mine = path.startswith(data) and Path(path).name.startswith(tuple(of) or "")
                if what == kind and mine:
                    number: int = getattr(errno, name)
                    raise OSError(number, os.strerror(number))
            return call(descriptor, *rest)

        return checked

    os.write = wrapped("write", os.write)
    os.fdatasync = wrapped("sync", os.fdatasync)


def main(root: Path) -> int:
    home = Home(root)
    refuse(root / "fail", home)
    loaded = load(home.config_file, {}, {})
    base = loaded.config.base
    log = configure(base.log_level, base.log_format, base.moniker)
    return run_daemon(
        home,
        loaded,
        passphrase=None,
        log=log,
        ready=lambda endpoints: log.info("ready", port=endpoints.rpc),
    )


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[-1])))
