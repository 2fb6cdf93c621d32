"""load: transactions at a fixed rate, and what became of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import click

from devnet.commands import show
from devnet.commands.context import Target, pass_target
from devnet.errors import StateError
from devnet.load import Plan, run_load
from devnet.loadbook import Report
from devnet.signing import Kind, parse_mix
from medquorum.errors import ClientError

_LOST_SHOWN = 20


def _mix(_context: click.Context, _parameter: click.Parameter, value: str) -> Mapping[Kind, int]:
    try:
        return parse_mix(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command
@click.option("--rate", type=click.FloatRange(0.1, 20_000), default=50.0, show_default=True)
@click.option("--for", "seconds", type=click.FloatRange(0.1), default=10.0, show_default=True)
@click.option(
    "--mix",
    default="transfer=1",
    show_default=True,
    callback=_mix,
    metavar="KIND=WEIGHT,...",
    help="transfer moves money, account makes the state grow, anchor anchors a record of a patient,"
    " refused is executed and rejected.",
)
@click.option(
    "--accounts",
    type=click.IntRange(2, 10_000),
    default=16,
    show_default=True,
    help="Accounts of each hospital between which money moves.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@pass_target
def load(
    target: Target,
    *,
    rate: float,
    seconds: float,
    mix: Mapping[Kind, int],
    accounts: int,
    as_json: bool,
) -> int:
    """Send --rate transactions a second --for so many seconds, whether or not the network keeps up.

    Latencies count from when a transaction was due. Exit code 1 if an accepted transaction has no
    final state at the end.
    """
    plan = Plan(rate, seconds, mix, accounts)
    try:
        report = asyncio.run(run_load(target.network(), plan))
    except ClientError as error:
        raise StateError(f"the load could not be prepared: {error}") from None
    if as_json:
        show.as_json(report)
    else:
        _print(report)
    return 1 if report.lost else 0


def _print(report: Report) -> None:
    refused = ", ".join(f"{count} {code}" for code, count in report.refused.items()) or "none"
    for name, value in (
        ("sent", f"{report.sent} in {report.seconds:.1f} s"),
        ("accepted", report.accepted),
        ("refused", refused),
        ("unanswered", report.unanswered),
        ("committed", f"{report.committed} ({report.committed_per_second:.0f} a second)"),
        ("rejected", report.rejected),
        ("expired", report.expired),
        ("stranded", f"{report.stranded} sent again, for their node has been down since"),
        ("latency", f"p50 {report.p50_ms} ms, p95 {report.p95_ms} ms, p99 {report.p99_ms} ms"),
        ("", f"longest {report.max_ms} ms"),
        ("longest gap", f"{report.longest_gap_ms} ms without a block while some were waiting"),
        ("heights", f"{report.first_height} to {report.last_height}"),
        ("failovers", report.failovers),
    ):
        click.echo(f"{name:<12} {value}")
    if report.lost:
        click.secho(f"LOST {len(report.lost)} accepted transactions:", fg="red", err=True)
        for tx_id in report.lost[:_LOST_SHOWN]:
            click.echo(f"  {tx_id}", err=True)
    else:
        click.secho("every accepted transaction is final; none was lost", fg="green")
