"""logs: what the nodes say, merged in the order of time."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader

import click

from devnet.commands.context import Target, pass_target
from devnet.limits import POLL_S
from devnet.netfile import NodeInfo
from devnet.network import Network

_COLOURS = ("cyan", "magenta", "green", "blue", "yellow", "red")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")


@dataclass(frozen=True, slots=True)
class _Line:
    time: str
    node: NodeInfo
    text: str


@click.command
@click.argument("nodes", metavar="[NODE]...", nargs=-1)
@click.option("-f", "--follow", is_flag=True, help="Go on with what they say from now on.")
@click.option("--grep", metavar="REGEX", help="Only lines that match.")
@click.option("--lines", default=200, show_default=True, help="Latest lines of each node.")
@pass_target
def logs(
    target: Target, *, nodes: tuple[str, ...], follow: bool, grep: str | None, lines: int
) -> None:
    """Show what the nodes wrote, merged in the order of time."""
    network = target.network()
    chosen = [network.node(name) for name in nodes] or list(network.nodes)
    try:
        wanted = re.compile(grep or "")
    except re.error as error:
        raise click.BadParameter(str(error), param_hint="--grep") from None
    tails = [Tail(network, node) for node in chosen]
    latest = [line for tail in tails for line in list(tail.read())[-lines:]]
    _print(latest, wanted)
    while follow:
        time.sleep(POLL_S)
        _print([line for tail in tails for line in tail.read()], wanted)


class Tail:
    """Reads a log as it grows. A log that does not exist yet is empty."""

    def __init__(self, network: Network, node: NodeInfo) -> None:
        self._path = network.directory.log_file(node.index)
        self._node = node
        self._stream: BufferedReader | None = None
        self._rest = b""
        self._time = ""

    def read(self) -> Iterator[_Line]:
        """The whole lines that are new. A line without a time, as in a traceback, keeps the one
        before it.
        """
        if self._stream is None:
            if not self._path.exists():
                return
            self._stream = self._path.open("rb")
        *whole, self._rest = (self._rest + self._stream.read()).split(b"\n")
        for raw in whole:
            text = click.unstyle(raw.decode(errors="replace"))
            found = _TIME.search(text)
            self._time = found.group() if found else self._time
            yield _Line(self._time, self._node, text)


def _print(lines: list[_Line], wanted: re.Pattern[str]) -> None:
    for line in sorted(lines, key=lambda line: line.time):
        if wanted.search(line.text):
            colour = _COLOURS[line.node.index % len(_COLOURS)]
            click.echo(f"{click.style(line.node.name, fg=colour)} {line.text}")
