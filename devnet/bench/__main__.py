"""`python -m devnet.bench`."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

import click
import msgspec

from devnet.bench import consensus, snapshots
from devnet.bench.e2e import Result, bench_manifest, run
from devnet.bench.limits import Limits, measure
from devnet.commands import show
from devnet.commands.context import engine_option
from devnet.commands.running import bring_up
from devnet.errors import DevnetError
from devnet.layout import NetworkDir
from devnet.manifest import DEFAULT_FILE, load_manifest
from medquorum.errors import ClientError
from medquorum.quorum import VALIDATORS_MAX, EngineName

_COST = ("engine us", "signatures us", "decoding us", "total us")

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Measure this machine, and MedQuorum on it."""


@cli.command("limits")
@json_option
def limits_command(*, as_json: bool) -> None:
    """What single steps cost on one core: verify, sign, hash, decode, fsync."""
    measured = measure(Path.cwd())
    if as_json:
        show.as_json(measured)
    else:
        _print_limits(measured)


@cli.command("e2e")
@click.option("-n", "--validators", type=click.IntRange(1, 16), default=4, show_default=True)
@engine_option
@click.option("--for", "seconds", type=click.FloatRange(1), default=10.0, show_default=True)
@click.option("--search", "search_s", type=click.FloatRange(1), default=3.0, show_default=True)
@click.option("--accounts", type=click.IntRange(2), default=500, show_default=True)
@click.option(
    "--folder",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    default=Path.cwd,
    help="On whose disk the nodes write. [the current one]",
)
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
    """Throughput, latency and CPU time of a whole network on this machine. Takes about a minute.

    Exit code 1 if an accepted transaction was lost.
    """
    manifest = load_manifest(
        DEFAULT_FILE, name="bench", engine=engine, validators=validators, base_port=0
    )
    with tempfile.TemporaryDirectory(dir=folder, prefix="bench-") as place:
        network = bring_up(NetworkDir(Path(place) / "bench"), bench_manifest(manifest))
        try:
            result = asyncio.run(
                run(network, accounts=accounts, seconds=seconds, search_s=search_s)
            )
        finally:
            network.stop(network.nodes)
            network.close()
    if as_json:
        show.as_json(result)
    else:
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
    result = consensus.bench(measure(Path.cwd()), sizes or consensus.SIZES)
    if as_json:
        show.as_json(result)
    else:
        _print_limits(result.limits)
        click.echo()
        _print_consensus(result)
    return 1 if any(one.within_budget is False for one in result.figures) else 0


@cli.command("snapshots")
@click.option("--keys", type=click.IntRange(1_000), default=100_000, show_default=True)
@click.option(
    "--folder",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    default=Path.cwd,
    help="On whose disk the nodes write. [the current one]",
)
@json_option
def snapshots_command(*, keys: int, folder: Path, as_json: bool) -> None:
    """What a snapshot of so many values costs, what commits feel of it, and how long a node takes
    to begin with it. About a minute for each 200,000.
    """
    with tempfile.TemporaryDirectory(dir=folder, prefix="bench-") as place:
        figures = snapshots.bench(Path(place), keys)
    if as_json:
        show.as_json(figures)
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


def _print_limits(limits: Limits) -> None:
    show.table(
        ("step", "one core"),
        [
            ("verify an Ed25519 signature", f"{limits.verify_us} us"),
            ("sign", f"{limits.sign_us} us"),
            ("hash a transaction", f"{limits.hash_us} us"),
            (f"decode and check a transaction of {limits.tx_bytes} B", f"{limits.decode_us} us"),
            ("append 4 KiB and fsync", f"{limits.fsync_us} us"),
            ("cores", limits.cores),
        ],
    )


def _print(result: Result) -> None:
    _print_limits(result.limits)
    saturation, half = result.saturation, result.half_load
    click.echo()
    show.table(
        ("under way", "committed/s", "CPU us/tx/validator"),
        [
            (step.window, step.committed_per_second, step.cpu_us_per_tx_per_validator)
            for step in result.search
        ],
    )
    click.echo()
    show.table(
        ("figure", "value"),
        [
            ("engine", result.engine),
            ("validators", result.validators),
            (f"saturation, {saturation.seconds} s", f"{saturation.committed_per_second} tx/s"),
            ("CPU per tx and validator", f"{saturation.cpu_us_per_tx_per_validator} us"),
            ("signature bound", f"{result.signature_bound_per_second} tx/s"),
            ("ratio to it", result.ratio_to_bound),
            (f"latency at {half.rate:.0f} tx/s", f"p50 {half.p50_ms} ms, p99 {half.p99_ms} ms"),
            ("lost", result.lost),
        ],
    )


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
    sys.exit(result if isinstance(result, int) else 0)


if __name__ == "__main__":
    main()
