"""Merkle lists: the answers of RFC 6962, and no proof of what is not there."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medquorum import merkle

# The eight entries and the roots over the first n of them from the reference implementation of RFC
# 6962.
ENTRIES = [
    bytes.fromhex(text)
    for text in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]  # fmt: skip
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


@pytest.mark.parametrize("n", range(9))
def test_the_known_answers_of_rfc_6962(n: int) -> None:
    assert merkle.root(ENTRIES[:n]).hex() == ROOTS[n]


def twin_root(entries: Sequence[bytes]) -> bytes:
    """RFC 6962 section 2.1, word for word."""
    if not entries:
        return sha256(b"").digest()
    if len(entries) == 1:
        return sha256(b"\x00" + entries[0]).digest()
    k = 1 << ((len(entries) - 1).bit_length() - 1)
    return sha256(b"\x01" + twin_root(entries[:k]) + twin_root(entries[k:])).digest()


def twin_path(index: int, entries: Sequence[bytes]) -> tuple[bytes, ...]:
    """RFC 6962 section 2.1.1, word for word."""
    if len(entries) == 1:
        return ()
    k = 1 << ((len(entries) - 1).bit_length() - 1)
    if index < k:
        return (*twin_path(index, entries[:k]), twin_root(entries[k:]))
    return (*twin_path(index - k, entries[k:]), twin_root(entries[:k]))


LISTS = st.lists(st.binary(max_size=3), min_size=1, max_size=40, unique=True)


@given(LISTS)
def test_roots_and_paths_are_those_of_the_recursive_definition(entries: list[bytes]) -> None:
    assert merkle.root(entries) == twin_root(entries)
    paths = merkle.paths(entries)
    tree = merkle.Tree(entries)
    assert len(tree) == len(paths) == len(entries)
    for i, entry in enumerate(entries):
        assert merkle.path(entries, i) == paths[i] == tree.path(i) == twin_path(i, entries)
        assert merkle.verify(twin_root(entries), entry, i, len(entries), paths[i])


@given(LISTS, st.data())
def test_no_entry_is_proven_at_a_place_where_it_is_not(
    entries: list[bytes], data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(entries) - 1))
    other = data.draw(st.integers(-1, len(entries)))
    path = merkle.path(entries, index)
    holds = merkle.verify(merkle.root(entries), entries[index], other, len(entries), path)
    assert holds == (other == index)


@given(LISTS, st.data())
def test_a_changed_path_proves_nothing(entries: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(entries) - 1))
    path, root = list(merkle.path(entries, index)), merkle.root(entries)
    for changed in (path[:-1], [*path, bytes(32)], [bytes(32), *path]):
        if changed != path:
            assert not merkle.verify(root, entries[index], index, len(entries), changed)


def test_a_node_is_never_taken_for_a_leaf() -> None:
    a, b = sha256(b"\x00a").digest(), sha256(b"\x00b").digest()
    assert not merkle.verify(merkle.root([b"a", b"b"]), a + b, 0, 1, [])
    with pytest.raises(IndexError):
        merkle.path([b"a"], 1)


@given(st.lists(st.binary(max_size=4), min_size=1, max_size=40), st.data())
def test_a_counted_root_is_of_one_number_of_entries(
    entries: list[bytes], data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(entries) - 1))
    size = data.draw(st.integers(0, 80))
    root, siblings = merkle.counted_root(entries), merkle.path(entries, index)
    holds = merkle.verify_counted(root, entries[index], index, size, siblings)
    assert holds == (size == len(entries))
