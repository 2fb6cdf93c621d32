"""Proofs of the ledger state (docs/spec/state.md).

Each namespace (one per module of the ledger) has its own compact sparse Merkle tree over SHA-256
paths; the state root commits to the list of (namespace, sub-root), so that a divergence names its
module.

    path(key)  = SHA-256 tagged state-key of the key's bytes, read from the most significant bit
    value hash = SHA-256 tagged state-value of the value's bytes
    leaf       = SHA-256(0x00 || path || value hash)         node = SHA-256(0x01 || left || right)
    a subtree without leaves hashes to 32 zero bytes; one with a single leaf hashes to that leaf

So the tree depends on the set of (key, value) pairs alone, never on the order of insertion, and has
a depth of about log2 of its size.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Annotated, Final

from msgspec import Meta

from medquorum import merkle
from medquorum.codec import Hash, Name, Wire, encode
from medquorum.errors import VerificationError
from medquorum.hashing import EMPTY_HASH, Kind, tagged_hash

PATH_BITS: Final = 256
NAMESPACES_MAX: Final = 256
LEAF_BYTES: Final = 64


def key_path(key: bytes) -> bytes:
    """Where `key` lives in its namespace's tree: 256 bits."""
    return tagged_hash(Kind.STATE_KEY, key)


def value_hash(value: bytes) -> bytes:
    """What a leaf commits to."""
    return tagged_hash(Kind.STATE_VALUE, value)


def leaf_hash(path: bytes, hashed_value: bytes) -> bytes:
    """The hash of a leaf, and of any subtree that holds just this leaf."""
    return sha256(b"\x00" + path + hashed_value).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two subtrees, at least two leaves between them."""
    return sha256(b"\x01" + left + right).digest()


class SubRoot(Wire):
    """The root of one namespace's tree."""

    namespace: Name
    root: Hash


def state_root(sub_roots: Sequence[SubRoot]) -> bytes:
    """The state root over all namespaces, in ascending order of their names."""
    return merkle.root([encode(sub_root) for sub_root in sub_roots])


class StateProof(Wire):
    """Shows the value of one key, or its absence, under a state root.

    `siblings` run from the root of the namespace's tree downward. The walk along the key's path
    ends at a leaf or at an empty subtree: `leaf` is empty for an empty subtree, else the 64 bytes
    path || value hash of the leaf found there.
    """

    sub_roots: Annotated[tuple[SubRoot, ...], Meta(max_length=NAMESPACES_MAX)]
    siblings: Annotated[tuple[Hash, ...], Meta(max_length=PATH_BITS)]
    leaf: Annotated[bytes, Meta(max_length=LEAF_BYTES)]


def verify_state(
    root: bytes, namespace: str, key: bytes, value: bytes | None, proof: StateProof
) -> None:
    """Raise VerificationError unless `key` has `value` (or is absent, for None) in `namespace`
    under `root`.
    """
    names = [sub_root.namespace for sub_root in proof.sub_roots]
    if names != sorted(set(names)):
        raise VerificationError(
            "state_namespaces", "the sub-roots are not in strictly ascending order"
        )
    if state_root(proof.sub_roots) != root:
        raise VerificationError("state_root", "the sub-roots do not hash to the state root")
    sub_root = next((s.root for s in proof.sub_roots if s.namespace == namespace), None)
    if sub_root is None:
        if value is not None:
            raise VerificationError("state_namespace", f"there is no namespace {namespace}")
        return
    path = key_path(key)
    if _subtree_root(path, _terminal_hash(path, value, proof), proof.siblings) != sub_root:
        raise VerificationError("state_path", "the path does not lead to the namespace's root")


def _terminal_hash(path: bytes, value: bytes | None, proof: StateProof) -> bytes:
    if proof.leaf == b"":
        if value is not None:
            raise VerificationError("state_value", "the proof shows an empty subtree, not a value")
        return EMPTY_HASH
    if len(proof.leaf) != LEAF_BYTES:
        raise VerificationError("state_leaf", f"a leaf has {LEAF_BYTES} bytes")
    leaf_path, leaf_value = proof.leaf[:32], proof.leaf[32:]
    if value is not None and (leaf_path != path or leaf_value != value_hash(value)):
        raise VerificationError("state_value", "the proof shows another leaf")
    if value is None:
        if leaf_path == path:
            raise VerificationError("state_value", "the proof shows that the key is present")
        depth = len(proof.siblings)
        if _prefix(leaf_path, depth) != _prefix(path, depth):
            raise VerificationError("state_leaf", "the leaf shown is not on the path of the key")
    return leaf_hash(leaf_path, leaf_value)


def _subtree_root(path: bytes, terminal: bytes, siblings: Sequence[bytes]) -> bytes:
    current = terminal
    for depth in range(len(siblings) - 1, -1, -1):
        sibling = siblings[depth]
        if path[depth >> 3] >> (7 - (depth & 7)) & 1:
            current = node_hash(sibling, current)
        else:
            current = node_hash(current, sibling)
    return current


def _prefix(path: bytes, bits: int) -> int:
    return int.from_bytes(path, "big") >> (PATH_BITS - bits)
