"""`medquorum halt`: why a node votes no more, and the operator's decision that it may again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import click

from consensus.messages import LogRecord
from node.cli.exits import Ended, Exit
from node.cli.options import home_option, json_option
from node.cli.show import echo_json, fields
from node.errors import IdentityError
from node.halts import Standing, release, standing
from node.home import Home
from node.stores import decode_records
from storage.lock import DataDirLock
from storage.wal import WriteAheadLog


@click.group
def halt() -> None:
    """Look at the halt of a stopped node, and end it once its cause is gone."""


@halt.command("show")
@home_option
@json_option
def show(home: Path, as_json: bool) -> Exit:
    """Show why the node votes no more. It must not run; of one that runs, ask 'status'.

    Exit code 0: it has not halted; 1: it has.
    """
    with _opened(Home(home)) as (_, records):
        found = standing(records)
    if as_json:
        echo_json(_document(found))
    elif found.halt is None:
        click.echo("not halted")
    else:
        fields(
            (
                ("halted", found.halt.reason),
                ("height", found.halt.height),
                ("detail", found.halt.detail),
            )
        )
    return Exit.OK if found.halt is None else Exit.NO


@halt.command("release")
@home_option
@click.option(
    "--height", required=True, type=click.IntRange(1), help="The height that 'halt show' names."
)
@click.option(
    "--cause-removed",
    is_flag=True,
    help="You know why it halted, and the cause is gone.",
)
def release_command(home: Path, height: int, cause_removed: bool) -> None:
    """Let a halted node vote again, and sign another result of the block at HEIGHT than it did.

    Nobody can take this back. Before it, the operators compare what their nodes signed; the
    operators' guide says how, under 'Divergence'. On the software that made it halt, a node that is
    released halts again. What it said stays said: others may show that it signed two results.
    """
    if not cause_removed:
        raise Ended(
            Exit.CONFIG,
            "first find out why it halted, and remove the cause; then say so with --cause-removed",
        )
    with _opened(Home(home)) as (log, records):
        release(log, records, height)
    click.echo(f"Height {height} is released. Start the node.", err=True)


@contextmanager
def _opened(home: Home) -> Iterator[tuple[WriteAheadLog, tuple[LogRecord, ...]]]:
    """The log of a node that does not run."""
    if not home.consensus_log.exists():
        raise IdentityError(f"{home.consensus_log} is not there: this node has never run")
    with DataDirLock(home.data), closing(WriteAheadLog.open(home.consensus_log)) as log:
        yield log, decode_records(home, log)


def _document(found: Standing) -> dict[str, object]:
    halted = found.halt
    return {
        "halted": halted is not None,
        "reason": "" if halted is None else halted.reason,
        "height": 0 if halted is None else halted.height,
        "detail": "" if halted is None else halted.detail,
        "releasable": list(found.heights),
    }
