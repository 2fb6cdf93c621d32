"""The blocks of one height that an engine holds, and what it knows of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from consensus.engine import Validate
from medquorum.block import Header, Result


@dataclass(frozen=True, slots=True)
class Block:
    """A header and a body that came with it. `source` is the peer that sent it; empty: ours."""

    hash: bytes
    header: Header
    body: bytes
    source: bytes


@dataclass(slots=True)
class HeldBlocks:
    """The blocks of one height that we have seen."""

    seen: dict[bytes, Block] = field(default_factory=dict)
    """By hash. A body in here may not belong to its header until the block is in `valid`."""

    valid: set[bytes] = field(default_factory=set)
    """Checked, with all transactions durable. A subset of `seen`."""

    logged: set[bytes] = field(default_factory=set)
    """Those that the log holds: records may name them."""

    validating: dict[bytes, Validate] = field(default_factory=dict)
    """What we asked Validate for and got no answer yet."""

    doubted: set[bytes] = field(default_factory=set)
    """Asked for first without and then with `certified`: a bad answer may be to the first."""

    results: dict[bytes, Result] = field(default_factory=dict)
    """What executing them gave."""

    executing: bytes = b""
    """The block whose execution runs; empty if none does."""
