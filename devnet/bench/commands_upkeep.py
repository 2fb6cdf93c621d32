"""The subcommand that measures what operators do with a chain."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Final

import click

from devnet.bench import upkeep
from devnet.bench.facts import machine
from devnet.bench.limits import measure
from devnet.bench.output import (
    emit,
    folder_option,
    json_option,
    manifest_for,
    payments_options,
    print_machine,
    running,
)
from devnet.commands import show
from medquorum.quorum import EngineName


@click.command("upkeep")
@payments_options
@folder_option
@json_option
def upkeep_command(
    *,
    validators: int,
    engine: EngineName | None,
    seconds: float,
    window: int,
    accounts: int,
    folder: Path,
    as_json: bool,
) -> None:
    """How long backup, restore, verify, prune, archive and compact take on a chain of payments.
    Takes about three minutes.
    """
    facts = machine()
    limits = measure(folder)
    with tempfile.TemporaryDirectory(dir=folder, prefix="backups-") as place:
        backups = Path(place).resolve()
        manifest = upkeep.upkeep_manifest(manifest_for(engine, validators), backups)
        with running(folder, manifest) as network:
            figures = asyncio.run(
                upkeep.run(
                    network, limits, backups, window=window, accounts=accounts, seconds=seconds
                )
            )
    if as_json:
        emit("upkeep", facts, limits, figures)
    else:
        print_machine(facts)
        _print(figures)


def _print(figures: upkeep.Figures) -> None:
    click.echo(
        f"{figures.heights} heights, {figures.txs} transactions, "
        f"{figures.database_bytes} bytes; {figures.pruned_txs} transactions pruned"
    )
    show.table(
        ("verb", "seconds", "CPU seconds", "transactions/s"),
        [
            (verb.name, verb.seconds, verb.cpu_s, verb.txs_per_second or "")
            for verb in figures.verbs
        ],
    )
    for name in ("full_load", "beside_backup"):
        click.echo(f"{name}: {getattr(figures, name).committed_per_second} transactions/s")


COMMANDS: Final = (upkeep_command,)
