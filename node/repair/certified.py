"""Where two ledgers part by what each of them shows of itself: certified heights, what became of
transactions, and the roots of modules. So nodes that run can be compared, through their API.

What this cannot tell, and difference.py can of two databases: the key, a value that is damaged
under a root that still stands, and a transaction that differs in its events alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

from medquorum.block import Header, Result
from medquorum.statetree import SubRoot, state_root
from node.repair.difference import Difference, common_height, fields_apart, first_apart


class Fate(NamedTuple):
    """What became of a transaction, as its height says."""

    tx_id: bytes
    code: str
    operation: int


class Side(Protocol):
    """A ledger, asked about itself."""

    @property
    def chain_id(self) -> bytes:
        """Of the genesis."""
        ...

    @property
    def oldest(self) -> int:
        """Blocks are whole from here on."""
        ...

    @property
    def tip(self) -> int:
        """The last height, when it was asked first."""
        ...

    def certified(self, height: int) -> tuple[Header, Result]:
        """What the validators of a height from 1 on have signed."""
        ...

    def fates(self, height: int) -> Sequence[Fate] | None:
        """In the order of the block; None if that is not here any more."""
        ...

    def sub_roots(self, height: int) -> Sequence[SubRoot] | None:
        """Of all modules after a height; None if the state of that height is no longer kept."""
        ...


class CertifiedComparison:
    """Compares two sides."""

    def __init__(self, left: Side, right: Side) -> None:
        self._sides = (left, right)

    def run(self, height: int | None) -> tuple[int, Difference | None]:
        """Compare up to `height`, or as far as both reach; that height, and the first difference.

        Raises UnrepairableError if the two have no height in common.
        """
        left, right = self._sides
        if left.chain_id != right.chain_id:
            return 0, Difference(0, "genesis")
        low, last = common_height(max(left.oldest, right.oldest), min(left.tip, right.tip), height)
        if not self._same(last):
            return last, self._difference(first_apart(low, last, self._same))
        return last, self._unsound(last)

    def _same(self, height: int) -> bool:
        """Of height 0 both have the genesis."""
        if height == 0:
            return True
        (header, result), (other, other_result) = (s.certified(height) for s in self._sides)
        return (header.hash(), result.hash()) == (other.hash(), other_result.hash())

    def _difference(self, height: int) -> Difference:
        (header, result), (other, other_result) = (s.certified(height) for s in self._sides)
        if header != other:
            return self._transaction(Difference(height, "block"))
        found = self._transaction(Difference(height, "result", fields_apart(result, other_result)))
        return replace(found, module=self._module(height))

    def _transaction(self, found: Difference) -> Difference:
        """The first transaction that is another one, or fared otherwise."""
        left, right = (side.fates(found.height) for side in self._sides)
        if left is None or right is None:
            return found
        for index in range(max(len(left), len(right))):
            here, there = left[index : index + 1], right[index : index + 1]
            if list(here) != list(there):
                return replace(found, index=index, tx_id=(*here, *there)[0].tx_id)
        return found

    def _module(self, height: int) -> str:
        left, right = (side.sub_roots(height) for side in self._sides)
        if left is None or right is None:
            return ""
        roots: list[Mapping[str, bytes]] = [
            {sub.namespace: sub.root for sub in side} for side in (left, right)
        ]
        names = roots[0].keys() | roots[1].keys()
        return min((n for n in names if roots[0].get(n) != roots[1].get(n)), default="")

    def _unsound(self, height: int) -> Difference | None:
        """A side whose state does not have the root that was certified."""
        for side in self._sides if height > 0 else ():
            subs = side.sub_roots(height)
            _, result = side.certified(height)
            if subs is not None and state_root(tuple(subs)) != result.state_root:
                return Difference(height, "state", module=self._module(height))
        return None
