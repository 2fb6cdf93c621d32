"""The overlay against a dumb twin: a dictionary that is copied and thrown away."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from node.ledger.identities import Since
from node.ledger.overlay import BlockOverlay
from node.ledger.tables import Table
from tests.support.ledger import MemoryState

KEYS = st.sampled_from([bytes([a, b]) for a in range(3) for b in range(3)])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), KEYS, st.binary(max_size=2)),
        st.tuples(st.just("delete"), KEYS, st.just(b"")),
        st.tuples(st.just("get"), KEYS, st.just(b"")),
        st.tuples(st.just("scan"), KEYS, KEYS),
        st.tuples(st.just("back"), KEYS, KEYS),
        st.tuples(st.just("commit"), st.just(b""), st.just(b"")),
        st.tuples(st.just("rollback"), st.just(b""), st.just(b"")),
    ),
    max_size=40,
)

ROWS = Table(b"r", "rows", key=("id",), value=Since, meaning="rows of this test")
IDS = (b"a", b"b")
ROW_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from(IDS), st.integers(0, 3)),
        st.tuples(
            st.sampled_from(["delete", "commit", "rollback"]), st.sampled_from(IDS), st.just(0)
        ),
    ),
    max_size=30,
)


def between(
    rows: dict[bytes, bytes], start: bytes, stop: bytes, *, reverse: bool
) -> list[tuple[bytes, bytes]]:
    """What a scan must give."""
    return sorted(((k, v) for k, v in rows.items() if start <= k < stop), reverse=reverse)


@settings(max_examples=300, deadline=None)
@given(base=st.dictionaries(KEYS, st.binary(max_size=2)), steps=STEPS)
def test_the_overlay_is_a_dictionary_that_can_forget(
    base: dict[bytes, bytes], steps: list[tuple[str, bytes, bytes]]
) -> None:
    committed = MemoryState()
    committed.spaces["toy"] = dict(base)
    overlay = BlockOverlay(committed)
    state = overlay.namespace("toy")
    kept, running = dict(base), dict(base)
    for step, first, second in steps:
        match step:
            case "put":
                state.put(first, second)
                running[first] = second
            case "delete":
                state.delete(first)
                running.pop(first, None)
            case "get":
                assert state.get(first) == running.get(first)
            case "scan":
                found = list(state.scan(first, second))
                assert found == between(running, first, second, reverse=False)
            case "back":
                found = list(state.scan(first, second, reverse=True))
                assert found == between(running, first, second, reverse=True)
            case "commit":
                overlay.commit()
                kept = dict(running)
            case _:
                overlay.rollback()
                running = dict(kept)
    overlay.rollback()
    assert committed.spaces["toy"] == base
    changes = overlay.changes().get("toy", {})
    assert all(base.get(key) != value for key, value in changes.items()), "no idle changes"
    looked_up = overlay.looked_up().get("toy", {})
    assert changes.keys() <= looked_up.keys(), "the tree needs what was there before"
    assert all(base.get(key) == value for key, value in looked_up.items())
    committed.apply(overlay.changes())
    assert committed.spaces["toy"] == kept


@settings(max_examples=300, deadline=None)
@given(steps=ROW_STEPS)
def test_a_row_that_is_remembered_is_the_one_that_stands(
    steps: list[tuple[str, bytes, int]],
) -> None:
    overlay = BlockOverlay(MemoryState())
    state = overlay.namespace("toy")
    kept: dict[bytes, int] = {}
    running: dict[bytes, int] = {}
    for step, name, height in steps:
        match step:
            case "put":
                ROWS.put(state, Since(height), name)
                running[name] = height
            case "delete":
                ROWS.delete(state, name)
                running.pop(name, None)
            case "commit":
                overlay.commit()
                kept = dict(running)
            case _:
                overlay.rollback()
                running = dict(kept)
        for one in IDS:
            row = ROWS.look_up(state, one)
            assert (None if row is None else row.height) == running.get(one)


def test_namespaces_do_not_see_each_other() -> None:
    overlay = BlockOverlay(MemoryState())
    overlay.namespace("a").put(b"k", b"1")
    assert overlay.namespace("b").get(b"k") is None
    overlay.commit()
    assert overlay.changes() == {"a": {b"k": b"1"}}
