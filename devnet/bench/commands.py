"""The subcommands that measure stages, and that make a report of all."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

import click
import msgspec

from devnet.bench import report, stages, state, txtypes
from devnet.bench.facts import machine
from devnet.bench.limits import measure
from devnet.bench.output import (
    emit,
    folder_option,
    json_option,
    manifest_for,
    print_machine,
    validators_option,
)
from devnet.commands import show
from devnet.commands.context import engine_option
from devnet.signing import Kind
from medquorum.quorum import EngineName


@click.command("stages")
@validators_option(4)
@engine_option
@click.option(
    "--type",
    "kinds",
    type=click.Choice([kind.value for kind in Kind if kind is not Kind.REFUSED]),
    multiple=True,
    help="A kind of transactions; more than once for more of them. [all]",
)
@click.option("--accounts", type=click.IntRange(8), default=10_000, show_default=True)
@click.option("--block-txs", type=click.IntRange(1, 10_000), default=1_000, show_default=True)
@click.option("--blocks", type=click.IntRange(1), default=5, show_default=True)
@click.option(
    "--profile",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a profile of all threads there, for python -m pstats.",
)
@folder_option
@json_option
def stages_command(
    *,
    validators: int,
    engine: EngineName | None,
    kinds: tuple[str, ...],
    accounts: int,
    block_txs: int,
    blocks: int,
    profile: Path | None,
    folder: Path,
    as_json: bool,
) -> None:
    """What a transaction costs a validator, step by step, beside the budget of each step."""
    facts, limits = machine(), measure(folder)
    chosen = [(kind, count) for kind, count in stages.CASES if not kinds or kind.value in kinds]
    with tempfile.TemporaryDirectory(dir=folder, prefix="bench-") as place:
        result = stages.bench(
            Path(place),
            manifest_for(engine, validators),
            cases=chosen,
            accounts=accounts,
            block_txs=block_txs,
            blocks=blocks,
            profile=profile,
        )
    if as_json:
        emit("stages", facts, limits, result)
        return
    print_machine(facts)
    show.table(
        ("type", "operations", *stages.BUDGETS_US, "all us/tx", "us/operation"),
        [
            (
                *(case.kind.value, case.operations),
                *(getattr(case.row, name) for name in stages.BUDGETS_US),
                *(case.total_us, case.total_us_per_operation),
            )
            for case in result.cases
        ],
    )
    click.echo(
        f"\nBudgets where verifying takes {result.budget_verify_us:g} us (here {limits.verify_us}):"
    )
    show.table(
        ("", *stages.BUDGETS_US),
        [
            (word, *(f"{pair[place]:g}" for pair in stages.BUDGETS_US.values()))
            for place, word in enumerate(("must", "aim"))
        ],
    )


@click.command("state")
@click.option("--keys", type=click.IntRange(100), default=100_000, show_default=True)
@click.option("--compact", is_flag=True, help="Then compact the store, and tell what is left.")
@folder_option
@json_option
def state_command(*, keys: int, compact: bool, folder: Path, as_json: bool) -> None:
    """What a changed key of the ledger state costs, and a proof of one. About a minute for each
    1,000,000 keys.
    """
    facts = machine()
    with tempfile.TemporaryDirectory(dir=folder, prefix="bench-") as place:
        figures = state.bench(Path(place), keys, compact=compact)
    if as_json:
        emit("state", facts, None, figures)
        return
    print_machine(facts)
    shown = msgspec.to_builtins(figures)
    shown |= shown.pop("cost")
    show.table(("figure", "value"), [(name, str(value)) for name, value in shown.items()])


@click.command("types")
@click.option(
    "--type",
    "names",
    type=click.Choice(txtypes.names()),
    metavar="TYPE",
    multiple=True,
    help="A type of transactions; more than once for more of them. [all]",
)
@folder_option
@json_option
def types_command(*, names: tuple[str, ...], folder: Path, as_json: bool) -> None:
    """What a transaction of each type costs the ledger: processor time, bytes, keys changed."""
    facts, limits = machine(), measure(folder)
    result = txtypes.bench(folder, names)
    if as_json:
        emit("types", facts, limits, result)
        return
    print_machine(facts)
    show.table(
        (
            *("type", "execute us", "Merkle us", "keys", "state B", "transaction B"),
            *("signers", "events", "class"),
        ),
        [
            (
                *(one.name, one.execute_us, one.merkle_us, one.keys, one.state_bytes),
                *(one.tx_bytes, one.signers, one.events, one.traffic),
            )
            for one in result.types
        ],
    )


@click.command("report")
@click.argument(
    "files",
    nargs=-1,
    required=True,
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    metavar="FILE.json...",
)
@click.option(
    "--to",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("bench-report"),
    show_default=True,
    help="The folder of the report and its charts.",
)
def report_command(*, files: tuple[Path, ...], folder: Path) -> None:
    """Write Markdown and SVG from what the other commands printed with --json."""
    click.echo(report.write(files, folder))


COMMANDS: Final = (stages_command, state_command, types_command, report_command)
