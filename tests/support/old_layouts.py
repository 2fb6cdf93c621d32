"""Databases as earlier versions of this software wrote them."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import msgspec

from storage import layout
from storage.kv import KV, Batch
from storage.state import StateStore

Twin: TypeAlias = dict[tuple[str, bytes], bytes]
Changes: TypeAlias = dict[str, dict[bytes, bytes | None]]


def write_layout_1(kv: KV, heights: list[Changes], *, named_from: int) -> list[Twin]:
    """A state of layout 1, and what it holds after each height. Software that wrote down which keys
    a height removed ran from the height `named_from` on.
    """
    twins = [Twin()]
    state = StateStore(kv, keep_versions=100)
    for height, changes in enumerate(heights):
        batch = Batch()
        update = state.prepare(height, changes)
        update.stage(batch)
        batch.put(layout.FORMAT, layout.pack_height(1))
        batch.put(layout.TIP, layout.pack_height(height))
        kv.write(batch, sync=True)
        state.committed(update)
        twin = dict(twins[-1])
        for namespace, pairs in changes.items():
            for key, value in pairs.items():
                if value is None:
                    twin.pop((namespace, key), None)
                else:
                    twin[namespace, key] = value
        twins.append(twin)
    forget_removed_keys(kv, named_from)
    return twins[1:]


def forget_removed_keys(kv: KV, named_from: int) -> None:
    """Make the heights below `named_from` as software wrote them that knew no prefix `d`."""
    batch = Batch()
    batch.put(layout.FORMAT, layout.pack_height(1))
    first = layout.at_height(layout.DELETED, named_from)
    for key, _ in list(kv.scan(layout.DELETED, first)):
        batch.delete(key)
    stop = layout.at_height(layout.STALE, named_from)
    for index, data in list(kv.scan(layout.STALE, stop)):
        keys = msgspec.msgpack.decode(data, type=list[bytes])
        kept = [key for key in keys if key[:1] != layout.DELETED]
        batch.put(index, msgspec.msgpack.encode(kept))
    kv.write(batch, sync=True)


def unseal(vault: Path, *, marked: bool = True) -> None:
    """Make a vault what software before format 2 left; before it was `marked` it said nothing."""
    for file in vault.glob("envelopes/??/*"):
        file.write_bytes(file.read_bytes()[32:])
    if marked:
        (vault / "FORMAT").write_text("medquorum vault 1\n")
    else:
        (vault / "FORMAT").unlink()
