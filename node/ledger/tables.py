"""Typed tables over the key space of a module.

A table is one key prefix. Its declaration names the parts of the key and the structure of the
value, so the declarations of a module are the documentation of its state:

    GRANTS = Table(
        b"g", "grants", key=("pid", "grant_id"), value=Grant, meaning="what pid has allowed"
    )

Key parts are byte strings of fixed length, integers (8 bytes, big-endian, so that they sort) or
tokens (UTF-8, ended by 0x00).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Generic, Protocol, TypeVar

import msgspec

from medquorum.codec import Wire, encode
from medquorum.invariants import require

VALUE_BYTES_MAX: Final = 64 * 1024

KeyPart = bytes | int | str
ValueT = TypeVar("ValueT", bound=Wire)
RowName = tuple[object, tuple[KeyPart, ...]]
"""A table and the parts of a key."""


class ReadableState(Protocol):
    """The ordered key space of one module, seen read-only."""

    @property
    def rows(self) -> dict[RowName, Wire | None]:
        """What `Table.look_up` has decoded since something was last written here."""
        ...

    def get(self, key: bytes) -> bytes | None:
        """The value, or None."""
        ...

    def scan(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Pairs with start <= key < stop in key order. Writes while iterating are not allowed."""
        ...


class WritableState(ReadableState, Protocol):
    """The ordered key space of one module, as the running transaction sees and changes it."""

    def put(self, key: bytes, value: bytes) -> None:
        """Set the value."""
        ...

    def delete(self, key: bytes) -> None:
        """Remove the key. Removing an absent key is allowed."""
        ...


class Table(Generic[ValueT]):
    """One key prefix of a module. Immutable; holds no state itself."""

    __slots__ = ("_arity", "_decode", "key_parts", "meaning", "name", "prefix", "value")

    def __init__(
        self, prefix: bytes, name: str, *, key: tuple[str, ...], value: type[ValueT], meaning: str
    ) -> None:
        require(len(prefix) == 1, f"the prefix of table {name} has one byte")
        self.prefix = prefix
        self.name = name
        self.key_parts = key
        self._arity = len(key)
        self.value = value
        # What stands in the state was encoded by `put`, so it is canonical; only what comes from
        # outside has to be encoded again to see that.
        self._decode: Final = msgspec.msgpack.Decoder(value).decode
        self.meaning = meaning

    def key(self, *parts: KeyPart) -> bytes:
        """The key of a row; with trailing parts left out, the common start of many rows' keys."""
        if len(parts) > self._arity:
            self._wrong_parts(parts)
        return self.prefix + b"".join([_encode_part(part) for part in parts])

    def get(self, state: ReadableState, *parts: KeyPart) -> ValueT | None:
        """The row, or None."""
        data = state.get(self._row_key(parts))
        return None if data is None else self._decode(data)

    def look_up(self, state: ReadableState, *parts: KeyPart) -> ValueT | None:
        """The row, or None: `get` for what most operations of a block read and hardly any changes.

        The row is decoded once, and remembered until something is written to the key space.
        """
        name = (self, parts)
        rows = state.rows
        if name not in rows:
            rows[name] = self.get(state, *parts)
        return rows[name]  # type: ignore[return-value]  # under it stands a row of this table

    def has(self, state: ReadableState, *parts: KeyPart) -> bool:
        """Whether the row exists."""
        return state.get(self._row_key(parts)) is not None

    def put(self, state: WritableState, row: ValueT, *parts: KeyPart) -> None:
        """Set the row."""
        data = encode(row)
        if len(data) > VALUE_BYTES_MAX:
            require(False, f"a row of table {self.name} has {len(data)} bytes")
        state.put(self._row_key(parts), data)

    def delete(self, state: WritableState, *parts: KeyPart) -> None:
        """Remove the row."""
        state.delete(self._row_key(parts))

    def _row_key(self, parts: tuple[KeyPart, ...]) -> bytes:
        if len(parts) != self._arity:
            self._wrong_parts(parts)
        # One id is by far the most frequent key: a block looks up thousands.
        if self._arity == 1 and isinstance(parts[0], bytes):
            return self.prefix + parts[0]
        encoded = [part if isinstance(part, bytes) else _encode_part(part) for part in parts]
        return self.prefix + b"".join(encoded)

    def _wrong_parts(self, parts: tuple[KeyPart, ...]) -> None:
        require(False, f"table {self.name} has keys of {self.key_parts}, not of {len(parts)} parts")

    def rows(
        self, state: ReadableState, *parts: KeyPart, after: bytes = b"", reverse: bool = False
    ) -> Iterator[tuple[bytes, ValueT]]:
        """Rows whose key begins with `parts`, in key order: (the rest of the key, row).

        `after` skips the rows up to and including that remainder: the cursor of a paged query.
        """
        start = self.key(*parts)
        first = start + after + b"\x00" if after != b"" else start
        for key, data in state.scan(first, prefix_end(start), reverse=reverse):
            yield key[len(start) :], self._decode(data)


def prefix_end(prefix: bytes) -> bytes:
    """The first key after all keys that begin with `prefix`."""
    stripped = prefix.rstrip(b"\xff")
    require(stripped != b"", "a prefix of 0xff bytes has no end")
    return stripped[:-1] + bytes([stripped[-1] + 1])


def _encode_part(part: KeyPart) -> bytes:
    if isinstance(part, bytes):
        return part
    if isinstance(part, int):
        return part.to_bytes(8, "big")
    return part.encode() + b"\x00"
