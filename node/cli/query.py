"""`medquorum query`, `state` and `schema`: reading the ledger."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from node.cli.exits import Ended, Exit
from node.cli.fetch import get_json
from node.cli.options import (
    genesis_option,
    home_option,
    json_option,
    linearizable_option,
    rpc_option,
    timeout_option,
)
from node.cli.remote import connect, needed_genesis
from node.cli.show import echo_json, fields, table


class QueryLine(msgspec.Struct):
    """One query that a node answers."""

    name: str
    module: str
    summary: str


class Queries(msgspec.Struct):
    """All of them."""

    queries: list[QueryLine]


class TypeLine(msgspec.Struct):
    """One transaction type that a node knows."""

    type: str
    version: int
    summary: str = ""
    active: bool = True


@click.command
@click.argument("name", required=False)
@click.argument("params", nargs=-1, metavar="[KEY=VALUE]...")
@linearizable_option
@rpc_option
@timeout_option
def query(
    *, name: str | None, params: tuple[str, ...], linearizable: bool, rpc: str, timeout: float
) -> None:
    """Ask the query NAME, or list all queries. The answer is JSON, and the word of the node:
    'medquorum state get' is for what must be proven.
    """
    if name is None:
        found = get_json(Queries, rpc, "v1/query", timeout_s=timeout).queries
        table(("query", "module", "summary"), [(q.name, q.module, q.summary) for q in found])
        return
    given: dict[str, str | int | bytes] = {}
    for text in params:
        key, equals, value = text.partition("=")
        if equals == "":
            raise click.BadParameter(f"{text!r} is not KEY=VALUE", param_hint="KEY=VALUE")
        given[key] = value
    if linearizable:
        given["consistency"] = "linearizable"
    with connect(rpc, timeout_s=timeout) as client:
        answer = client.query(name, **given)
    echo_json({"height": answer.height, "result": answer.result})


@click.group
def state() -> None:
    """Read the ledger state with proof."""


@state.command("get")
@click.argument("namespace")
@click.argument("key", metavar="KEY_HEX")
@click.option("--height", type=int, help="At this height. Default: the node's newest.")
@click.option("--min-height", type=int, help="Refuse an answer of a lower height.")
@linearizable_option
@genesis_option
@home_option
@rpc_option
@timeout_option
@json_option
def state_get(
    *,
    namespace: str,
    key: str,
    height: int | None,
    min_height: int | None,
    linearizable: bool,
    genesis: Path | None,
    home: Path,
    rpc: str,
    timeout: float,
    as_json: bool,
) -> None:
    """Read one value, or its proven absence. The node is not trusted: its proof is checked against
    the certificates of the validators, and these against the genesis.
    """
    try:
        raw_key = bytes.fromhex(key)
    except ValueError:
        raise click.BadParameter(f"{key!r} is not hexadecimal", param_hint="KEY_HEX") from None
    founded = needed_genesis(genesis, home)
    with connect(rpc, founded, timeout_s=timeout) as client:
        found = client.state(
            namespace, raw_key, height=height, min_height=min_height, linearizable=linearizable
        )
    value = None if found.value is None else found.value.hex()
    if as_json:
        echo_json({"value": value, "height": found.height, "time_ms": found.time_ms})
    else:
        fields([("value", value or "absent, and proven to be"), ("height", found.height)])


@click.command
@click.argument("type", required=False, metavar="[TYPE]")
@click.option("--version", default=1, show_default=True, help="The version of TYPE.")
@rpc_option
@timeout_option
def schema(type: str | None, version: int, rpc: str, timeout: float) -> None:
    """Show how the body of TYPE is built (JSON Schema), or list all transaction types."""
    if type is None:
        found = get_json(list[TypeLine], rpc, "v1/schemas", timeout_s=timeout)
        table(
            ("type", "version", "active", "summary"),
            [(t.type, t.version, "yes" if t.active else "no", t.summary) for t in found],
        )
        return
    try:
        echo_json(
            get_json(dict[str, object], rpc, f"v1/schemas/{type}/{version}", timeout_s=timeout)
        )
    except Ended as error:
        raise Ended(Exit(error.code), f"{error.message} ('medquorum schema' lists all)") from None
