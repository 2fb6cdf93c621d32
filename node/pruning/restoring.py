"""Puts blocks that were given up back from an archive (docs/spec/archive.md, A8)."""

from __future__ import annotations

from collections.abc import Iterator

from medquorum.block import Header, TxOutcome
from medquorum.codec import decode
from node.archive.errors import UnarchivableError
from node.archive.format import ArchivedHeight, ArchiveReader
from node.archive.proving import Proven
from storage import layout
from storage.chain import ChainStore
from storage.kv import KV, Batch


class Restoring:
    """Puts the heights of a proven archive back, the latest one first."""

    def __init__(self, kv: KV, archive: ArchiveReader, proven: Proven) -> None:
        self._kv = kv
        self._blocks = ChainStore(kv)
        self._archive = archive
        self._proven = proven

    def check(self) -> range:
        """The heights that will be put back, ascending. Raises UnarchivableError if the archive
        does not reach what is here, or holds another chain's past.
        """
        head, oldest = self._archive.head, self._blocks.oldest_block()
        if head.first >= oldest:
            raise UnarchivableError(f"blocks from {oldest} on are here already")
        if head.last < oldest - 1:
            raise UnarchivableError(
                f"blocks from {oldest} on are here, and the archive ends with {head.last}: first"
                f" import the one that holds {oldest - 1}"
            )
        return range(head.first, oldest)

    def run(self) -> Iterator[int]:
        """Put them back; each new oldest height. Interrupted, fewer are there, each one whole.

        Raises UnarchivableError before anything is changed, VerificationError if the file changed
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
                raise UnarchivableError(f"the archive holds another height {joint} than this node")

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
