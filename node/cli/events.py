"""`medquorum events`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

import click
import msgspec

from medquorum.answers import LedgerEvent
from node.cli.fetch import get_json
from node.cli.options import json_option, rpc_option
from node.cli.remote import connect
from node.cli.show import echo_json_line

_PAGE: Final = 100
_BEGINNING: Final = "0-0-0"


class Page(msgspec.Struct):
    """A page of events; `next` goes on after it."""

    events: list[LedgerEvent]
    next: str


@click.command
@click.option("--follow", "-f", is_flag=True, help="Then wait for those that happen, for ever.")
@click.option("--after", metavar="CURSOR", help="Begin after this one. Default: the first of all.")
@click.option("--type", "types", multiple=True, help="Only of this type. May be repeated.")
@click.option("--limit", type=click.IntRange(min=1), help="Stop after so many.")
@rpc_option
@json_option
def events(
    *,
    follow: bool,
    after: str | None,
    types: tuple[str, ...],
    limit: int | None,
    rpc: str,
    as_json: bool,
) -> None:
    """Print events, one a line. Each begins with its cursor, from which --after goes on.

    A connection that breaks is made again where it was; an event may then come twice, with the same
    cursor.
    """
    start = after or _BEGINNING
    found = _followed(rpc, start, types) if follow else _paged(rpc, start, types)
    for event in islice(found, limit):
        _print(event, as_json)


def _paged(rpc: str, after: str, types: tuple[str, ...]) -> Iterator[LedgerEvent]:
    """All events so far. A page may be empty and still not be the last: then its cursor moved."""
    query = {"limit": str(_PAGE)} | ({"types": ",".join(types)} if types else {})
    while True:
        page = get_json(Page, rpc, "v1/events", {"after": after} | query)
        yield from page.events
        if page.next == after:
            return
        after = page.next


def _followed(rpc: str, after: str, types: tuple[str, ...]) -> Iterator[LedgerEvent]:
    with connect(rpc) as client:
        yield from client.events(after=after, types=types)


def _print(event: LedgerEvent, as_json: bool) -> None:
    if as_json:
        echo_json_line(event)
        return
    details = " ".join(f"{name}={value}" for name, value in event.attributes.items())
    click.echo(f"{event.cursor}  {event.type}  {details}".rstrip())
