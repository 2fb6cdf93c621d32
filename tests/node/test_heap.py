"""A settled heap is left alone, and garbage is still found."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import msgspec
import pytest

from medquorum.codec import Wire
from medquorum.transaction import Transaction
from node.heap import settle_heap
from node.limits import HEAP_OLD_PASSES, HEAP_YOUNG_OBJECTS
from node.mempool import PoolTx


class _Knot:
    """An object that only the collector can free."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """The process is not a daemon's: leave its collector as it was."""
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)
    gc.collect()


def test_what_is_alive_once_a_node_serves_is_not_looked_at_again() -> None:
    lasting = _Knot()
    settle_heap()
    assert gc.get_freeze_count() > 0
    assert not any(found is lasting for found in gc.get_objects())
    assert gc.get_threshold() == (HEAP_YOUNG_OBJECTS, HEAP_OLD_PASSES, HEAP_OLD_PASSES)


def test_garbage_that_is_made_later_is_collected_unasked() -> None:
    settle_heap()
    gone = weakref.ref(_Knot())
    kept = [[number] for number in range(HEAP_YOUNG_OBJECTS + 1)]
    assert len(kept) > HEAP_YOUNG_OBJECTS
    assert gone() is None


def test_the_parts_of_a_node_that_another_replaced_are_collected() -> None:
    replaced = _Knot()
    gone = weakref.ref(replaced)
    settle_heap()
    del replaced
    gc.collect()
    assert gone() is not None
    settle_heap()
    assert gone() is None


@pytest.mark.parametrize("kind", [Wire, Transaction, PoolTx])
def test_what_a_node_holds_in_thousands_is_not_looked_at(kind: type[object]) -> None:
    assert issubclass(kind, msgspec.Struct)
    assert not kind.__struct_config__.gc
