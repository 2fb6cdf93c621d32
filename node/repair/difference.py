"""Where the databases of two nodes of one chain part: at which height, in which module of the
ledger, with which transaction, at which key.

A header names the block and the result before it, so two chains that part never meet again: the
first height at which they differ is found by halving.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from medquorum.block import Result
from node.repair.errors import UnrepairableError
from storage import layout
from storage.chain import ChainStore
from storage.errors import DamagedStoreError
from storage.kv import KV
from storage.state import oldest_state
from storage.stateaudit import read_state_at
from storage.statediff import first_difference

_Entry = tuple[str, bytes]


@dataclass(frozen=True, slots=True)
class Difference:
    """The first one. `what` is `genesis`, `block`, `result` (the block is the same, what came of it
    is not; `fields` says which roots) or `state` (all that was certified is the same, and a value
    is not). Empty or None is what could not be told: of heights whose state is no longer kept, no
    module and no key. `key` is never a value.
    """

    height: int
    what: str
    fields: tuple[str, ...] = ()
    module: str = ""
    index: int | None = None
    tx_id: bytes = b""
    key: bytes = b""


def common_height(oldest: int, tip: int, wished: int | None) -> tuple[int, int]:
    """The height below the first block that both have, and the last one to compare, if `oldest` is
    the higher of their oldest blocks and `tip` the lower of their tips.

    Raises UnrepairableError if there is none in common.
    """
    low, last = oldest - 1, tip if wished is None else min(wished, tip)
    if last < low:
        raise UnrepairableError(f"one begins after height {low}, and the last common one is {last}")
    return low, last


def first_apart(low: int, high: int, same: Callable[[int], bool]) -> int:
    """The first height after `low` that differs; at `high` they do."""
    while low < high:
        middle = (low + high) // 2
        if same(middle):
            low = middle + 1
        else:
            high = middle
    return high


def fields_apart(left: Result, right: Result) -> tuple[str, ...]:
    """The roots that two results of a height name differently."""
    names = Result.__struct_fields__
    return tuple(name for name in names if getattr(left, name) != getattr(right, name))


class Comparison:
    """Compares two stores. Reads only."""

    def __init__(self, left: KV, right: KV) -> None:
        self._kvs = (left, right)
        self._left = ChainStore(left)
        self._right = ChainStore(right)

    def run(self, height: int | None) -> tuple[int, Difference | None]:
        """Compare up to `height`, or as far as both reach; that height, and the first difference.

        Raises UnrepairableError if the two have no height in common, DamagedStoreError.
        """
        if self._left.genesis() != self._right.genesis():
            return 0, Difference(0, "genesis")
        low, last = common_height(
            max(self._left.oldest_block(), self._right.oldest_block()),
            min(self._left.tip(), self._right.tip()),
            height,
        )
        if not self._same(last):
            return last, self._difference(first_apart(low, last, self._same))
        key = self._first_key(last)
        if key is None:
            return last, None
        return last, Difference(last, "state", module=key[0], key=key[1])

    def _same(self, height: int) -> bool:
        return self._hashes(self._left, height) == self._hashes(self._right, height)

    def _hashes(self, blocks: ChainStore, height: int) -> tuple[bytes, bytes]:
        header, result = blocks.header(height), blocks.result(height)
        if result is None or (header is None and height > 0):
            raise DamagedStoreError("the database", f"height {height} is not whole")
        return b"" if header is None else header.hash(), result.hash()

    def _difference(self, height: int) -> Difference:
        left, right = self._left.result(height), self._right.result(height)
        headers = self._left.header(height), self._right.header(height)
        if left is None or right is None or headers[0] != headers[1]:
            return self._transaction(Difference(height, "block"))
        found = self._transaction(Difference(height, "result", fields_apart(left, right)))
        place = first_difference(*self._kvs, height) if self._kept(height) else None
        return found if place is None else replace(found, module=place.namespace, key=place.key)

    def _transaction(self, found: Difference) -> Difference:
        """The first transaction that is another one, or fared otherwise."""
        height = found.height
        sides = [
            (blocks.outcomes(height), blocks.events(height)) for blocks in (self._left, self._right)
        ]
        for index in range(max(len(outcomes) for outcomes, _ in sides)):
            fates = [
                (outcomes[index : index + 1], [event for event in events if event.tx == index])
                for outcomes, events in sides
            ]
            if fates[0] != fates[1]:
                here = (fates[0][0] or fates[1][0])[0]
                return replace(found, index=index, tx_id=here.tx_id)
        return found

    def _first_key(self, height: int) -> _Entry | None:
        """The first key, in the order of the key space, whose values differ, though the trees are
        the same. Reads the whole state of both.
        """
        if not self._kept(height):
            return None
        left, right = (read_state_at(kv, height) for kv in self._kvs)
        here, there = next(left, None), next(right, None)
        while here == there:
            if here is None:
                return None
            here, there = next(left, None), next(right, None)
        found = [(_order(entry), entry) for entry in (here, there) if entry is not None]
        _, entry = min(found)
        return entry[0], entry[1]

    def _kept(self, height: int) -> bool:
        return all(oldest_state(kv) <= height for kv in self._kvs)


def _order(entry: tuple[str, bytes, bytes]) -> bytes:
    return layout.pack_namespace(entry[0]) + entry[1]
