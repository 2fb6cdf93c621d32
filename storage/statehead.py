"""What is kept of the state of one height: the roots and root pages of all namespaces
(docs/spec/state.md section 4).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from medquorum.codec import Hash, Height, Name, Wire
from medquorum.statetree import SubRoot, state_root
from storage import layout
from storage.tree import TreeRoot
from storage.unpacked import unpacked


class _NamespaceHead(Wire, frozen=True):
    namespace: Name
    root: Hash
    version: Height


class _StateHead(Wire, frozen=True):
    height: Height
    namespaces: tuple[_NamespaceHead, ...]


_encode: Final = msgspec.msgpack.Encoder().encode
_HEADS: Final = msgspec.msgpack.Decoder(_StateHead)


@dataclass(frozen=True, slots=True)
class StateHead:
    """The roots after one height. `trees` holds the namespaces that have keys, in order."""

    height: int
    trees: Mapping[str, TreeRoot]
    sub_roots: tuple[SubRoot, ...]
    root: bytes


def make_head(height: int, trees: Mapping[str, TreeRoot]) -> StateHead:
    """The head of a height after which these namespaces have keys."""
    ordered = {name: trees[name] for name in sorted(trees)}
    sub_roots = tuple(SubRoot(name, tree.hash) for name, tree in ordered.items())
    return StateHead(height, ordered, sub_roots, state_root(sub_roots))


def encode_head(head: StateHead) -> bytes:
    """What is stored of it."""
    record = _StateHead(
        head.height,
        tuple(
            _NamespaceHead(name, tree.hash, layout.unpack_height(tree.version))
            for name, tree in head.trees.items()
        ),
    )
    return _encode(record)


def decode_head(data: bytes) -> StateHead:
    """What `encode_head` encoded. Raises DamagedStoreError."""
    record = unpacked(_HEADS, data)
    trees = {
        n.namespace: TreeRoot(n.root, layout.pack_height(n.version)) for n in record.namespaces
    }
    return make_head(record.height, trees)
