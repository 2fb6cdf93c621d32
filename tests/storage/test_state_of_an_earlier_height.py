"""The state of every kept height can be put together again, against a dumb twin; and its audit."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from storage import layout
from storage.kv import Batch, prefix_end
from storage.memory import MemoryKV
from storage.state import StateStore
from storage.stateaudit import StateAudit, read_state_at

Twin = dict[tuple[str, bytes], bytes]
KEYS = st.sampled_from([bytes([first, second]) for first in range(4) for second in range(8)])
CHANGES = st.dictionaries(
    st.sampled_from(["a", "bb"]),
    st.dictionaries(KEYS, st.none() | st.sampled_from([b"", b"1", b"two"]), max_size=24),
    max_size=2,
)


def grown(heights: list[dict[str, dict[bytes, bytes | None]]]) -> tuple[MemoryKV, list[Twin]]:
    """A store after these changes, and what it held after each height."""
    kv, twins = MemoryKV(), [Twin()]
    state = StateStore(kv, keep_versions=2)
    for height, changes in enumerate(heights):
        batch = Batch()
        update = state.prepare(height, changes)
        update.stage(batch)
        kv.write(batch, sync=True)
        state.committed(update)
        twin = dict(twins[-1])
        for namespace, pairs in changes.items():
            for key, value in pairs.items():
                if value is None:
                    twin.pop((namespace, key), None)
                else:
                    twin[namespace, key] = value
        twins.append(twin)
    return kv, twins[1:]


@settings(max_examples=60, deadline=None)
@given(st.lists(CHANGES, min_size=1, max_size=8))
def test_every_value_of_every_kept_height_comes_back_in_order(
    heights: list[dict[str, dict[bytes, bytes | None]]],
) -> None:
    kv, twins = grown(heights)
    for height, twin in enumerate(twins):
        found = list(read_state_at(kv, height))
        assert {(namespace, key): value for namespace, key, value in found} == twin
        places = [layout.pack_namespace(namespace) + key for namespace, key, _ in found]
        assert places == sorted(set(places))


@settings(max_examples=30, deadline=None)
@given(st.lists(CHANGES, min_size=4, max_size=8))
def test_names_of_removed_keys_go_with_the_history_that_needs_them(
    heights: list[dict[str, dict[bytes, bytes | None]]],
) -> None:
    kv, twins = grown(heights)
    state = StateStore(kv, keep_versions=2)
    while state.prune(1) > 0:
        continue
    oldest = state.oldest()
    kept = [
        layout.unpack_height(k[1:]) for k, _ in kv.scan(layout.DELETED, prefix_end(layout.DELETED))
    ]
    assert all(height > oldest for height in kept)
    for height in range(oldest, len(twins)):
        assert {(n, k): v for n, k, v in read_state_at(kv, height)} == twins[height]


@settings(max_examples=40, deadline=None)
@given(st.lists(CHANGES, min_size=1, max_size=6), st.data())
def test_an_audit_finds_nothing_in_a_sound_state_and_every_value_that_is_another(
    heights: list[dict[str, dict[bytes, bytes | None]]], data: st.DataObject
) -> None:
    kv, twins = grown(heights)
    tip = len(twins) - 1
    sound = StateAudit(kv, tip, pages_held_max=2)
    assert [*sound.tree(), *sound.every_value()] == []
    assert sound.values == len(twins[-1])
    if not twins[-1]:
        return
    namespace, key = data.draw(st.sampled_from(sorted(twins[-1])))
    batch = Batch()
    full_key = layout.STATE + layout.pack_namespace(namespace) + key
    gone = data.draw(st.booleans())
    if gone:
        batch.delete(full_key)
    else:
        batch.put(full_key, b"another")
    kv.write(batch, sync=True)
    audit = StateAudit(kv, tip, pages_held_max=2)
    assert list(audit.tree()) == []
    (damage,) = audit.every_value()
    assert (damage.kind, damage.namespace) == ("value", namespace)
    assert gone or damage.key == key
