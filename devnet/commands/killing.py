"""kills: nodes of a network die at random moments, round after round."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from devnet.chaos.killed import Round, Series, as_json, as_text
from devnet.chaos.killing import KillPlan, kill_rounds
from devnet.commands.context import Target, engine_option, pass_target
from devnet.errors import StateError
from devnet.layout import NetworkDir
from devnet.network import Network
from medquorum.errors import ClientError
from medquorum.quorum import EngineName


@click.command
@click.option("--rounds", type=click.IntRange(1, 100_000), default=5, show_default=True)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=1,
    show_default=True,
    help="Draws who is killed when. The moment in a node's work is chance all the same.",
)
@engine_option
@click.option(
    "--rate",
    type=click.FloatRange(1, 10_000),
    default=100.0,
    show_default=True,
    help="Transactions a second, as far as the nodes take them.",
)
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the rounds there, for programs.",
)
@click.option("--keep", is_flag=True, help="Keep logs and data, also if every promise held.")
@pass_target
def kills(
    target: Target,
    *,
    rounds: int,
    seed: int,
    engine: EngineName | None,
    rate: float,
    json_file: Path | None,
    keep: bool,
) -> int:
    """Kill one, several or all of four nodes under load (SIGKILL), start them again, and look for
    what was lost; so many rounds on one network, a line for each.

    Exit code 1 if a promise was broken; logs and data of that network are kept.
    """
    plan = KillPlan(rounds, seed, engine or "pbft", rate=rate)
    # Never the directory of a network that somebody works with, whatever --network says.
    directory = NetworkDir(target.root / f"kills-{plan.engine}-{seed}")
    with directory.locked():
        if directory.net_file.exists():
            old = Network.open(directory)
            old.stop(old.nodes)
            old.destroy()
        try:
            series = asyncio.run(kill_rounds(directory, plan, say=_say))
        except ClientError as error:
            raise StateError(f"the undisturbed network does not work: {error}") from None
        if series.holds and not keep:
            Network.open(directory).destroy()
    _tell(series, json_file)
    if keep or not series.holds:
        click.echo(f"logs and data: {directory.path}")
    click.secho("holds" if series.holds else "BROKEN", fg="green" if series.holds else "red")
    return 0 if series.holds else 1


def _say(done: Round) -> None:
    click.echo(done.line())


def _tell(series: Series, json_file: Path | None) -> None:
    click.echo(f"\n{as_text(series)}")
    if json_file is not None:
        json_file.write_bytes(as_json(series))
