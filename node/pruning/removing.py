"""Gives old blocks up (docs/spec/archive.md, A5, A7).

What goes is what takes the room: the transactions and the events. Headers, results, certificates,
validators, outcomes and indexes stay, so whoever was committed is not forgotten, and nothing that
is checked or proven later starts from a gap.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from node.pruning.limits import BATCH_HEIGHTS_MAX
from storage import layout
from storage.chain import ChainStore
from storage.kv import KV, Batch, Reader

BODIES: Final = (layout.TRANSACTIONS, layout.EVENTS)
"""What is given up of a height."""


def prune(kv: KV, line: int) -> Iterator[int]:
    """Give up the bodies below `line`; how many heights were gone through, a batch at a time.

    The line is drawn first, synced: interrupted, what is left below it is not reachable any more,
    and the next call removes it. A line below one that was drawn before removes such remains only.
    """
    line = draw_line(kv, line)
    for start, stop in steps(first_remains(kv, line), line, BATCH_HEIGHTS_MAX):
        remove(kv, start, stop, sync=True)
        yield stop - start


def draw_line(kv: KV, line: int) -> int:
    """Let blocks below `line` be gone, durably; the line that stands then. It never goes down."""
    oldest = ChainStore(kv).oldest_block()
    if line <= oldest:
        return oldest
    drawn = Batch()
    drawn.put(layout.BLOCKS_OLDEST, layout.pack_height(line))
    kv.write(drawn, sync=True)
    return line


def first_remains(reader: Reader, line: int) -> int:
    """The first height below `line` of which a body is here still; `line` if there is none."""
    found = line
    for prefix in BODIES:
        for key, _ in reader.scan(prefix, layout.at_height(prefix, found)):
            found = layout.unpack_height(key[len(prefix) :])
            break
    return found


def steps(first: int, stop: int, count: int) -> Iterator[tuple[int, int]]:
    """The heights from `first` to below `stop`, `count` at a time."""
    for start in range(first, stop, count):
        yield start, min(stop, start + count)


def remove(kv: KV, first: int, stop: int, *, sync: bool) -> None:
    """Remove the bodies of these heights, which lie below the line, in one batch.

    By their heights and not by a scan, which would read every body once more.
    """
    batch = Batch()
    for height in range(first, stop):
        for prefix in BODIES:
            batch.delete(layout.at_height(prefix, height))
    kv.write(batch, sync=sync)


def body_ranges(first: int, stop: int) -> tuple[tuple[bytes, bytes], ...]:
    """The keys, from and to, of the bodies of these heights."""
    return tuple(
        (layout.at_height(prefix, first), layout.at_height(prefix, stop)) for prefix in BODIES
    )
