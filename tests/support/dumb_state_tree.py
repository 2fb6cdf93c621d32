"""The state root by its definition: a recursive function over a dict, slow and simple."""

from __future__ import annotations

from collections.abc import Mapping

from medquorum.hashing import EMPTY_HASH
from medquorum.statetree import (
    SubRoot,
    key_path,
    leaf_hash,
    node_hash,
    state_root,
    value_hash,
)


def namespace_root(pairs: Mapping[bytes, bytes]) -> bytes:
    """The root over one namespace's pairs."""
    return _subtree({key_path(key): value for key, value in pairs.items()}, 0)


def root(state: Mapping[str, Mapping[bytes, bytes]]) -> bytes:
    """The root over all namespaces; one without keys does not count."""
    return state_root([SubRoot(n, namespace_root(state[n])) for n in sorted(state) if state[n]])


def _subtree(leaves: Mapping[bytes, bytes], depth: int) -> bytes:
    if len(leaves) == 0:
        return EMPTY_HASH
    if len(leaves) == 1:
        ((path, value),) = leaves.items()
        return leaf_hash(path, value_hash(value))
    sides: tuple[dict[bytes, bytes], dict[bytes, bytes]] = ({}, {})
    for path, value in leaves.items():
        sides[path[depth // 8] >> (7 - depth % 8) & 1][path] = value
    return node_hash(_subtree(sides[0], depth + 1), _subtree(sides[1], depth + 1))
