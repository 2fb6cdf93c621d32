"""Whether entries of a database have the form that the layout gives them: for databases that are
put together from what others hand in.

The rest of the code writes only such entries, and takes them apart without asking again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from storage import layout
from storage.limits import STALE_CHUNK_KEYS_MAX, STATE_KEY_BYTES_MAX, STATE_NAMESPACE_BYTES_MAX
from storage.pages import check_page, in_place

_HEIGHT: Final = layout.HEIGHT_BYTES
_PLACE: Final = _HEIGHT + 4
_HASH: Final = 32
_KEYS: Final = msgspec.msgpack.Decoder(list[bytes])

Check = Callable[[bytes, bytes, int], bool]
"""Of a key without its prefix, its value, and the last height."""


def wrong_with(key: bytes, value: bytes, tip: int) -> str | None:
    """What is wrong with an entry of a database whose last height is `tip`, or None.

    Its form only: that it has a meaning, and that it speaks of no height that was not reached.
    What is decoded when it is read is not decoded here.
    """
    check = _CHECKS.get(key[:1])
    if check is None:
        return "the layout has no such key"
    return None if check(key[1:], value, tip) else "it has not the form that the layout gives it"


def _any(rest: bytes, _value: bytes, _tip: int) -> bool:
    return not rest


def _a_height(rest: bytes, value: bytes, tip: int) -> bool:
    # The oldest block may be the next one.
    return not rest and len(value) == _HEIGHT and layout.unpack_height(value) <= tip + 1


def _at_height(rest: bytes, _value: bytes, tip: int) -> bool:
    return len(rest) == _HEIGHT and layout.unpack_height(rest) <= tip


def _voters(rest: bytes, _value: bytes, tip: int) -> bool:
    return len(rest) == _HEIGHT and 1 <= layout.unpack_height(rest) <= tip + 1


def _of_block(rest: bytes, value: bytes, tip: int) -> bool:
    return len(rest) == _HASH and len(value) == _HEIGHT and layout.unpack_height(value) <= tip


def _of_transaction(rest: bytes, value: bytes, tip: int) -> bool:
    return len(rest) == _HASH and len(value) == _PLACE and layout.unpack_place(value)[0] <= tip


def _state(rest: bytes, _value: bytes, _tip: int) -> bool:
    name = _name_end(rest)
    return name > 0 and 0 < len(rest) - name <= STATE_KEY_BYTES_MAX


def _history(rest: bytes, value: bytes, tip: int) -> bool:
    name = _name_end(rest)
    before = value == b"\x00" or value[:1] == b"\x01"
    return (
        name > 0
        and before
        and len(rest) == name + _HASH + _HEIGHT
        and layout.unpack_height(rest[-_HEIGHT:]) <= tip
    )


def _page(rest: bytes, value: bytes, tip: int) -> bool:
    name = _name_end(rest[_HEIGHT:])
    if not name or len(rest) <= _HEIGHT + name or layout.unpack_height(rest[:_HEIGHT]) > tip:
        return False
    depth, way = rest[_HEIGHT + name], rest[_HEIGHT + name + 1 :]
    try:
        page = check_page(value)
    except ValueError:
        return False
    return len(way) == (depth + 1) // 2 and in_place(page, depth, way)


def _deleted(rest: bytes, value: bytes, tip: int) -> bool:
    keys = _listed(value)
    return (
        _at_height(rest, value, tip)
        and keys is not None
        and all(key[:1] == layout.STATE and _state(key[1:], b"", tip) for key in keys)
    )


def _stale(rest: bytes, value: bytes, tip: int) -> bool:
    keys = _listed(value)
    if len(rest) != _PLACE or keys is None or len(keys) > STALE_CHUNK_KEYS_MAX:
        return False
    since, _ = layout.unpack_place(rest)
    return since <= tip and all(_is_history(key, since) for key in keys)


def _is_history(key: bytes, since: int) -> bool:
    """Whether a key may be listed as one that only heights before `since` need: it is deleted one
    day, and it must not be what the later ones stand on.
    """
    match key[:1]:
        case layout.PAGE | layout.STATE_HEAD:
            return len(key) > _HEIGHT and layout.unpack_height(key[1 : 1 + _HEIGHT]) < since
        case layout.HISTORY | layout.DELETED:
            return len(key) > _HEIGHT and layout.unpack_height(key[-_HEIGHT:]) == since
        case _:
            return False


def _listed(value: bytes) -> list[bytes] | None:
    try:
        return _KEYS.decode(value)
    except msgspec.DecodeError:
        return None


def _name_end(rest: bytes) -> int:
    """Where the namespace at the beginning ends, or 0 if there is none."""
    end = 1 + rest[0] if rest else 0
    fits = 1 < end <= min(len(rest), 1 + STATE_NAMESPACE_BYTES_MAX)
    return end if fits and rest[1:end].isascii() else 0


_CHECKS: Final[dict[bytes, Check]] = {
    layout.FORMAT: _any,
    layout.GENESIS: _any,
    layout.TIP: _a_height,
    layout.STATE_OLDEST: _a_height,
    layout.BLOCKS_OLDEST: _a_height,
    layout.HEADER: _at_height,
    layout.RESULT: _at_height,
    layout.CERTIFICATE: _at_height,
    layout.TRANSACTIONS: _at_height,
    layout.OUTCOMES: _at_height,
    layout.EVENTS: _at_height,
    layout.STATE_HEAD: _at_height,
    layout.HEADER_HASH: _of_block,
    layout.TX: _of_transaction,
    layout.VALIDATORS: _voters,
    layout.RECOVERY: _voters,
    layout.STATE: _state,
    layout.HISTORY: _history,
    layout.PAGE: _page,
    layout.STALE: _stale,
    layout.DELETED: _deleted,
}
