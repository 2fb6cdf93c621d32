"""The beginning of a chain that does not start with block 1 (docs/spec/snapshot.md, P4).

What is staged here is what the heights before the first block are still needed for: who proposed
and what was committed lately, and how the validators came to be. The caller has proven all of it.
"""

from __future__ import annotations

from medquorum.block import Header, Result, TxOutcome
from medquorum.codec import encode
from medquorum.history import Certified, SetChange
from medquorum.invariants import require
from storage import layout
from storage.kv import Batch


def stage_past(
    batch: Batch, header: Header, result: Result, outcomes: tuple[TxOutcome, ...]
) -> None:
    """A height of which the header, the result and the fate of its transactions are known."""
    height = header.height
    require(header.tx_count == len(outcomes), f"the outcomes are not those of height {height}")
    _stage_head(batch, header, result)
    batch.put(layout.at_height(layout.OUTCOMES, height), encode(outcomes))
    for index, outcome in enumerate(outcomes):
        batch.put(layout.TX + outcome.tx_id, layout.pack_place(height, index))


def stage_change(batch: Batch, change: SetChange) -> None:
    """A height after which another set votes, with its certificate."""
    certified = change.at
    height = certified.header.height
    _stage_head(batch, certified.header, certified.result)
    batch.put(layout.at_height(layout.CERTIFICATE, height), encode(certified.certificate))
    if change.recovery is None:
        batch.put(layout.at_height(layout.VALIDATORS, height + 1), encode(change.validators))
    else:
        batch.put(layout.at_height(layout.RECOVERY, height + 1), encode(change.recovery))


def stage_beginning(batch: Batch, tip: Certified) -> None:
    """The height on which the first block will stand. To be written last, and synced."""
    height = tip.header.height
    _stage_head(batch, tip.header, tip.result)
    batch.put(layout.at_height(layout.CERTIFICATE, height), encode(tip.certificate))
    batch.put(layout.BLOCKS_OLDEST, layout.pack_height(height + 1))
    batch.put(layout.TIP, layout.pack_height(height))


def _stage_head(batch: Batch, header: Header, result: Result) -> None:
    batch.put(layout.at_height(layout.HEADER, header.height), encode(header))
    batch.put(layout.at_height(layout.RESULT, header.height), encode(result))
    batch.put(layout.HEADER_HASH + header.hash(), layout.pack_height(header.height))
