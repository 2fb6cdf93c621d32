"""The committed chain: blocks, results, certificates, outcomes, events, and where to find them.

Rules (docs/spec/storage.md section 2): C1 All that belongs to a height goes into one batch,
together with the height's state, and the tip moves in that batch. C2 Heights are staged one after
the other, from 1; nothing is ever overwritten.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import merge
from itertools import islice
from operator import itemgetter
from typing import Final, TypeAlias, TypeVar

import msgspec

from medquorum.block import Event, Header, Result, TxOutcome, ValidatorSet
from medquorum.certificate import CommitCertificate
from medquorum.codec import encode
from medquorum.invariants import require
from medquorum.recovery import Recovery
from storage import layout
from storage.errors import DamagedStoreError, FormatError
from storage.kv import KV, Batch, prefix_end
from storage.unpacked import unpacked

_T = TypeVar("_T")
_Change: TypeAlias = tuple[int, ValidatorSet, Recovery | None]
_HEADER: Final = msgspec.msgpack.Decoder(Header)
_RESULT: Final = msgspec.msgpack.Decoder(Result)
_CERTIFICATE: Final = msgspec.msgpack.Decoder(CommitCertificate)
_TRANSACTIONS: Final = msgspec.msgpack.Decoder(tuple[bytes, ...])
_OUTCOMES: Final = msgspec.msgpack.Decoder(tuple[TxOutcome, ...])
_EVENTS: Final = msgspec.msgpack.Decoder(tuple[Event, ...])
_VALIDATORS: Final = msgspec.msgpack.Decoder(ValidatorSet)
_RECOVERY: Final = msgspec.msgpack.Decoder(Recovery)


@dataclass(frozen=True, slots=True)
class CommittedBlock:
    """A height that is final, with everything that its execution gave.

    `transactions` are the raw bytes; `tx_ids` and `outcomes` run parallel to them.
    `next_validators` vote on the next height. `recovery` named those who voted on this one, if the
    result of the height before did not.
    """

    header: Header
    result: Result
    certificate: CommitCertificate
    transactions: tuple[bytes, ...]
    tx_ids: tuple[bytes, ...]
    outcomes: tuple[TxOutcome, ...]
    events: tuple[Event, ...]
    next_validators: ValidatorSet
    recovery: Recovery | None = None


class ChainStore:
    """Reads the chain from a KV and stages new heights into batches.

    Reads are safe from several threads at once.

    It keeps nothing in memory: what it says is what the last written batch said. All reads may
    raise DamagedStoreError and DiskFailedError.
    """

    __slots__ = ("_kv",)

    def __init__(self, kv: KV) -> None:
        """Raises FormatError if `kv` was written in a layout that this version does not read."""
        self._kv = kv
        found = kv.get(layout.FORMAT)
        if found is not None and layout.unpack_height(found) != layout.FORMAT_VERSION:
            raise FormatError("the database", layout.unpack_height(found), layout.FORMAT_VERSION)

    def stage_genesis(
        self, batch: Batch, genesis_bytes: bytes, result: Result, validators: ValidatorSet
    ) -> None:
        """Put height 0 into `batch`:

        the canonical genesis, the result of applying it, the validators of height 1.
        """
        require(self.genesis() is None, "the chain has a genesis already")
        require(result.next_validators_hash == validators.hash(), "the result names another set")
        batch.put(layout.FORMAT, layout.pack_height(layout.FORMAT_VERSION))
        batch.put(layout.GENESIS, genesis_bytes)
        batch.put(layout.at_height(layout.RESULT, 0), encode(result))
        batch.put(layout.at_height(layout.VALIDATORS, 1), encode(validators))
        batch.put(layout.TIP, layout.pack_height(0))

    def stage(self, batch: Batch, block: CommittedBlock) -> None:
        """Put the next height into `batch`.

        The caller adds the state of this height and writes the batch synced (C1).

        That the block is valid and certified is the caller's knowledge; here only the parts are
        held against each other.
        """
        header, result = block.header, block.result
        height = header.height
        _check_parts(block)
        require(self.genesis() is not None, "a block before the genesis")
        require(height == self.tip() + 1, f"height {height} does not follow {self.tip()}")
        batch.put(layout.at_height(layout.HEADER, height), encode(header))
        batch.put(layout.at_height(layout.RESULT, height), encode(result))
        batch.put(layout.at_height(layout.CERTIFICATE, height), encode(block.certificate))
        batch.put(layout.at_height(layout.TRANSACTIONS, height), encode(block.transactions))
        batch.put(layout.at_height(layout.OUTCOMES, height), encode(block.outcomes))
        batch.put(layout.at_height(layout.EVENTS, height), encode(block.events))
        batch.put(layout.HEADER_HASH + header.hash(), layout.pack_height(height))
        for index, tx_id in enumerate(block.tx_ids):
            batch.put(layout.TX + tx_id, layout.pack_place(height, index))
        if result.next_validators_hash != header.validators_hash:
            key = layout.at_height(layout.VALIDATORS, height + 1)
            batch.put(key, encode(block.next_validators))
        if block.recovery is not None:
            batch.put(layout.at_height(layout.RECOVERY, height), encode(block.recovery))
        batch.put(layout.TIP, layout.pack_height(height))

    def tip(self) -> int:
        """The last committed height; 0 if there is only the genesis, or not even that."""
        data = self._kv.get(layout.TIP)
        return 0 if data is None else layout.unpack_height(data)

    def oldest_block(self) -> int:
        """From this height on blocks are whole: with transactions, outcomes and events.

        1 unless the chain here began from a snapshot, or older ones were given up. Of lower heights
        there may be parts. It may lie above the tip: then no block is here yet.
        """
        data = self._kv.get(layout.BLOCKS_OLDEST)
        return 1 if data is None else layout.unpack_height(data)

    def genesis(self) -> bytes | None:
        """The canonical genesis, or None in a fresh store."""
        return self._kv.get(layout.GENESIS)

    def header(self, height: int) -> Header | None:
        """The header of `height`, or None if it is not here."""
        return self._read(_HEADER, layout.HEADER, height)

    def header_by_hash(self, block_hash: bytes) -> Header | None:
        """The header of the block with this hash, or None if it is not here."""
        height = self._kv.get(layout.HEADER_HASH + block_hash)
        return None if height is None else self.header(layout.unpack_height(height))

    def result(self, height: int) -> Result | None:
        """What executing `height` gave (0: the genesis), or None if it is not here."""
        return self._read(_RESULT, layout.RESULT, height)

    def certificate(self, height: int) -> CommitCertificate | None:
        """The quorum that signed `height`, or None if it is not here."""
        return self._read(_CERTIFICATE, layout.CERTIFICATE, height)

    def transactions(self, height: int) -> tuple[bytes, ...]:
        """The raw transactions of `height`, in order; empty if it is not here."""
        return self._read(_TRANSACTIONS, layout.TRANSACTIONS, height) or ()

    def outcomes(self, height: int) -> tuple[TxOutcome, ...]:
        """What became of them, in the same order; empty if the height is not here."""
        return self._read(_OUTCOMES, layout.OUTCOMES, height) or ()

    def events(self, height: int) -> tuple[Event, ...]:
        """The events of `height`, in the order of execution; empty if it is not here."""
        return self._read(_EVENTS, layout.EVENTS, height) or ()

    def block(self, height: int) -> CommittedBlock | None:
        """Everything about `height` (from `oldest_block` on), or None if it is not here."""
        if height < self.oldest_block():
            return None
        header, result, certificate = (
            self.header(height), self.result(height), self.certificate(height),
        )  # fmt: skip
        if header is None or result is None or certificate is None:
            return None
        outcomes = self.outcomes(height)
        found = CommittedBlock(
            header=header,
            result=result,
            certificate=certificate,
            transactions=self.transactions(height),
            tx_ids=tuple(outcome.tx_id for outcome in outcomes),
            outcomes=outcomes,
            events=self.events(height),
            next_validators=self.validators(height + 1),
            recovery=self.recovery(height),
        )
        # It may have been given up while it was read. The line is drawn before anything goes.
        return None if height < self.oldest_block() else found

    def locate(self, tx_id: bytes) -> tuple[int, int] | None:
        """The height and the position in it of a committed transaction, or None."""
        place = self._kv.get(layout.TX + tx_id)
        return None if place is None else layout.unpack_place(place)

    def validators(self, height: int) -> ValidatorSet:
        """The set that votes on `height`, from 1 to tip + 1.

        Any other height is a broken invariant.
        """
        require(1 <= height <= self.tip() + 1, f"no validators are known for height {height}")
        return self._voters(height, recovered=height)

    def named_after(self, height: int) -> ValidatorSet:
        """The set that the result of `height` names, though organisations may name another one."""
        return self._voters(height + 1, recovered=height)

    def _voters(self, height: int, *, recovered: int) -> ValidatorSet:
        """Who votes on `height`, as far as recoveries from up to `recovered` on say."""
        since, recovery = 0, None
        for key, data in self._down_to(layout.RECOVERY, recovered):
            since, recovery = layout.unpack_height(key[1:]), unpacked(_RECOVERY, data)
        for key, data in self._down_to(layout.VALIDATORS, height):
            if recovery is not None and since >= layout.unpack_height(key[1:]):
                return recovery.statement.validator_set()
            return unpacked(_VALIDATORS, data)
        raise DamagedStoreError("the database", "there is no validator set")

    def recovery(self, height: int) -> Recovery | None:
        """How organisations named those who vote from `height` on; None if they did not."""
        return self._read(_RECOVERY, layout.RECOVERY, height)

    def set_changes(self, below: int) -> Iterator[_Change]:
        """Each height lower than `below` after which another set votes than before, ascending, with
        that set. After one height two may stand: its own change, and the recovery that followed.
        Reads no further than it is asked for.
        """
        # Where both have a height, the change comes first.
        return merge(self._own_changes(below), self._recoveries(below), key=itemgetter(0))

    def _own_changes(self, below: int) -> Iterator[_Change]:
        for key, data in self._range(layout.VALIDATORS, below):
            yield layout.unpack_height(key[1:]) - 1, unpacked(_VALIDATORS, data), None

    def _recoveries(self, below: int) -> Iterator[_Change]:
        for key, data in self._range(layout.RECOVERY, below):
            recovery = unpacked(_RECOVERY, data)
            yield layout.unpack_height(key[1:]) - 1, recovery.statement.validator_set(), recovery

    def _range(self, prefix: bytes, below: int) -> Iterator[tuple[bytes, bytes]]:
        """What holds from a height on that follows one from 1 to before `below`."""
        start, stop = layout.at_height(prefix, 2), layout.at_height(prefix, max(below, 1) + 1)
        return self._kv.scan(start, stop)

    def _down_to(self, prefix: bytes, height: int) -> Iterator[tuple[bytes, bytes]]:
        """The newest entry of `prefix` that holds at `height`, if there is one."""
        stop = layout.at_height(prefix, height + 1)
        return islice(self._kv.scan(prefix, stop, reverse=True), 1)

    def recent_tx_ids(self, from_height: int) -> Iterator[bytes]:
        """The ids of all transactions from this height to the tip, in order:

        what the replay window remembers.
        """
        start = layout.at_height(layout.OUTCOMES, from_height)
        for _, data in self._kv.scan(start, prefix_end(layout.OUTCOMES)):
            for outcome in unpacked(_OUTCOMES, data):
                yield outcome.tx_id

    def _read(self, decoder: msgspec.msgpack.Decoder[_T], prefix: bytes, height: int) -> _T | None:
        data = self._kv.get(layout.at_height(prefix, height))
        return None if data is None else unpacked(decoder, data)


def _check_parts(block: CommittedBlock) -> None:
    header, result, certificate = block.header, block.result, block.certificate
    signed = (certificate.height, certificate.block_hash, certificate.result_hash)
    require(
        signed == (header.height, header.hash(), result.hash()),
        f"the certificate is not for height {header.height}",
    )
    counts = {header.tx_count, len(block.transactions), len(block.tx_ids), len(block.outcomes)}
    require(len(counts) == 1, f"transactions, ids and outcomes differ in number: {sorted(counts)}")
    require(
        all(o.tx_id == i for o, i in zip(block.outcomes, block.tx_ids, strict=True)),
        "an outcome stands at another transaction's place",
    )
    require(
        result.next_validators_hash == block.next_validators.hash(), "the result names another set"
    )
