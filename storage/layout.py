"""THE table of key prefixes. One database holds all of it, so that one batch commits a height.

  prefix  rest of the key                 value                  meaning
  F                                       format (8)             the layout has this version
  G                                       genesis, canonical     the chain starts from this
  N                                       height (8)             the last committed height
  h       height                          Header                 the header of the height
  r       height                          Result                 what executing it gave
  c       height                          CommitCertificate      who signed both
  b       height                          raw transactions       what was executed, in order
  o       height                          TxOutcomes             what became of each
  e       height                          Events                 what happened, for subscribers
  i       block hash (32)                 height (8)             the block with this hash is there
  t       transaction id (32)             height (8), index (4)  the transaction is there
  v       height                          ValidatorSet           from this height on, these vote
  w       height                          Recovery               organisations named those who vote
  s       namespace, key                  value                  the key has this value now
  y       namespace, path, height         0, or 1 and a value    before this height, absent or this
  p       height, namespace, depth, path  page (pages.py)        this part of the tree since then
  m       height                          StateHead              the roots after the height
  x       height, chunk (4)               keys                   since then only history needs them
  d       height                          keys                   these it removed, by name
  z                                       height (8)             the oldest height that is whole
  k                                       height (8)             the oldest block that is whole

A database whose layout is older is brought forward before it is used (schema.py).

Heights are 8 bytes, all integers big-endian, so keys of one prefix are in the order of their
heights. A namespace is one byte of length and its name, so no namespace's keys lie within
another's. Pages start with their height: a commit then writes neighbours, which LevelDB stores
without merging them into older files.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from typing import Final

from medquorum.invariants import require
from storage.limits import NAMESPACES_PACKED_MAX, STATE_NAMESPACE_BYTES_MAX

FORMAT_VERSION: Final = 2
"""2: from the oldest whole height on, every removal has its keys under `d`. Software before that
wrote 1, at first without them.
"""

FORMAT: Final = b"F"
GENESIS: Final = b"G"
TIP: Final = b"N"
HEADER: Final = b"h"
RESULT: Final = b"r"
CERTIFICATE: Final = b"c"
TRANSACTIONS: Final = b"b"
OUTCOMES: Final = b"o"
EVENTS: Final = b"e"
HEADER_HASH: Final = b"i"
TX: Final = b"t"
VALIDATORS: Final = b"v"
RECOVERY: Final = b"w"
STATE: Final = b"s"
HISTORY: Final = b"y"
PAGE: Final = b"p"
STATE_HEAD: Final = b"m"
STALE: Final = b"x"
DELETED: Final = b"d"
STATE_OLDEST: Final = b"z"
BLOCKS_OLDEST: Final = b"k"

HEIGHT_BYTES: Final = 8
_HEIGHT: Final = Struct(">Q")
_PLACE: Final = Struct(">QI")


def pack_height(height: int) -> bytes:
    """Eight bytes that sort as the heights do."""
    return _HEIGHT.pack(height)


def unpack_height(data: bytes) -> int:
    """What `pack_height` packed."""
    return int.from_bytes(data, "big")


def at_height(prefix: bytes, height: int) -> bytes:
    """The key of `height` under `prefix`."""
    return prefix + _HEIGHT.pack(height)


def pack_place(height: int, index: int) -> bytes:
    """A height and a position in it, or a height and a chunk of it."""
    return _PLACE.pack(height, index)


def unpack_place(data: bytes) -> tuple[int, int]:
    """What `pack_place` packed."""
    height, index = _PLACE.unpack(data)
    return height, index


@lru_cache(maxsize=NAMESPACES_PACKED_MAX)
def pack_namespace(namespace: str) -> bytes:
    """A namespace inside a key: its length and its name."""
    name = namespace.encode("ascii")
    require(0 < len(name) <= STATE_NAMESPACE_BYTES_MAX, f"a namespace name of {len(name)} bytes")
    return bytes([len(name)]) + name
