"""Takes the last heights of the database back, one atomic batch each.

What was committed stays committed: the chain has these heights, and this node fetches them again.
So the sign state, the consensus log, the mempool journal and the evidence are left as they are: the
node still knows what it has signed and takes no part where it might contradict it
(docs/spec/recovery.md, V3).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from medquorum.statetree import key_path
from node.repair.errors import UnrepairableError
from storage import layout
from storage.chain import ChainStore
from storage.kv import KV, Batch, prefix_end
from storage.reached import lower_reached
from storage.state import head_at, oldest_state
from storage.stateaudit import removed_since
from storage.unpacked import unpacked

_KEYS = msgspec.msgpack.Decoder(list[bytes])
_BLOCK = (
    layout.HEADER,
    layout.RESULT,
    layout.CERTIFICATE,
    layout.TRANSACTIONS,
    layout.OUTCOMES,
    layout.EVENTS,
    layout.STATE_HEAD,
    layout.DELETED,
)


class Rollback:
    """Takes heights of `kv` back. Nothing else may have the store open. `directory` is where it is,
    and what stands beside it; None for a store that is nowhere.
    """

    def __init__(self, kv: KV, directory: Path | None = None) -> None:
        self._kv = kv
        self._directory = directory
        self._blocks = ChainStore(kv)
        self._keys: dict[bytes, bytes] = {}

    def check(self, count: int) -> int:
        """The height that will be the last one. Raises UnrepairableError, and names the lowest
        height that there is a way back to.
        """
        tip = self._blocks.tip()
        lowest = max(oldest_state(self._kv), self._blocks.oldest_block() - 1, 0)
        target = tip - count
        if target < lowest:
            raise UnrepairableError(
                f"the way back from {tip} goes to {lowest} and no further: of lower heights the"
                " state is not kept. Instead, remove the database and let the node fetch the chain"
            )
        if target > 0 and (
            self._blocks.header(target) is None or self._blocks.certificate(target) is None
        ):
            raise UnrepairableError(f"height {target} is not whole, so the chain cannot end there")
        result = self._blocks.result(target)
        if result is None or head_at(self._kv, target).root != result.state_root:
            raise UnrepairableError(f"the state of height {target} is not the certified one")
        return target

    def run(self, count: int) -> Iterator[int]:
        """Take `count` heights back; each tip that is left, once it is durable.

        Interrupted, fewer heights are gone, and the database is whole. Raises UnrepairableError
        before anything is changed.
        """
        target = self.check(count)
        self._learn_keys(target)
        if self._directory is not None:
            # Before the first goes: what is taken back on purpose is no damage at the next start.
            lower_reached(self._directory, target)
        for height in range(self._blocks.tip(), target, -1):
            batch = Batch()
            self._block(batch, height)
            self._state(batch, height)
            batch.put(layout.TIP, layout.pack_height(height - 1))
            self._kv.write(batch, sync=True)
            yield height - 1

    def _learn_keys(self, target: int) -> None:
        """History names values by their paths; this finds the keys, and refuses if one is unknown.
        Reads the keys of the whole state.
        """
        wanted = {
            history[: -layout.HEIGHT_BYTES]
            for height in range(target + 1, self._blocks.tip() + 1)
            for history in self._history(height)
        }
        state = (key for key, _ in self._kv.scan(layout.STATE, prefix_end(layout.STATE)))
        for full_key in (*removed_since(self._kv, target), *state):
            place = _history_place(full_key)
            if place in wanted:
                self._keys[place] = full_key
        unknown = len(wanted) - len(self._keys)
        if unknown:
            raise UnrepairableError(
                f"{unknown} values were removed whose keys the database does not tell: an older"
                " version of this software wrote it. Instead, remove the database and let the node"
                " fetch the chain"
            )

    def _history(self, height: int) -> Iterator[bytes]:
        """The keys of what the height wrote down about the one before."""
        for index in self._stale(height):
            for key in unpacked(_KEYS, self._kv.get(index) or b"\x90"):
                if key[:1] == layout.HISTORY:
                    yield key

    def _stale(self, height: int) -> list[bytes]:
        start = layout.at_height(layout.STALE, height)
        return [key for key, _ in self._kv.scan(start, prefix_end(start))]

    def _block(self, batch: Batch, height: int) -> None:
        header = self._blocks.header(height)
        if header is not None:
            batch.delete(layout.HEADER_HASH + header.hash())
        for outcome in self._blocks.outcomes(height):
            batch.delete(layout.TX + outcome.tx_id)
        for prefix in _BLOCK:
            batch.delete(layout.at_height(prefix, height))
        batch.delete(layout.at_height(layout.VALIDATORS, height + 1))
        batch.delete(layout.at_height(layout.RECOVERY, height))

    def _state(self, batch: Batch, height: int) -> None:
        """Values become what they were; pages of this height go, and the older ones, which were
        kept for history, are the tree again.
        """
        for history in self._history(height):
            before = self._kv.get(history)
            full_key = self._keys[history[: -layout.HEIGHT_BYTES]]
            if before is None or before[:1] == b"\x00":
                batch.delete(full_key)
            else:
                batch.put(full_key, before[1:])
            batch.delete(history)
        for index in self._stale(height):
            batch.delete(index)
        start = layout.at_height(layout.PAGE, height)
        for key, _ in self._kv.scan(start, prefix_end(start)):
            batch.delete(key)


def _history_place(full_key: bytes) -> bytes:
    """The key of a value's history, without the height."""
    name_end = 2 + full_key[1]
    return layout.HISTORY + full_key[1:name_end] + key_path(full_key[name_end:])
