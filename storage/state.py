"""The ledger state:

latest values in a flat key space, older ones in a history, all under a Merkle tree.

docs/spec/state.md says what is hashed and stored; its rules, numbered as there: T1 The roots depend
on the set of (namespace, key, value) alone. T2 `prepare` changes nothing that is stored, so several
candidates for one height may exist; one of them is committed. T3 A height is prepared only after
the one before it was committed. T4 The last `keep_versions` heights before the tip stay readable,
with proofs, until `prune` drops what is older.

Threads: any number may read. `prepare` may run in a thread of its own meanwhile. `committed` and
`prune` belong to the writer. What they share is safe because it never changes: a page is cached
under the key that names its version, and the head is one frozen object that is replaced in one
step. Only `committed` adds to the cache or takes from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import sha256
from types import MappingProxyType
from typing import Final, TypeAlias

import msgspec

from medquorum.hashing import Kind
from medquorum.invariants import require
from medquorum.statetree import StateProof, SubRoot, key_path
from storage import layout
from storage.errors import DamagedStoreError, HeightAheadError, PrunedError
from storage.kv import KV, Batch, Reader, Snapshot, prefix_end
from storage.limits import STALE_CHUNK_KEYS_MAX, STATE_KEY_BYTES_MAX
from storage.pagecache import PageCache
from storage.pages import Page, check_page
from storage.statehead import StateHead, decode_head, encode_head, make_head
from storage.tree import Leaf, PageLayer, TreeRoot, TreeUpdate, walk
from storage.unpacked import unpacked

NO_HEIGHT: Final = -1
"""The height of a store that has not even a genesis state."""

_ABSENT: Final = b"\x00"
_PRESENT: Final = b"\x01"
# What key_path and value_hash of medquorum.statetree put in front, spelled out for the hot loop.
_KEY_PREFIX: Final = Kind.STATE_KEY.value
_VALUE_PREFIX: Final = Kind.STATE_VALUE.value


Changes: TypeAlias = Mapping[str, Mapping[bytes, bytes | None]]
"""Values by namespace and key; None for a key that has, or shall have, none."""

_NOTHING: Final[Mapping[bytes, bytes | None]] = MappingProxyType({})

_encode: Final = msgspec.msgpack.Encoder().encode
_KEYS: Final = msgspec.msgpack.Decoder(list[bytes])


@dataclass(slots=True)
class _Work:
    """What `prepare` collects: value and history writes, pages, keys that only history needs."""

    values: list[tuple[bytes, bytes | None]] = field(default_factory=list)
    pages: list[PageLayer] = field(default_factory=list)
    stale: list[bytes] = field(default_factory=list)
    stale_pages: list[tuple[int, list[bytes]]] = field(default_factory=list)
    deleted: list[bytes] = field(default_factory=list)


class StateUpdate:
    """What one height does to the state, worked out but not written.

    `height`, `root` and `sub_roots` are those after it.
    """

    __slots__ = ("_base", "_deleted", "_head", "_pages", "_stale", "_stale_pages", "_values")

    def __init__(self, base: StateHead, head: StateHead, work: _Work) -> None:
        """For StateStore only."""
        self._base = base
        self._head = head
        self._values = work.values
        self._pages = work.pages
        self._stale = work.stale
        self._stale_pages = work.stale_pages
        self._deleted = work.deleted

    @property
    def height(self) -> int:
        """The height that this update makes."""
        return self._head.height

    @property
    def root(self) -> bytes:
        """The state root after it."""
        return self._head.root

    @property
    def sub_roots(self) -> tuple[SubRoot, ...]:
        """The roots of the namespaces that have keys after it, in the order of their names."""
        return self._head.sub_roots

    def stage(self, batch: Batch) -> None:
        """Put everything into `batch`: values, pages, history, the stale index and the head."""
        batch.add(self._values)
        for layer in self._pages:
            batch.add(zip(layer.keys, layer.pages, strict=True))
        height = self.height
        for chunk, first in enumerate(range(0, len(self._stale), STALE_CHUNK_KEYS_MAX)):
            keys = self._stale[first : first + STALE_CHUNK_KEYS_MAX]
            batch.put(layout.STALE + layout.pack_place(height, chunk), _encode(keys))
        if self._deleted:
            batch.put(layout.at_height(layout.DELETED, height), _encode(self._deleted))
        batch.put(layout.at_height(layout.STATE_HEAD, height), encode_head(self._head))
        if self._base.height == NO_HEIGHT:
            batch.put(layout.STATE_OLDEST, layout.pack_height(height))


class StateStore:
    """The state of one chain in a KV that it shares with the chain store."""

    __slots__ = ("_cache", "_head", "_keep_versions", "_kv")

    def __init__(self, kv: KV, *, keep_versions: int) -> None:
        """Open the state in `kv`.

        `keep_versions` heights before the tip stay readable, one at least.

        Raises DamagedStoreError, DiskFailedError.
        """
        require(keep_versions >= 1, f"keep_versions is {keep_versions}")
        self._kv = kv
        self._keep_versions = keep_versions
        self._cache = PageCache()
        self._head = newest_head(kv)

    def height(self) -> int:
        """The last committed height; NO_HEIGHT if nothing was committed yet."""
        return self._head.height

    def root(self) -> bytes:
        """The state root after it."""
        return self._head.root

    def sub_roots(self) -> tuple[SubRoot, ...]:
        """The roots of the namespaces that have keys, in ascending order of their names."""
        return self._head.sub_roots

    def oldest(self) -> int:
        """The oldest height whose state can be read; NO_HEIGHT if nothing was committed yet."""
        return oldest_state(self._kv)

    def get(self, namespace: str, key: bytes) -> bytes | None:
        """The latest written value, or None."""
        return self._kv.get(layout.STATE + layout.pack_namespace(namespace) + key)

    def scan(
        self, namespace: str, start: bytes, stop: bytes | None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """The latest written pairs with start <= key < stop, in order; to the end for None."""
        prefix = layout.STATE + layout.pack_namespace(namespace)
        end = prefix_end(prefix) if stop is None else prefix + stop
        pairs = self._kv.scan(prefix + start, end, reverse=reverse)
        return ((key[len(prefix) :], value) for key, value in pairs)

    def prepare(
        self, height: int, changes: Changes, known: Changes = MappingProxyType({})
    ) -> StateUpdate:
        """Work out what `changes` make of the state at the tip; None deletes a key (T1, T2, T3).

        `known` holds values of the tip that the caller has looked up already (None: the key has
        none); what it does not hold is read here.

        The first update of an empty store may be of any height. Raises DamagedStoreError,
        DiskFailedError.
        """
        base = self._head
        require(
            height == base.height + 1 or (base.height == NO_HEIGHT and height >= 0),
            f"height {height} is prepared on {base.height}",
        )
        work = _Work()
        trees = dict(base.trees)
        version = layout.pack_height(height)
        for namespace in sorted(changes):
            packed = layout.pack_namespace(namespace)
            leaves = self._leaves(
                packed, version, changes[namespace], known.get(namespace, _NOTHING), work
            )
            if len(leaves) == 0:
                continue
            tree = TreeUpdate(packed, version, self._load)
            tree.apply(trees.pop(namespace, None), leaves)
            if tree.root is not None:
                trees[namespace] = tree.root
            work.pages.extend(tree.written)
            work.stale_pages.extend(tree.stale)
        for _, keys in work.stale_pages:
            work.stale.extend(keys)
        if work.deleted:
            work.stale.append(layout.at_height(layout.DELETED, height))
        if base.height != NO_HEIGHT:
            work.stale.append(layout.at_height(layout.STATE_HEAD, base.height))
        return StateUpdate(base, make_head(height, trees), work)

    def committed(self, update: StateUpdate) -> None:
        """Make `update` the tip. Its batch must be durable before."""
        require(update._base is self._head, f"height {update.height} was prepared on another state")
        self._head = update._head
        self._cache.move_on(update._pages, update._stale_pages)

    def get_at(self, namespace: str, key: bytes, height: int) -> bytes | None:
        """The value after `height`, or None. Raises PrunedError, HeightAheadError (T4)."""
        with closing(self._kv.snapshot()) as snapshot:
            self._check_readable(snapshot, height)
            return value_at(snapshot, layout.pack_namespace(namespace), key, height)

    def proof(
        self, namespace: str, key: bytes, height: int | None = None
    ) -> tuple[bytes | None, StateProof]:
        """The value after `height` (the tip for None) and its proof, for
        medquorum.statetree.verify_state.

        Raises PrunedError, HeightAheadError (T4).
        """
        height = self._head.height if height is None else height
        packed = layout.pack_namespace(namespace)
        with closing(self._kv.snapshot()) as snapshot:
            self._check_readable(snapshot, height)
            newest = self._head
            head = newest if newest.height == height else head_at(snapshot, height)
            value = value_at(snapshot, packed, key, height)
            siblings, leaf = walk(
                packed,
                head.trees.get(namespace),
                key_path(key),
                lambda page_key, _: read_page(snapshot, page_key),
            )
        return value, StateProof(head.sub_roots, siblings, leaf)

    def prune(self, batch_limit: int) -> int:
        """Delete entries that no kept height needs, about `batch_limit` at most; how many were
        deleted (T4).

        0 means that nothing is left to do. The room is given back when LevelDB next compacts. A
        crash loses nothing: what was not deleted is deleted at the next call.
        """
        last = self._head.height - self._keep_versions
        start = layout.at_height(layout.STALE, max(oldest_state(self._kv), 0))
        stop = layout.at_height(layout.STALE, max(last, NO_HEIGHT) + 1)
        batch, since = Batch(), NO_HEIGHT
        for index_key, data in self._kv.scan(start, stop):
            if len(batch) >= batch_limit:
                break
            since, _ = layout.unpack_place(index_key[1:])
            batch.add([(key, None) for key in unpacked(_KEYS, data)])
            batch.delete(index_key)
        deleted = len(batch)
        if deleted > 0:
            # The heights before `since` are given up in the batch that takes pages from them. It
            # is one, for a store may sync each.
            batch.put(layout.STATE_OLDEST, layout.pack_height(since))
            self._kv.write(batch, sync=False)
        return deleted

    def _leaves(
        self,
        namespace: bytes,
        version: bytes,
        changes: Mapping[bytes, bytes | None],
        known: Mapping[bytes, bytes | None],
        work: _Work,
    ) -> list[Leaf]:
        """The leaves that `changes` really change, by path; adds their values and history to the
        lists.
        """
        leaves: list[Leaf] = []
        prefix = layout.STATE + namespace
        old_prefix = layout.HISTORY + namespace
        get = self._kv.get
        for key, value in changes.items():
            full_key = prefix + key
            old = known[key] if key in known else get(full_key)
            if old == value:
                continue
            require(0 < len(key) <= STATE_KEY_BYTES_MAX, "a state key of this length")
            path = sha256(_KEY_PREFIX + key).digest()
            if value is None:
                leaves.append((path, b""))
                work.deleted.append(full_key)
            else:
                leaves.append((path, path + sha256(_VALUE_PREFIX + value).digest()))
            history_key = b"%b%b%b" % (old_prefix, path, version)
            work.values += (
                (full_key, value),
                (history_key, _ABSENT if old is None else _PRESENT + old),
            )
            work.stale.append(history_key)
        leaves.sort()
        return leaves

    def _load(self, keys: Sequence[bytes], depth: int) -> list[Page]:
        found = self._cache.get_many(keys, depth)
        missing = [keys[index] for index, page in enumerate(found) if page is None]
        # In the order of their keys, so that neighbours in the store are read one after the other.
        read = {key: read_page(self._kv, key) for key in sorted(missing)}
        return [read[keys[i]] if page is None else page for i, page in enumerate(found)]

    def _check_readable(self, snapshot: Snapshot, height: int) -> None:
        tip = self._head.height
        if height > tip:
            raise HeightAheadError(height, tip)
        oldest = oldest_state(snapshot)
        if height < oldest or tip == NO_HEIGHT:
            raise PrunedError(height, oldest)


def stage_head(batch: Batch, height: int, trees: Mapping[str, TreeRoot]) -> bytes:
    """Put the head of a state into `batch` whose values and pages were written otherwise, as the
    first one of its store; the state root.
    """
    head = make_head(height, trees)
    batch.put(layout.at_height(layout.STATE_HEAD, height), encode_head(head))
    batch.put(layout.STATE_OLDEST, layout.pack_height(height))
    return head.root


def newest_head(kv: Reader) -> StateHead:
    """The roots after the last height; empty before the first."""
    for _, data in kv.scan(layout.STATE_HEAD, prefix_end(layout.STATE_HEAD), reverse=True):
        return decode_head(data)
    return make_head(NO_HEIGHT, {})


def head_at(reader: Reader, height: int) -> StateHead:
    data = reader.get(layout.at_height(layout.STATE_HEAD, height))
    if data is None:
        raise DamagedStoreError("the database", f"the state head of height {height} is missing")
    return decode_head(data)


def oldest_state(reader: Reader) -> int:
    """See StateStore.oldest."""
    data = reader.get(layout.STATE_OLDEST)
    return NO_HEIGHT if data is None else layout.unpack_height(data)


def value_at(reader: Reader, namespace: bytes, key: bytes, height: int) -> bytes | None:
    """The first change after `height` tells the value before it; without one the latest value still
    stands.
    """
    prefix = layout.HISTORY + namespace + key_path(key)
    stop = prefix + b"\xff" * layout.HEIGHT_BYTES
    for _, entry in reader.scan(prefix + layout.pack_height(height + 1), stop):
        return entry[1:] if entry[:1] == _PRESENT else None
    return reader.get(layout.STATE + namespace + key)


def read_page(reader: Reader, key: bytes) -> Page:
    """The page with this key. Raises DamagedStoreError."""
    data = reader.get(key)
    if data is None:
        raise DamagedStoreError("the database", f"the state page {key.hex()} is missing")
    try:
        return check_page(data)
    except ValueError as error:
        raise DamagedStoreError("the database", f"the state page {key.hex()}: {error}") from None
