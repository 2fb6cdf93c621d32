"""test: histories over real processes, from scenarios or from seeds."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import click

from devnet.chaos.errors import ScenarioError
from devnet.chaos.generator import SECONDS, scenario_of
from devnet.chaos.run import make_history
from devnet.chaos.scenario import Scenario, dump, load_scenario
from devnet.chaos.verdict import Verdict, as_json, as_junit, as_summary, as_text
from devnet.commands.context import Target, pass_target
from devnet.errors import DevnetError
from devnet.layout import NetworkDir
from devnet.network import Network
from medquorum.errors import ClientError

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command
@click.argument("scenarios", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--random", "seed", type=click.IntRange(0), help="Draw a scenario from this seed.")
@click.option(
    "--count",
    type=click.IntRange(1, 10_000),
    default=1,
    show_default=True,
    help="With --random: so many scenarios, of this seed and those after it.",
)
@click.option(
    "--events",
    type=click.IntRange(1, 1_000_000),
    help="With --random: go on until so many kills, pauses and partitions have happened.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(5, 3_600),
    default=SECONDS,
    show_default=True,
    help="With --random: how long each disturbs. It is part of what is drawn.",
)
@click.option("--json", "json_file", type=_FILE, help="Write the verdicts there, for programs.")
@click.option("--junit", "junit_file", type=_FILE, help="Write them there as JUnit, for CI.")
@click.option("--keep", is_flag=True, help="Keep logs and data of histories that hold, too.")
@pass_target
def test(
    target: Target,
    *,
    scenarios: tuple[Path, ...],
    seed: int | None,
    count: int,
    events: int | None,
    seconds: float,
    json_file: Path | None,
    junit_file: Path | None,
    keep: bool,
) -> int:
    """Make a network of its own for each SCENARIO, disturb it under load, and judge its history.

    Exit code 1 if a promise was broken; logs and data of that network are kept.
    """
    chosen: Iterator[tuple[Scenario, str]] = (
        (load_scenario(file), str(file)) for file in scenarios
    )
    if seed is not None:
        seeds = islice(itertools.count(seed), None if events is not None else count)
        chosen = itertools.chain(chosen, (_drawn(one, seconds) for one in seeds))
    elif not scenarios:
        raise ScenarioError("name a scenario, or a seed with --random")
    verdicts: list[Verdict] = []
    for scenario, replay in chosen:
        verdicts.append(_make(target, scenario, replay, keep=keep))
        if json_file is not None:
            json_file.write_bytes(as_json(verdicts))
        if junit_file is not None:
            junit_file.write_text(as_junit(verdicts), "utf-8")
        if events is not None and sum(v.figures.disturbances for v in verdicts) >= events:
            break
    click.echo(f"\n{as_summary(verdicts)}")
    return 0 if all(verdict.holds for verdict in verdicts) else 1


def _drawn(seed: int, seconds: float) -> tuple[Scenario, str]:
    """The scenario of a seed, and how to have it again."""
    replay = f"--random {seed}" + (f" --seconds {seconds:g}" if seconds != SECONDS else "")
    return scenario_of(seed, seconds=seconds), replay


def _make(target: Target, scenario: Scenario, replay: str, *, keep: bool) -> Verdict:
    click.echo(f"\n== {scenario.name}\n\n{dump(scenario)}")
    click.echo(f"replay: scripts/devnet test {replay}\n")
    # Never the directory of a network that somebody works with, whatever --network says.
    directory = NetworkDir(target.root / f"history-{scenario.name}")
    with directory.locked():
        if directory.net_file.exists():
            old = Network.open(directory)
            old.stop(old.nodes)
            old.destroy()
        try:
            verdict = asyncio.run(make_history(directory, scenario, say=click.echo))
        except (DevnetError, ClientError) as error:
            # One network that did not even come up must not hide what the others show.
            verdict = Verdict(name=scenario.name, seed=scenario.seed)
            verdict.examine("the undisturbed network works", [str(error)])
        if verdict.holds and not keep:
            Network.open(directory).destroy()
        else:
            verdict.kept = str(directory.path)
    click.echo(as_text(verdict))
    click.secho("holds" if verdict.holds else "BROKEN", fg="green" if verdict.holds else "red")
    return verdict
