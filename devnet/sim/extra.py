"""A ledger module that only some nodes have installed: what an upgrade activates at a height."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from medquorum.codec import U16, U53, Wire
from node.ledger.context import Context
from node.ledger.registry import module_code_hash
from node.ledger.tables import Table
from node.ledger.txtype import Module, TxType

NAME: Final = "extra"
CODE_HASH: Final = module_code_hash({"extra.py": sha256(b"the simulator's upgrade").digest()})


class Mark(Wire, frozen=True):
    """Count one more at a place."""

    place: U16


class Count(Wire, frozen=True):
    """How many marks there are, and the height of the last one."""

    marks: U53
    height: U53


COUNTS = Table(b"c", "counts", key=("place",), value=Count, meaning="marks by place")


def mark(body: Mark, ctx: Context) -> None:
    """Apply Mark."""
    row = COUNTS.get(ctx.state, body.place)
    COUNTS.put(ctx.state, Count(1 if row is None else row.marks + 1, ctx.height), body.place)


EXTRA: Final = Module(
    name=NAME,
    types=(TxType("extra.mark", 1, Mark, mark, "Count one more."),),
    tables=(COUNTS,),
)
