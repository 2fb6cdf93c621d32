"""`medquorum compact`: gives the room of what was deleted back, on a stopped node."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

import click

from node.cli.exits import Ended, Exit
from node.cli.options import home_option, json_option
from node.cli.show import echo_json, fields
from node.cli.stopped import stopped_node
from node.home import Home
from storage.kv import KV
from storage.leveldb import LevelDB

_EVERYTHING: Final = (b"\x00", b"\xff")


@click.command("compact")
@home_option
@json_option
def compact(home: Path, as_json: bool) -> None:
    """Rewrite the database of a stopped node without what was deleted.

    Changes nothing that can be read. Needs room for a second copy while it lasts, and is refused
    (exit code 73) where the disk has not got it. Interrupted, the database is whole.
    """
    with stopped_node(Home(home)) as node:
        kv = node.kv
        before = kv.bytes_on_disk()
        free = shutil.disk_usage(node.home.data).free
        if free < before:
            raise Ended(Exit.DISK, f"{free} bytes are free, and a second copy takes {before}")
        began_s = time.monotonic()
        _rewrite(kv)
        after = kv.bytes_on_disk()
    shown = {
        "bytes_before": before,
        "bytes_after": after,
        "bytes_freed": before - after,
        "seconds": round(time.monotonic() - began_s, 3),
    }
    if as_json:
        echo_json(shown)
    else:
        fields(list(shown.items()))


@runtime_checkable
class _Rewritable(Protocol):
    """A store that is compacted by copying it."""

    def rewrite(self) -> None:
        """Put a copy without what was deleted in its place."""
        ...


def _rewrite(kv: KV) -> None:
    if isinstance(kv, LevelDB):
        kv.compact(*_EVERYTHING)
    elif isinstance(kv, _Rewritable):
        kv.rewrite()
    else:
        raise Ended(Exit.CONFIG, "this kind of database is not compacted: it reuses its room")
