"""Printing: for people, coloured and boxed on a terminal only, or as JSON for programs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from medquorum.errors import VerificationError
from node.cli.exits import Exit


def echo_json(value: object) -> None:
    """One document, indented."""
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2))


def echo_json_line(value: object) -> None:
    """One document a line, for streams."""
    click.echo(msgspec.json.encode(value))


def fields(pairs: Sequence[tuple[str, object]]) -> None:
    """Names and values, aligned."""
    width = max((len(name) for name, _ in pairs), default=0)
    for name, value in pairs:
        label = click.style(name.ljust(width), dim=True)
        click.echo(f"{label}  {value}")


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Columns: a box on a terminal, else words between tabs that `cut` and `awk` can take apart."""
    if not sys.stdout.isatty():
        for row in (head, *rows):
            click.echo("\t".join(str(cell) for cell in row))
        return
    # Costs more to import than most commands take.
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    drawn = Table(*head)
    for row in rows:
        drawn.add_row(*(str(cell) for cell in row))
    Console().print(drawn)


def proves_nothing(error: VerificationError, *, as_json: bool) -> int:
    """Say why a file proves nothing; the exit code for that."""
    if as_json:
        echo_json({"proven": False, "reason": error.reason, "detail": error.detail})
    else:
        click.echo(f"This file proves nothing. {error.reason}: {error.detail}")
    return Exit.NO


def write_output(path: Path | None, data: bytes) -> None:
    """To a file that does not exist yet, or to the standard output if there is none."""
    if path is None or str(path) == "-":
        click.echo(data, nl=False)
        return
    with path.open("xb") as stream:
        stream.write(data)


def read_input(path: Path, size_max: int) -> bytes:
    """A file, or the standard input for "-". Reads no more than one byte beyond `size_max`."""
    if str(path) == "-":
        return sys.stdin.buffer.read(size_max + 1)
    with path.open("rb") as stream:
        return stream.read(size_max + 1)
