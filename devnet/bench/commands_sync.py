"""The subcommand that measures how a node catches up."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

import click
import msgspec

from devnet.bench import sync
from devnet.bench.facts import machine
from devnet.bench.limits import measure
from devnet.bench.output import (
    emit,
    folder_option,
    json_option,
    manifest_for,
    payments_options,
    print_limits,
    print_machine,
    running,
)
from devnet.commands import show
from medquorum.quorum import EngineName


@click.command("sync")
@payments_options
@folder_option
@json_option
def sync_command(
    *,
    validators: int,
    engine: EngineName | None,
    seconds: float,
    window: int,
    accounts: int,
    folder: Path,
    as_json: bool,
) -> int:
    """How fast a node fetches a chain that it lacks, beside the rate at which it was made. Takes
    about a minute.

    Exit code 1 if fetching is less than five times as fast.
    """
    facts = machine()
    limits = measure(folder)
    manifest = manifest_for(engine, validators)
    manifest = msgspec.structs.replace(manifest, config={**manifest.config, **sync.CONFIG})
    with running(folder, manifest) as network:
        figures = asyncio.run(
            sync.run(network, limits, window=window, accounts=accounts, seconds=seconds)
        )
    if as_json:
        emit("sync", facts, limits, figures)
    else:
        print_machine(facts)
        print_limits(limits)
        _print(figures)
    return 1 if figures.full.ratio < sync.RATIO_MIN else 0


def _print(figures: sync.Figures) -> None:
    full, light = msgspec.to_builtins(figures.full), msgspec.to_builtins(figures.light)
    click.echo()
    show.table(("stretch", "full load", "light load"), [(n, full[n], light[n]) for n in full])
    whole = {
        name: value
        for name, value in msgspec.to_builtins(figures).items()
        if name not in ("full", "light")
    }
    click.echo()
    show.table(("figure", "value"), list(whole.items()))


COMMANDS: Final = (sync_command,)
