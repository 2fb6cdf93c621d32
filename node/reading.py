"""Reads of the ledger that see one height from first to last, while blocks keep coming."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from node.chain import Chain
from node.errors import RefusedError
from node.ledger.context import View
from node.ledger.overlay import StateView

R = TypeVar("R")
READ_ATTEMPTS: Final = 5
"""How often a read is begun again because a block was committed in the midst of it."""


def read_consistently(chain: Chain, read: Callable[[View], R]) -> tuple[int, R]:
    """What `read` finds, and the height whose state it saw: one height, from first to last.

    For a reader thread. The tip moves in the batch that changes the state, so if it is the same
    after the read as before, nothing was written in between. Raises RefusedError `not_ready` if
    blocks come too fast for that.
    """
    blocks = chain.blocks
    for _ in range(READ_ATTEMPTS):
        height = blocks.tip()
        header = blocks.header(height)
        time_ms = chain.genesis.time_ms if header is None else header.time_ms
        found = read(StateView(chain.state, height=height, time_ms=time_ms))
        if blocks.tip() == height:
            return height, found
    raise RefusedError("not_ready", "blocks are coming too fast; ask again", retry_after_ms=100)
