"""How far blocks may be given up: the line below which they go (docs/spec/archive.md, A6, A11).

Reads headers, so not for the event loop. Ages are those of block times, against that of the tip: a
chain that rests does not get older.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from node.chain import Chain
from node.ledger.params import remembered_heights
from node.ledger.retention import DAY_MS, demanded_retention
from node.pruning.errors import UnprunableError
from node.pruning.limits import PEER_HELD_HEIGHTS_MAX
from storage.chain import ChainStore
from storage.errors import DamagedStoreError


class Holder(StrEnum):
    """What keeps blocks that policy would give up. `retention_required` is a code of the
    catalogue.
    """

    NOBODY = ""
    WINDOW = "window"
    """Their transactions could be committed again."""
    CHAIN = "retention_required"
    """The parameters of the chain."""
    SNAPSHOTS = "snapshots"
    """Whoever begins with the oldest snapshot here goes on with the blocks after it."""
    PEERS = "peers"
    """A validator that is connected still lacks them."""
    ARCHIVE = "archive"
    """There is no proven archive of them yet."""


@dataclass(frozen=True, slots=True)
class Line:
    """The highest line that may be drawn, and what holds it there."""

    height: int
    holder: Holder


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What else needs old blocks: the oldest snapshot here (0 while the first one is still to be
    made, None if none ever is), and the lowest height that a connected validator has announced.
    """

    snapshot: int | None
    peer: int


def policy_line(chain: Chain, keep_heights: int, keep_days: int) -> int:
    """The line that a node's own policy asks for: a block goes if neither the last `keep_heights`
    heights nor the last `keep_days` days hold it. 0 in both: none ever goes.
    """
    wished = []
    if keep_heights > 0:
        wished.append(max(1, chain.tip.height - keep_heights + 1))
    if keep_days > 0:
        wished.append(line_by_age(chain, keep_days))
    return min(wished, default=1)


def held_line(chain: Chain, wished: int, around: Surroundings) -> Line:
    """How far a running node may go towards the line that it wishes for (A12)."""
    limits = [prunable_below(chain)]
    if around.snapshot is not None:
        limits.append(Line(around.snapshot + 1, Holder.SNAPSHOTS))
    peer = max(around.peer + 1, wished - PEER_HELD_HEIGHTS_MAX)
    limits.append(Line(peer, Holder.PEERS))
    lowest = min(limits, key=lambda line: line.height)
    return lowest if lowest.height < wished else Line(wished, Holder.NOBODY)


def prunable_below(chain: Chain) -> Line:
    """The highest line that every node of the chain must respect: everything from it on is younger
    than the window in which a transaction could be committed again, or than the chain demands.
    """
    tip = chain.tip.height
    view = chain.view()
    window = max(1, tip - remembered_heights(view) + 1)
    demanded = demanded_retention(view)
    kept = max(1, tip - demanded.heights + 1)
    if demanded.days > 0:
        kept = min(kept, line_by_age(chain, demanded.days))
    return Line(kept, Holder.CHAIN) if kept < window else Line(window, Holder.WINDOW)


def line_by_age(chain: Chain, days: int) -> int:
    """The highest line below which every block that is here is at least `days` older than the tip.

    Block times ascend, so it is found by halving. Raises DamagedStoreError.
    """
    before_ms = chain.tip.time_ms - days * DAY_MS
    low = min(chain.blocks.oldest_block(), chain.tip.height + 1)
    high = chain.tip.height + 1
    while low < high:
        middle = (low + high) // 2
        if _time_ms(chain.blocks, middle) <= before_ms:
            low = middle + 1
        else:
            high = middle
    return low


def check_line(chain: Chain, line: int) -> None:
    """Raise UnprunableError unless the blocks below `line` may be given up. Changes nothing."""
    tip = chain.tip.height
    if line > tip:
        raise UnprunableError("height_in_future", f"the tip is {tip}: {line} lies above it")
    highest = prunable_below(chain)
    if line <= highest.height:
        return
    if highest.holder is Holder.CHAIN:
        demanded = demanded_retention(chain.view())
        raise UnprunableError(
            "retention_required",
            f"the chain demands that {demanded.heights} heights and {demanded.days} days are kept:"
            f" from height {highest.height} on",
        )
    raise UnprunableError(
        "policy_denied",
        f"heights from {highest.height} on are younger than the transaction window, and are kept",
    )


def _time_ms(blocks: ChainStore, height: int) -> int:
    header = blocks.header(height)
    if header is None:
        raise DamagedStoreError("the database", f"the header of height {height} is missing")
    return header.time_ms
