"""Printing."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from devnet.health import NetworkHealth, round_word, tolerance
from devnet.network import Network
from devnet.processes import RunState


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Columns as wide as they must be."""
    cells = [[str(cell) for cell in row] for row in [head, *rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    for number, row in enumerate(cells):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo(click.style(line.rstrip(), dim=True) if number == 0 else line.rstrip())


def as_json(value: object) -> None:
    """For programs."""
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def short(path: Path) -> str:
    """A path as one would type it here."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def endpoints(network: Network) -> None:
    """Where everything is."""
    click.echo(f"chain {network.chain_id}   ({tolerance(network.engine, len(network.validators))})")
    table(
        ("node", "organisation", "API", "health, metrics", "members", "vault", "log"),
        [
            (
                node.name,
                node.org,
                node.url,
                node.ops_url,
                f"127.0.0.1:{node.p2p}",
                "yes" if node.vault else "no",
                short(network.directory.log_file(node.index)),
            )
            for node in network.nodes
        ],
    )


def suggestions(network: Network) -> None:
    """What to type next."""
    first, last = network.nodes[0], network.nodes[-1]
    devnet = "./scripts/devnet"
    if network.directory.path.name != "default":
        devnet = f"{devnet} --network {network.directory.path.name}"
    click.echo("\nTry:")
    for command, what in (
        (f"curl -s {first.url}/v1/status | python3 -m json.tool", "the node at a glance"),
        (f"curl -s {first.url}/v1/blocks/latest", "the latest certified block"),
        (f"curl -sN {first.url}/v1/events/stream", "events, as they happen"),
        (f"{devnet} demo", "the whole story, with receipts"),
        (f"{devnet} load --rate 50 --for 10", "transactions, and where they went"),
        (f"{devnet} kill {last.name}", "one validator fails; the others go on"),
        (f"{devnet} restart {last.name}", "it catches up"),
        (f"{devnet} logs -f {first.name}", "what it says"),
    ):
        click.echo(f"  {command:<64} # {what}")


def health(seen: NetworkHealth) -> None:
    """The nodes, one a line."""
    rows: list[list[object]] = []
    for node in seen.nodes:
        status, consensus = node.status, node.consensus
        state = node.state.value
        if node.state is RunState.RUNNING:
            state = "ready" if node.ready else "not ready"
        row: list[object] = [node.node.name, node.node.org, node.pid or "-", state]
        row += ["-"] if status is None else [status.height]
        if consensus is None:
            row += ["-", "-"]
        else:
            row += [consensus.round, seen.name_of(consensus.proposer)]
        if status is None:
            row += ["-", "-", "-", node.problem]
        else:
            row += [status.connected, status.mempool.txs, status.version]
            row.append(status.halted or node.problem)
        rows.append(row)
    attempt = round_word(seen.engine)
    head = ("node", "organisation", "pid", "state", "height", attempt, "leader")
    table((*head, "peers", "pending", "version", ""), rows)
