"""`medquorum verify`: whether the data of a stopped node is what its chain committed."""

from __future__ import annotations

import time
from pathlib import Path

import click

from node.cli.exits import Ended, Exit
from node.cli.options import home_option, json_option
from node.cli.progress import ProgressLine
from node.cli.show import echo_json
from node.cli.stopped import stopped_node
from node.home import Home
from node.modules import installed_registry
from node.repair.errors import UnrepairableError
from node.repair.verification import Extent, Verification
from storage.leveldb import LevelDB

_EPILOG = "Exit code 0: all of it is sound; 65: not, and what is damaged is named."


@click.command("verify", epilog=_EPILOG)
@home_option
@json_option
@click.option(
    "--deep",
    is_flag=True,
    help="Also check every value of the state, and execute all blocks that are here again.",
)
@click.option("--from", "first", type=click.IntRange(1), help="The first height to check.")
@click.option("--to", "last", type=click.IntRange(1), help="The last height to check.")
def verify(home: Path, deep: bool, first: int | None, last: int | None, as_json: bool) -> Exit:
    """Check the data of a stopped node again, from the genesis: blocks, certificates, signatures,
    receipts, state roots, indexes, sign state, logs and vault.

    Changes nothing. Blocks are checked on all cores.
    """
    if first is not None and last is not None and last < first:
        raise click.UsageError("--to lies below --from")
    began_s = time.monotonic()
    progress = ProgressLine()
    with stopped_node(Home(home)) as node:
        check = Verification(node.home, node.kv, node.genesis, installed_registry(), progress.show)
        try:
            seen = check.run(Extent(first, last, deep), LevelDB)
        except UnrepairableError as error:
            raise Ended(Exit.NO, error.detail) from None
        finally:
            progress.end()
    seconds = time.monotonic() - began_s
    report = check.report
    if as_json:
        echo_json(
            {
                "sound": report.damaged == 0,
                "from": seen[0],
                "to": seen[1],
                "deep": deep,
                "seconds": round(seconds, 3),
                "checked": dict(report.counts),
                "damaged": report.damaged,
                "findings": report.findings,
            }
        )
    else:
        for finding in report.findings:
            click.echo(finding.line())
        if report.damaged > len(report.findings):
            click.echo(f"and {report.damaged - len(report.findings)} more")
        counted = ", ".join(f"{count} {what}" for what, count in report.counts.items())
        click.echo(f"heights {seen[0]} to {seen[1]}: {counted}, in {seconds:.1f} s", err=True)
        click.echo("sound" if report.damaged == 0 else f"damaged: {report.damaged} findings")
    return Exit.OK if report.damaged == 0 else Exit.CORRUPT
