"""The subcommands that put real networks under load for other questions than how much."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

import click

from devnet.bench import overload, read, scale, soak
from devnet.bench.facts import machine
from devnet.bench.limits import measure
from devnet.bench.output import (
    emit,
    folder_option,
    json_option,
    manifest_for,
    print_machine,
    running,
    validators_option,
)
from devnet.commands import show
from devnet.commands.context import engine_option
from devnet.loadbook import Report
from medquorum.quorum import EngineName

search_option = click.option(
    "--search",
    "search_s",
    type=click.FloatRange(1),
    default=3.0,
    show_default=True,
    help="Seconds for each step of the search for saturation.",
)
accounts_option = click.option("--accounts", type=click.IntRange(2), default=500, show_default=True)


@click.command("overload")
@validators_option(4)
@engine_option
@click.option("--for", "seconds", type=click.FloatRange(1), default=20.0, show_default=True)
@search_option
@accounts_option
@folder_option
@json_option
def overload_command(
    *,
    validators: int,
    engine: EngineName | None,
    seconds: float,
    search_s: float,
    accounts: int,
    folder: Path,
    as_json: bool,
) -> int:
    """Twice the saturation rate, and one organisation that floods beside another that does not.

    Exit code 1 if an accepted transaction was lost.
    """
    facts, limits = machine(), measure(folder)
    with running(folder, manifest_for(engine, validators)) as network:
        result = asyncio.run(
            overload.run(network, limits, accounts=accounts, seconds=seconds, search_s=search_s)
        )
    if as_json:
        emit("overload", facts, limits, result)
    else:
        print_machine(facts)
        _print_overload(result)
    return 1 if result.lost else 0


def _print_overload(result: overload.Result) -> None:
    over, fairness = result.overload.report, result.fairness
    show.table(
        ("figure", "value"),
        [
            ("saturation", f"{result.saturation.committed_per_second} tx/s"),
            ("offered", f"{result.offered_per_second} tx/s"),
            (
                "committed",
                f"{result.committed_per_second} tx/s, {result.share_of_saturation:.0%} of it",
            ),
            ("latency of the accepted", _latency(over)),
            ("refused early, told when to come back", result.refusals.early),
            ("refused otherwise", result.refusals.other),
            ("memory of a validator", f"{result.memory_peak_mib} MiB"),
            ("rounds that did not decide", result.overload.round_changes),
            ("another's latency, idle", _latency(fairness.idle.report)),
            ("another's latency, flooded", _latency(fairness.flooded.report)),
            ("ratio of p50, of p99", f"{fairness.p50_ratio}, {fairness.p99_ratio}"),
            ("lost", result.lost),
        ],
    )


def _latency(report: Report) -> str:
    return f"p50 {report.p50_ms} ms, p99 {report.p99_ms} ms"


def _tell_minute(minute: soak.Minute) -> None:
    click.echo(
        f"minute {minute.number}: {minute.committed_per_second} tx/s, p50 {minute.p50_ms} ms,"
        f" p99 {minute.p99_ms} ms, {minute.cpu_us_per_tx} us a tx, {minute.check_us} us a signature"
        f" check, {minute.anonymous_mib} of {minute.memory_mib} MiB anonymous, disk"
        f" {minute.disk_mib} MiB, {minute.pending} waiting, {minute.round_changes} rounds failed",
        err=True,
    )


@click.command("soak")
@validators_option(4)
@engine_option
@click.option("--minutes", type=click.IntRange(1), default=60, show_default=True)
@click.option(
    "--minute-s",
    type=click.FloatRange(1),
    default=60.0,
    show_default=True,
    help="How long a minute is, for a short trial.",
)
@click.option(
    "--load-percent",
    type=click.FloatRange(1, 100),
    default=70.0,
    show_default=True,
    help="Of saturation, which is searched for first.",
)
@search_option
@accounts_option
@folder_option
@json_option
def soak_command(
    *,
    validators: int,
    engine: EngineName | None,
    minutes: int,
    minute_s: float,
    load_percent: float,
    search_s: float,
    accounts: int,
    folder: Path,
    as_json: bool,
) -> int:
    """A long time at a share of saturation: drift of throughput, latency, memory and disk.

    The first third is compared with the last one. Each minute is told on stderr when it is over.
    Exit code 1 if an accepted transaction was lost.
    """
    facts, limits = machine(), measure(folder)
    with running(folder, manifest_for(engine, validators)) as network:
        result = asyncio.run(
            soak.run(
                network,
                limits,
                accounts=accounts,
                intervals=minutes,
                interval_s=minute_s,
                percent=load_percent,
                search_s=search_s,
                told=_tell_minute,
            )
        )
    if as_json:
        emit("soak", facts, limits, result)
        return 1 if result.lost else 0
    print_machine(facts)
    click.echo(f"{result.rate} tx/s, {result.load_percent:g} % of {result.saturation_per_second}")
    show.table(
        (
            *("minute", "committed/s", "p50 ms", "p99 ms", "CPU us", "check us"),
            *("anonymous MiB", "MiB", "disk MiB", "waiting", "rounds"),
        ),
        [
            (
                *(one.number, one.committed_per_second, one.p50_ms, one.p99_ms),
                *(one.cpu_us_per_tx, one.check_us),
                *(one.anonymous_mib, one.memory_mib, one.disk_mib, one.pending, one.round_changes),
            )
            for one in result.minutes
        ],
    )
    show.table(
        ("quantity", "first third", "last third", "change", ""),
        [
            (drift.what, drift.first, drift.last, f"{drift.percent:+} %", "WORSE" * drift.worse)
            for drift in result.drifts
        ],
    )
    grew = ", queues grew" if result.queues_grew else ""
    click.echo(f"drift beyond 5 %: {'YES' if result.drifted else 'no'}{grew}; lost {result.lost}")
    return 1 if result.lost else 0


@click.command("read")
@validators_option(1)
@engine_option
@click.option("--connections", type=click.IntRange(1, 512), default=16, show_default=True)
@click.option("--for", "seconds", type=click.FloatRange(0.1), default=10.0, show_default=True)
@accounts_option
@folder_option
@json_option
def read_command(
    *,
    validators: int,
    engine: EngineName | None,
    connections: int,
    seconds: float,
    accounts: int,
    folder: Path,
    as_json: bool,
) -> int:
    """Queries, states of transactions, proofs and receipts a second from one node. What proves
    something is verified, every answer.

    Exit code 1 if a read failed.
    """
    facts, limits = machine(), measure(folder)
    with running(folder, manifest_for(engine, validators)) as network:
        result = asyncio.run(
            read.run(network, limits, accounts=accounts, connections=connections, seconds=seconds)
        )
    if as_json:
        emit("read", facts, limits, result)
    else:
        print_machine(facts)
        show.table(
            (
                *("read", "per second", "p50 ms", "p99 ms", "node us", "node", "client"),
                *("bytes", "verified", "us", "failed"),
            ),
            [
                (
                    *(one.what, one.per_second, one.p50_ms, one.p99_ms, one.node_cpu_us),
                    *(f"{one.node_cpu_share:.0%}", f"{one.client_cpu_share:.0%}"),
                    *(one.answer_bytes, one.verified, one.verify_us, one.failed),
                )
                for one in result.figures
            ],
        )
    return 1 if any(one.failed for one in result.figures) else 0


@click.command("scale")
@engine_option
@click.option("--validators", type=click.IntRange(1, 16), multiple=True, help="[4, 7, 10, 16]")
@click.option("--tx-bytes", type=click.IntRange(200, 64_000), multiple=True, help="[200 to 64,000]")
@click.option("--operations", type=click.IntRange(1, 256), multiple=True, help="[1, 10, 100]")
@click.option("--keys", type=click.IntRange(8), multiple=True, help="[10,000 and 100,000]")
@click.option("--heights", type=click.IntRange(1), multiple=True, help="[100 and 2,000]")
@click.option("--for", "seconds", type=click.FloatRange(1), default=5.0, show_default=True)
@click.option("--network-size", type=click.IntRange(1, 16), default=4, show_default=True)
@folder_option
@json_option
def scale_command(
    *,
    engine: EngineName | None,
    seconds: float,
    network_size: int,
    folder: Path,
    as_json: bool,
    **given: tuple[int, ...],
) -> None:
    """What a transaction costs with more validators, larger transactions, more operations, a larger
    state, a longer chain. Options say how much, each more than once; with none, all of it is
    varied, else what is named.
    """
    named = {axis: given[axis.replace("-", "_")] for axis in scale.AXES}
    axes = {axis: values for axis, values in named.items() if values}
    facts, limits = machine(), measure(folder)
    result = scale.bench(
        folder,
        lambda validators: manifest_for(engine, validators),
        limits,
        axes or scale.AXES,
        scale.Settings(seconds=seconds, network_size=network_size),
    )
    if as_json:
        emit("scale", facts, limits, result)
        return
    print_machine(facts)
    show.table(
        ("axis", "value", "validators", "operations", "bytes", "tx/s", "us/tx", "us/op", "ratio"),
        [
            (
                *(row.axis, row.value, row.validators, row.operations, row.tx_bytes),
                *("" if value is None else value for value in (row.committed_per_second,)),
                *(row.cpu_us_per_tx_per_validator, row.cpu_us_per_operation_per_validator),
                row.ratio_to_first,
            )
            for row in result.rows
        ],
    )


COMMANDS: Final = (overload_command, soak_command, read_command, scale_command)
