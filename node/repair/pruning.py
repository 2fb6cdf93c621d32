"""Gives old blocks up, and puts them back from an archive (docs/spec/archive.md, A5 to A8).

What goes is what takes the room: the transactions and the events. Headers, results, certificates,
validators, outcomes and indexes stay, so whoever was committed is not forgotten, and nothing that
is checked or proven later starts from a gap.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from medquorum.block import Header, TxOutcome
from medquorum.codec import decode
from node.chain import Chain
from node.ledger.params import remembered_heights
from node.repair.archive import ArchivedHeight, ArchiveReader
from node.repair.errors import UnrepairableError
from node.repair.limits import BATCH_KEYS_MAX
from node.repair.proving import Proven
from storage import layout
from storage.chain import ChainStore
from storage.kv import KV, Batch

BODIES: Final = (layout.TRANSACTIONS, layout.EVENTS)
"""What is given up of a height."""


def prunable_below(chain: Chain) -> int:
    """The highest line that may be drawn: everything from it on is younger than the window in
    which a transaction could be committed again.
    """
    return max(1, chain.tip.height - remembered_heights(chain.view()) + 1)


def check_line(chain: Chain, line: int) -> None:
    """Raise UnrepairableError unless the blocks below `line` may be given up. Changes nothing."""
    tip, highest = chain.tip.height, prunable_below(chain)
    if line > tip:
        raise UnrepairableError(f"the tip is {tip}: {line} lies above it")
    if line > highest:
        raise UnrepairableError(
            f"heights from {highest} on are younger than the transaction window, and are kept"
        )


def prune(kv: KV, line: int) -> Iterator[int]:
    """Give up the bodies below `line`; how many entries of the database went, a batch at a time.

    The line is drawn first, synced: interrupted, what is left below it is not reachable any more,
    and the next call removes it. A line below one that was drawn before removes such remains only.
    """
    oldest = ChainStore(kv).oldest_block()
    line = max(line, oldest)
    if line > oldest:
        drawn = Batch()
        drawn.put(layout.BLOCKS_OLDEST, layout.pack_height(line))
        kv.write(drawn, sync=True)
    for prefix in BODIES:
        yield from _removed(kv, prefix, line)


def body_ranges(line: int) -> tuple[tuple[bytes, bytes], ...]:
    """The keys, from and to, among which `prune` makes room."""
    return tuple((prefix, layout.at_height(prefix, line)) for prefix in BODIES)


def _removed(kv: KV, prefix: bytes, line: int) -> Iterator[int]:
    stop = layout.at_height(prefix, line)
    first = next((key for key, _ in kv.scan(prefix, stop)), None)
    if first is None:
        return
    # By their heights and not by a scan, which would read every body once more.
    begin = layout.unpack_height(first[len(prefix) :])
    for start in range(begin, line, BATCH_KEYS_MAX):
        batch = Batch()
        for height in range(start, min(line, start + BATCH_KEYS_MAX)):
            batch.delete(layout.at_height(prefix, height))
        kv.write(batch, sync=True)
        yield len(batch)


class Restoring:
    """Puts the heights of a proven archive back, the latest one first."""

    def __init__(self, kv: KV, archive: ArchiveReader, proven: Proven) -> None:
        self._kv = kv
        self._blocks = ChainStore(kv)
        self._archive = archive
        self._proven = proven

    def check(self) -> range:
        """The heights that will be put back, ascending. Raises UnrepairableError if the archive
        does not reach what is here, or holds another chain's past.
        """
        head, oldest = self._archive.head, self._blocks.oldest_block()
        if head.first >= oldest:
            raise UnrepairableError(f"blocks from {oldest} on are here already")
        if head.last < oldest - 1:
            raise UnrepairableError(
                f"blocks from {oldest} on are here, and the archive ends with {head.last}: first"
                f" import the one that holds {oldest - 1}"
            )
        return range(head.first, oldest)

    def run(self) -> Iterator[int]:
        """Put them back; each new oldest height. Interrupted, fewer are there, each one whole.

        Raises UnrepairableError before anything is changed, VerificationError if the file changed
        after it was proven.
        """
        heights = self.check()
        self._check_joint(heights)
        for height in reversed(heights):
            batch = Batch()
            self._stage(batch, height, self._again(height))
            batch.put(layout.BLOCKS_OLDEST, layout.pack_height(height))
            # Batches are durable in their order, so only the last one has to wait for the disk.
            self._kv.write(batch, sync=height == heights[0])
            yield height

    def _again(self, height: int) -> ArchivedHeight:
        place = self._proven.places[height - self._archive.head.first]
        return self._archive.again(height, place.offset, place.digest)

    def _check_joint(self, heights: range) -> None:
        """The last height that comes back is the one on which the oldest block here stands. Those
        below it are bound to it by their hashes.
        """
        joint = heights[-1]
        content = self._again(joint)
        for prefix, data in ((layout.HEADER, content.header), (layout.RESULT, content.result)):
            if self._kv.get(layout.at_height(prefix, joint)) != data:
                raise UnrepairableError(f"the archive holds another height {joint} than this node")

    def _stage(self, batch: Batch, height: int, content: ArchivedHeight) -> None:
        """What is here stays, above all the certificate: receipts are what they were."""
        parts = (
            (layout.HEADER, content.header),
            (layout.RESULT, content.result),
            (layout.CERTIFICATE, content.certificate),
            (layout.TRANSACTIONS, content.transactions),
            (layout.OUTCOMES, content.outcomes),
            (layout.EVENTS, content.events),
        )
        for prefix, data in parts:
            key = layout.at_height(prefix, height)
            if prefix != layout.CERTIFICATE or self._kv.get(key) is None:
                batch.put(key, data)
        if content.validators:
            batch.put(layout.at_height(layout.VALIDATORS, height + 1), content.validators)
        header = decode(Header, content.header, size_max=len(content.header))
        batch.put(layout.HEADER_HASH + header.hash(), layout.pack_height(height))
        size = len(content.outcomes)
        for index, outcome in enumerate(
            decode(tuple[TxOutcome, ...], content.outcomes, size_max=size)
        ):
            batch.put(layout.TX + outcome.tx_id, layout.pack_place(height, index))
