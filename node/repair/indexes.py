"""The indexes of the chain: from block hashes and from transaction ids to where they stand.

They hold nothing that the blocks do not, so they can be rebuilt from them.
"""

from __future__ import annotations

from collections.abc import Iterator

from node.checking.findings import Finding, Report
from node.repair.limits import BATCH_KEYS_MAX
from storage import layout
from storage.chain import ChainStore
from storage.errors import DamagedStoreError
from storage.kv import KV, Batch, Reader, prefix_end

_INDEXES = ((layout.HEADER_HASH, "block"), (layout.TX, "transaction"))


def check_entry(
    reader: Reader, report: Report, key: bytes, expected: bytes, height: int, *, what: str
) -> None:
    """Whether the entry of a block or a transaction of `height` is there, and leads to it."""
    try:
        found = reader.get(key)
    except DamagedStoreError as error:
        report.add(Finding("index", height, key[1:].hex(), error.detail))
        return
    if found != expected:
        detail = "has no entry" if found is None else "has an entry that leads elsewhere"
        report.add(Finding("index", height, key[1:].hex(), f"the {what} {detail}"))


def check_strays(reader: Reader, blocks: ChainStore, report: Report) -> None:
    """Whether there are entries that lead to nothing. That every block and transaction has its
    own entry is seen where the blocks are checked.
    """
    try:
        expected = sum(1 for _ in _entries(reader, blocks))
        found = sum(1 for prefix, _ in _INDEXES for _ in reader.scan(prefix, prefix_end(prefix)))
        report.looked_at("index entries", found)
        if found == expected:
            return
        for key, what, wrong in _strays(reader, blocks):
            report.add(Finding("index", 0, key[1:].hex(), f"an entry of a {what} {wrong}"))
    except DamagedStoreError as error:
        report.add(Finding("index", 0, "", error.detail))


def _strays(reader: Reader, blocks: ChainStore) -> Iterator[tuple[bytes, str, str]]:
    """Looks at every entry, which is slow, so it is asked only if there are too many or too few."""
    for prefix, what in _INDEXES:
        for key, value in reader.scan(prefix, prefix_end(prefix)):
            wrong = _wrong_with(blocks, prefix, key[1:], value)
            if wrong is not None:
                yield key, what, wrong


def _wrong_with(blocks: ChainStore, prefix: bytes, name: bytes, value: bytes) -> str | None:
    size = layout.HEIGHT_BYTES + (4 if prefix == layout.TX else 0)
    if len(value) != size:
        return f"has {len(value)} bytes"
    if prefix == layout.HEADER_HASH:
        header = blocks.header(layout.unpack_height(value))
        return None if header is not None and header.hash() == name else "leads to no block"
    height, index = layout.unpack_place(value)
    outcomes = blocks.outcomes(height)
    if index < len(outcomes) and outcomes[index].tx_id == name:
        return None
    return "leads to no transaction"


def rebuild(kv: KV, blocks: ChainStore) -> tuple[int, int]:
    """Write every entry again, from the blocks, and remove those that lead to nothing.

    How many entries there are, and how many were missing, wrong or stray. Interrupted, it is
    repeated from the start. Raises DamagedStoreError if the blocks themselves are damaged.
    """
    entries = mended = 0
    batch = Batch()
    for key, value in _entries(kv, blocks):
        entries += 1
        if _get(kv, key) != value:
            mended += 1
            batch.put(key, value)
        if len(batch) >= BATCH_KEYS_MAX:
            kv.write(batch, sync=False)
            batch = Batch()
    kv.write(batch, sync=True)
    found = sum(1 for prefix, _ in _INDEXES for _ in kv.scan(prefix, prefix_end(prefix)))
    if found != entries:
        strays = Batch()
        for key, _, _ in _strays(kv, blocks):
            strays.delete(key)
        mended += len(strays)
        kv.write(strays, sync=True)
    return entries, mended


def _entries(reader: Reader, blocks: ChainStore) -> Iterator[tuple[bytes, bytes]]:
    """Also of heights of which there are parts only: whoever was committed is not forgotten."""
    for key, _ in reader.scan(layout.HEADER, prefix_end(layout.HEADER)):
        height = layout.unpack_height(key[1:])
        header = blocks.header(height)
        if header is None:
            continue
        yield layout.HEADER_HASH + header.hash(), layout.pack_height(height)
    for key, _ in reader.scan(layout.OUTCOMES, prefix_end(layout.OUTCOMES)):
        height = layout.unpack_height(key[1:])
        for index, outcome in enumerate(blocks.outcomes(height)):
            yield layout.TX + outcome.tx_id, layout.pack_place(height, index)


def _get(kv: KV, key: bytes) -> bytes | None:
    """The entry that is there. One that cannot be read counts as wrong."""
    try:
        return kv.get(key)
    except DamagedStoreError:
        return None
