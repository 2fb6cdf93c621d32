"""`python -m devnet.bench`."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

import click
import msgspec

from devnet.bench import (
    commands,
    commands_load,
    commands_sync,
    commands_upkeep,
    consensus,
    snapshots,
    start,
)
from devnet.bench.e2e import Result, run
from devnet.bench.facts import machine
from devnet.bench.limits import measure
from devnet.bench.output import (
    emit,
    folder_option,
    json_option,
    manifest_for,
    print_limits,
    print_machine,
    running,
    validators_option,
)
from devnet.commands import show
from devnet.commands.context import engine_option
from devnet.errors import DevnetError
from medquorum.errors import ClientError
from medquorum.quorum import VALIDATORS_MAX, EngineName

_COST = ("engine us", "signatures us", "decoding us", "total us")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Measure this machine, and MedQuorum on it."""


@cli.command("limits")
@json_option
def limits_command(*, as_json: bool) -> None:
    """What single steps cost on one core: verify, sign, hash, decode, fsync, LevelDB, TLS, HTTP."""
    facts = machine()
    measured = measure(Path.cwd())
    if as_json:
        emit("limits", facts, measured, {})
    else:
        print_machine(facts)
        print_limits(measured)


@cli.command("e2e")
@validators_option(4)
@engine_option
@click.option(
    "--for",
    "seconds",
    type=click.FloatRange(1),
    default=60.0,
    show_default=True,
    help="Seconds at saturation, and at each of the loads below it.",
)
@click.option("--search", "search_s", type=click.FloatRange(1), default=3.0, show_default=True)
@click.option("--accounts", type=click.IntRange(2), default=500, show_default=True)
@folder_option
@json_option
def e2e_command(
    *,
    validators: int,
    engine: EngineName | None,
    seconds: float,
    search_s: float,
    accounts: int,
    folder: Path,
    as_json: bool,
) -> int:
    """Throughput, latency and cost of a whole network on this machine. Takes about ten minutes.

    Exit code 1 if an accepted transaction was lost.
    """
    facts = machine()
    limits = measure(folder)
    with running(folder, manifest_for(engine, validators)) as network:
        result = asyncio.run(
            run(network, limits, accounts=accounts, seconds=seconds, search_s=search_s)
        )
    if as_json:
        emit("e2e", facts, limits, result)
    else:
        print_machine(facts)
        print_limits(limits)
        _print(result)
    return 1 if result.lost else 0


@cli.command("consensus")
@click.option(
    "-n",
    "--validators",
    "sizes",
    type=click.IntRange(1, VALIDATORS_MAX),
    multiple=True,
    help="How many validators; more than once for more sizes. [4, 16, 50 and 100]",
)
@json_option
def consensus_command(*, sizes: tuple[int, ...], as_json: bool) -> int:
    """What agreement on one block costs a validator: engines alone, both of them. About a minute.

    Exit code 1 if it costs more than its budget: 5 ms with 16 validators, 15 ms with 50.
    """
    facts = machine()
    result = consensus.bench(measure(Path.cwd()), sizes or consensus.SIZES)
    if as_json:
        emit("consensus", facts, result.limits, result)
    else:
        print_limits(result.limits)
        click.echo()
        _print_consensus(result)
    return 1 if any(one.within_budget is False for one in result.figures) else 0


@cli.command("snapshots")
@click.option("--keys", type=click.IntRange(1_000), default=100_000, show_default=True)
@folder_option
@json_option
def snapshots_command(*, keys: int, folder: Path, as_json: bool) -> None:
    """What a snapshot of so many values costs, what commits feel of it, and how long a node takes
    to begin with it. About a minute for each 200,000.
    """
    facts = machine()
    with tempfile.TemporaryDirectory(dir=folder, prefix="bench-") as place:
        figures = snapshots.bench(Path(place), keys)
    if as_json:
        emit("snapshots", facts, None, figures)
    else:
        shown = msgspec.to_builtins(figures)
        show.table(("figure", "value"), [(name, str(shown[name])) for name in shown])


@cli.command("start")
@click.option("--blocks", type=click.IntRange(1), default=100_000, show_default=True)
@click.option("--txs", type=click.IntRange(0, 1_000), default=10, show_default=True)
@click.option("--starts", type=click.IntRange(1, 100), default=5, show_default=True)
@folder_option
@json_option
def start_command(*, blocks: int, txs: int, starts: int, folder: Path, as_json: bool) -> None:
    """How long a node with so many blocks takes until it serves, and what it holds in memory then.
    About two minutes for 100,000 blocks of ten transactions.
    """
    facts = machine()
    with tempfile.TemporaryDirectory(dir=folder, prefix="bench-") as place:
        figures = start.bench(Path(place), blocks, txs, starts)
    if as_json:
        emit("start", facts, None, figures)
    else:
        shown = msgspec.to_builtins(figures)
        show.table(("figure", "value"), [(name, str(shown[name])) for name in shown])


def _print_consensus(result: consensus.Bench) -> None:
    show.table(
        ("engine", "keys", "validators", "steps/s", *_COST, "messages/height", "expected"),
        [
            (
                *(one.engine, "real" if one.real_keys else "pretended", one.validators),
                *(f"{one.steps_per_second:.0f}", one.step_us, one.signature_us, one.decode_us),
                *(one.total_us, one.messages_per_height, one.messages_expected),
            )
            for one in result.figures
        ],
    )
    click.echo("\nMicroseconds of one height and validator.")
    for one in result.figures:
        if one.budget_us is not None:
            verdict = "within" if one.within_budget else "OVER"
            click.echo(
                f"{one.engine}, {one.validators} validators: {one.total_us / 1_000:.2f} ms,"
                f" {verdict} the budget of {one.budget_us / 1_000:g} ms"
            )


def _print(result: Result) -> None:
    saturation = result.saturation
    click.echo()
    show.table(
        ("under way", "committed/s", "CPU us/tx/validator"),
        [
            (step.window, step.committed_per_second, step.cpu_us_per_tx_per_validator)
            for step in result.search
        ],
    )
    click.echo()
    cost = saturation.per_tx
    show.table(
        ("figure", "value"),
        [
            ("engine", result.engine),
            ("validators", result.validators),
            (f"saturation, {saturation.seconds} s", f"{saturation.committed_per_second} tx/s"),
            ("signature bound", f"{result.signature_bound_per_second} tx/s"),
            ("ratio to it", result.ratio_to_bound),
            ("CPU per tx and validator", f"{saturation.cpu_us_per_tx_per_validator} us"),
            *(
                [
                    ("sent per tx and validator", f"{cost.wire_bytes} B"),
                    ("disk per tx and validator", f"{cost.disk_bytes} B"),
                    ("written per tx and validator", f"{cost.written_bytes} B"),
                ]
                if cost is not None
                else []
            ),
            ("memory of a validator", f"{saturation.memory_peak_mib} MiB"),
            ("before load", f"{result.memory_idle_mib} MiB"),
            *(
                (
                    f"latency at {load.percent:g} %, {load.report.rate:.0f} tx/s",
                    f"p50 {load.report.p50_ms} ms, p99 {load.report.p99_ms} ms"
                    + ("" if load.sustained else ", NOT SUSTAINED"),
                )
                for load in result.loads
            ),
            ("lost", result.lost),
        ],
    )


for _command in (
    *commands.COMMANDS,
    *commands_load.COMMANDS,
    *commands_sync.COMMANDS,
    *commands_upkeep.COMMANDS,
):
    cli.add_command(_command)


def _first(group: BaseExceptionGroup[Exception]) -> BaseException:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner


def main() -> None:
    """The entry point."""
    try:
        result = cli.main(prog_name="scripts/bench", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(64)
    except click.Abort:
        sys.exit(130)
    except DevnetError as error:
        click.secho(f"Error: {error}", fg="red", err=True)
        sys.exit(error.exit_code)
    except ClientError as error:
        click.secho(f"Error: the network did not answer as it should: {error}", fg="red", err=True)
        sys.exit(70)
    except ExceptionGroup as group:
        # Tasks that ran together fail together; what we expect to fail says all in one line.
        known, rest = group.split((DevnetError, ClientError))
        if known is None or rest is not None:
            raise
        click.secho(f"Error: {_first(known)}", fg="red", err=True)
        sys.exit(70)
    sys.exit(result if isinstance(result, int) else 0)


if __name__ == "__main__":
    main()
