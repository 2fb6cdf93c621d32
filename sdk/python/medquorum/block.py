"""Headers, results and validator sets (docs/spec/block.md).

A header fixes what is executed: the transactions, their order, the block time, and the result of
the height before. A result says what came of it. The commit certificate of a height signs both
(certificate.py). The round in which a block was decided is in neither, so a block proposed again in
a later round keeps its hash.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Final, Literal

from msgspec import Meta

from medquorum.codec import (
    INT_MAX,
    NAME_CHARS_MAX,
    NAME_PATTERN,
    U16,
    U32,
    Bytes32,
    Hash,
    Height,
    Name,
    TimeMs,
    Wire,
    encode,
)
from medquorum.hashing import Kind, tagged_hash
from medquorum.keys import PublicKey
from medquorum.quorum import VALIDATORS_MAX

ATTRIBUTE_BYTES_MAX: Final = 64

_TOKEN: Final = re.compile(NAME_PATTERN)


class Validator(Wire):
    """A member that votes. `key` signs votes; `node_key` proves its daemon on the network; they are
    never the same key.
    """

    key: PublicKey
    node_key: PublicKey
    org: Bytes32


class ValidatorSet(Wire):
    """The validators of one height, in the order in which they take turns to propose and in which
    certificates list them.
    """

    validators: Annotated[tuple[Validator, ...], Meta(min_length=1, max_length=VALIDATORS_MAX)]

    def hash(self) -> bytes:
        """What headers and results name this set by."""
        return tagged_hash(Kind.VALIDATORS, encode(self))


class Header(Wire):
    """A block without its transactions. `time_ms` is the block time, in milliseconds since the Unix
    epoch, UTC.
    """

    version: Literal[1]
    chain_id: Hash
    height: Height
    time_ms: TimeMs
    proposer: PublicKey
    parent: Hash
    parent_result: Hash
    validators_hash: Hash
    txs_root: Hash
    tx_count: U32

    def hash(self) -> bytes:
        """The block hash."""
        return tagged_hash(Kind.HEADER, encode(self))


class Result(Wire):
    """What executing a block gave. `next_validators_hash` names the set that votes on the next
    height.
    """

    state_root: Hash
    receipts_root: Hash
    events_root: Hash
    next_validators_hash: Hash

    def hash(self) -> bytes:
        """What COMMIT votes sign beside the block hash, and what the next header names."""
        return tagged_hash(Kind.RESULT, encode(self))


class TxOutcome(Wire):
    """What became of one transaction: an entry under receipts_root.

    `code` is "ok" or an error code; `operation` is the position of the operation that failed, 0 if
    none did.
    """

    tx_id: Hash
    index: U32
    code: Annotated[str, Meta(min_length=2, max_length=32, pattern=r"^[A-Za-z_]+(?![\s\S])")]
    operation: U16


if TYPE_CHECKING:
    AttributeValue = bytes | int | str
else:
    # msgspec decodes no union of bytes and strings, so Attribute checks its value itself.
    AttributeValue = object


class Attribute(Wire):
    """One named fact of an event: an id or hash of at most 64 bytes, a number, or a token (Name).

    Free text does not fit; building or decoding such an attribute raises ValueError.
    """

    name: Name
    value: AttributeValue

    def __post_init__(self) -> None:
        value: object = self.value
        # The order is that of their frequency: a block has thousands of ids.
        if isinstance(value, bytes):
            fits = len(value) <= ATTRIBUTE_BYTES_MAX
        elif isinstance(value, str):
            fits = len(value) <= NAME_CHARS_MAX and _TOKEN.match(value) is not None
        elif isinstance(value, int):
            fits = 0 <= value <= INT_MAX and not isinstance(value, bool)
        else:
            fits = False
        if not fits:
            raise ValueError("an attribute is at most 64 bytes, a number below 2^53, or a token")


class Event(Wire):
    """Something that happened, for subscribers: an entry under events_root, in the order of
    execution.

    `tx` is the position of the transaction in its block; due work at the end of a block has tx =
    tx_count.
    """

    tx: U32
    operation: U16
    type: Name
    attributes: Annotated[tuple[Attribute, ...], Meta(max_length=16)]
