"""Pages of a listing: how every list query is cut, and how it goes on."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Annotated, TypeVar

from msgspec import Meta

from node.ledger.limits import PAGE_MAX

PageLimit = Annotated[int, Meta(ge=1, le=PAGE_MAX)]
RowT = TypeVar("RowT")


def take(
    rows: Iterable[tuple[bytes, RowT]], limit: int
) -> tuple[tuple[tuple[bytes, RowT], ...], bytes]:
    """The first `limit` rows, and the cursor to continue after them: empty if they are the last.

    `rows` are those of Table.rows, whose `after` takes the cursor of the page before.
    """
    found = tuple(islice(rows, limit + 1))
    if len(found) <= limit:
        return found, b""
    return found[:limit], found[limit - 1][0]
