"""The state tree: changing many leaves at once, and walking to one (docs/spec/state.md)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeAlias

from storage import layout, pages
from storage.pages import COUNTS, EMPTY, LEAF_BYTES, MANY, PATH_BYTES, SLOTS, Page, nibble, page_key

Leaf: TypeAlias = tuple[bytes, bytes]
"""A change: the path; path || value hash, or nothing to delete it."""

LoadPage: TypeAlias = Callable[[bytes, int], Page]
"""Gives the page with this key, at this depth."""

LoadPages: TypeAlias = Callable[[Sequence[bytes], int], Sequence[Page]]
"""Gives the pages with these keys, all at this depth, in their order."""

_UPPER_NIBBLE: Final = tuple(bytes((byte & 0xF0,)) for byte in range(256))


class TreeRoot(NamedTuple):
    """Where a namespace's tree starts: its root's hash and the version of its first page."""

    hash: bytes
    version: bytes


class PageLayer(NamedTuple):
    """Pages of one depth, with their keys."""

    depth: int
    keys: list[bytes]
    pages: list[Page]


class _Layer:
    """The pages of one depth that an update changes. Lists with one entry a page.

    `groups` are the changes under it, `above` says in which page of the layer above it hangs and
    in which slot (16 times the former plus the latter), `masks` has a bit for each slot that has
    changed, `tails` is what its old and its new key have in common.
    """

    __slots__ = ("above", "groups", "masks", "pages", "tails")

    def __init__(self) -> None:
        self.pages: list[bytearray] = []
        self.groups: list[Sequence[Leaf]] = []
        self.above: list[int] = []
        self.masks: list[int] = []
        self.tails: list[bytes] = []


class TreeUpdate:
    """Applies one sorted list of changes to one namespace's tree, touching each page once.

    It goes down and up again layer by layer: all pages of one depth are asked for together, and
    no page is hashed before all below it are. Nothing stored is changed. The outcome: `root` (None
    for a tree without leaves), the pages `written`, and the depths and keys of those that they make
    `stale`.
    """

    __slots__ = ("_key_start", "_load", "_namespace", "_version", "root", "stale", "written")

    def __init__(self, namespace: bytes, version: bytes, load: LoadPages) -> None:
        self._namespace = namespace
        self._version = version
        self._key_start = layout.PAGE + version
        self._load = load
        self.root: TreeRoot | None = None
        self.written: list[PageLayer] = []
        self.stale: list[tuple[int, list[bytes]]] = []

    def apply(self, base: TreeRoot | None, changes: Sequence[Leaf]) -> None:
        """Apply `changes`, in strictly ascending order of their paths, to the tree at `base`."""
        top = _Layer()
        top.groups.append(changes)
        top.above.append(0)
        self._open(top, 0, [] if base is None else [base.version])
        layers = [top]
        while layers[-1].pages:
            layers.append(self._descend(layers[-1], len(layers) - 1))
        for depth in range(len(layers) - 2, 0, -1):
            self._ascend(layers[depth], layers[depth - 1], depth)
        page = top.pages[0]
        pages.rehash(page, top.masks[0])
        if page[1] != EMPTY:
            self.written.append(PageLayer(0, [self._key_start + top.tails[0]], [bytes(page)]))
            self.root = TreeRoot(pages.node_hash(page, 1), self._version)

    def _open(self, layer: _Layer, depth: int, versions: Sequence[bytes]) -> None:
        """Fill in the pages of a layer: copies of those with these versions, which become stale,
        and empty ones for the rest.
        """
        start = self._namespace + bytes((depth,))
        half = depth >> 1
        paths = [group[0][0] for group in layer.groups]
        if depth & 1:
            layer.tails = [start + path[:half] + _UPPER_NIBBLE[path[half]] for path in paths]
        else:
            layer.tails = [start + path[:half] for path in paths]
        if versions:
            tails = zip(versions, layer.tails, strict=False)
            keys = [layout.PAGE + version + tail for version, tail in tails]
            self.stale.append((depth, keys))
            layer.pages = list(map(bytearray, self._load(keys, depth)))
        layer.pages += [pages.empty_page() for _ in range(len(paths) - len(versions))]

    def _descend(self, layer: _Layer, depth: int) -> _Layer:
        """Change the leaves that the pages of a layer hold themselves; the layer below, opened."""
        byte, shift, bit = depth >> 1, 0 if depth & 1 else 4, 4 * depth + 4
        versions: list[bytes] = []
        stored, grown = _Layer(), _Layer()
        for place, (page, group) in enumerate(zip(layer.pages, layer.groups, strict=True)):
            mask = 0
            for slot, part in _parts(group, byte, shift):
                mask |= 1 << slot
                if page[SLOTS + slot] == MANY and page[COUNTS + slot] == 0:
                    versions.append(pages.child_version(page, slot))
                    stored.groups.append(part)
                    stored.above.append(SLOTS * place + slot)
                    continue
                leaves = _merged(pages.slot_leaves(page, slot), part)
                if len(leaves) <= LEAF_BYTES * pages.SLOT_LEAVES_MAX:
                    pages.set_leaves(page, slot, leaves, pages.leaves_hash(leaves, bit))
                else:
                    grown.groups.append(_as_changes(leaves))
                    grown.above.append(SLOTS * place + slot)
            layer.masks.append(mask)
        stored.groups += grown.groups
        stored.above += grown.above
        self._open(stored, depth + 1, versions)
        return stored

    def _ascend(self, layer: _Layer, above: _Layer, depth: int) -> None:
        """Hash the pages of a layer and put what they hold into the slots of the layer above: a
        page, or the leaves if it has few.
        """
        keys: list[bytes] = []
        written: list[Page] = []
        key_start, version, parents = self._key_start, self._version, above.pages
        for page, mask, place, tail in zip(
            layer.pages, layer.masks, layer.above, layer.tails, strict=True
        ):
            pages.rehash(page, mask)
            parent, slot = parents[place // SLOTS], place % SLOTS
            leaves = pages.all_leaves(page)
            if leaves is None:
                keys.append(key_start + tail)
                written.append(bytes(page))
                pages.set_child(parent, slot, version, page)
            else:
                pages.set_leaves(parent, slot, leaves, pages.node_hash(page, 1))
        self.written.append(PageLayer(depth, keys, written))


def _parts(changes: Sequence[Leaf], byte: int, shift: int) -> Sequence[tuple[int, Sequence[Leaf]]]:
    """The slots that some changes fall into, and the changes of each."""
    if len(changes) == 1:
        return ((changes[0][0][byte] >> shift & 15, changes),)
    slots = [path[byte] >> shift & 15 for path, _ in changes]
    parts: list[tuple[int, Sequence[Leaf]]] = []
    first, count = 0, len(slots)
    while first < count:
        slot = slots[first]
        after = first + 1
        while after < count and slots[after] == slot:
            after += 1
        parts.append((slot, changes[first:after]))
        first = after
    return parts


def _merged(held: bytes, changes: Sequence[Leaf]) -> bytes:
    """The leaves of a slot after some changes."""
    if len(held) == 0:
        return b"".join([leaf for _, leaf in changes])
    if len(changes) == 1:
        path, leaf = changes[0]
        # Not at a multiple, it is a value's hash that looks like a path: then all are compared.
        start = held.find(path)
        if start >= 0 and start % LEAF_BYTES == 0:
            return held[:start] + leaf + held[start + LEAF_BYTES :]
    table: dict[bytes, bytes] = {}
    for start in range(0, len(held), LEAF_BYTES):
        table[held[start : start + PATH_BYTES]] = held[start : start + LEAF_BYTES]
    table.update(changes)
    return b"".join([table[path] for path in sorted(table)])


def _as_changes(leaves: bytes) -> list[Leaf]:
    """Leaves as changes that put them into an empty page."""
    starts = range(0, len(leaves), LEAF_BYTES)
    return [(leaves[i : i + PATH_BYTES], leaves[i : i + LEAF_BYTES]) for i in starts]


def walk(
    namespace: bytes, base: TreeRoot | None, path: bytes, load: LoadPage
) -> tuple[tuple[bytes, ...], bytes]:
    """The siblings on the way to `path`, from the root down, and the leaf found at its end.

    The leaf is empty for an empty subtree. These are the parts of a StateProof.
    """
    if base is None:
        return (), b""
    siblings: list[bytes] = []
    version, depth = base.version, 0
    while True:
        page = load(page_key(version, namespace, depth, path), depth)
        slot = nibble(path, depth)
        for shift in (4, 3, 2, 1):
            node = (SLOTS + slot) >> shift
            if page[node] != MANY:
                return tuple(siblings), _only_leaf(page, node)
            siblings.append(pages.node_hash(page, ((SLOTS + slot) >> (shift - 1)) ^ 1))
        if not pages.is_child(page, slot):
            leaf = _walk_slot(pages.slot_leaves(page, slot), path, 4 * depth + 4, siblings)
            return tuple(siblings), leaf
        version, depth = pages.child_version(page, slot), depth + 1


def _only_leaf(page: Page, node: int) -> bytes:
    """The only leaf under `node`, or nothing if it is empty."""
    first, last = node, node
    while first < SLOTS:
        first, last = 2 * first, 2 * last + 1
    return b"".join(pages.slot_leaves(page, slot - SLOTS) for slot in range(first, last + 1))


def _walk_slot(leaves: bytes, path: bytes, bit: int, siblings: list[bytes]) -> bytes:
    """Go on from `bit` among the leaves of one slot, adding siblings; the leaf found at the end."""
    while len(leaves) > LEAF_BYTES:
        sides = [b"", b""]
        for start in range(0, len(leaves), LEAF_BYTES):
            leaf = leaves[start : start + LEAF_BYTES]
            sides[_bit(leaf, bit)] += leaf
        turn = _bit(path, bit)
        bit += 1
        siblings.append(pages.leaves_hash(sides[1 - turn], bit))
        leaves = sides[turn]
    return leaves


def _bit(path: bytes, bit: int) -> int:
    return path[bit >> 3] >> (7 - (bit & 7)) & 1
