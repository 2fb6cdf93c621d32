"""The command line of the simulator."""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Final

from devnet.model.cli import exhaustive, twins
from devnet.sim.mutants import CATALOGUE, HEADER, hunt_all, row
from devnet.sim.options import draw
from devnet.sim.run import Outcome, Run
from devnet.sim.world import Violation
from medquorum.invariants import InvariantBroken
from medquorum.quorum import EngineName

FAILED: Final = 1


@dataclass(frozen=True, slots=True)
class Report:
    """One run as it is shown."""

    seed: int
    outcome: Outcome | None
    problem: str
    options: str
    tail: tuple[str, ...]
    seconds: float


def main(arguments: Sequence[str]) -> int:
    """Parse, run, print; the exit code."""
    options = _parser().parse_args(arguments)
    if options.exhaustive:
        return exhaustive(deep=options.deep, jobs=options.jobs)
    if options.twins:
        start = options.start or 0
        return twins(rounds=options.rounds, sample=options.sample, seed=start, jobs=options.jobs)
    if options.mutants:
        return _mutants(options.engine, options.start or 0, options.series, options.jobs)
    if options.seed is not None:
        return _one(options.seed, options.engine, options.trace)
    first = time.time_ns() % 1_000_000_000 if options.start is None else options.start
    return _many(range(first, first + options.seeds), options.engine, options.jobs)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/simulate",
        description="Play whole networks of nodes in virtual time. A seed decides everything.",
        epilog="See docs/simulator.md for what is simulated and what is checked.",
    )
    parser.add_argument("--seeds", type=int, default=100, metavar="N", help="how many seeds")
    parser.add_argument("--jobs", type=int, default=1, metavar="J", help="processes side by side")
    parser.add_argument("--from", type=int, dest="start", metavar="SEED", help="the first seed")
    parser.add_argument("--engine", choices=("pbft", "raft"), default="pbft")
    parser.add_argument("--seed", type=int, metavar="S", help="play one seed")
    parser.add_argument("--trace", action="store_true", help="with --seed: show what happens")
    parser.add_argument(
        "--mutants", action="store_true", help="how many seeds it takes to find each known bug"
    )
    parser.add_argument(
        "--series", type=int, default=1, metavar="K", help="with --mutants: how often to ask"
    )
    _add_searches(parser)
    return parser


def _add_searches(parser: argparse.ArgumentParser) -> None:
    """What is not drawn from a seed: engines alone, in every order of events (devnet/model)."""
    parser.add_argument(
        "--exhaustive", action="store_true", help="engines alone: every interleaving within a scope"
    )
    parser.add_argument("--deep", action="store_true", help="with --exhaustive: larger scopes, too")
    parser.add_argument(
        "--twins", action="store_true", help="one validator twice: all partitions and leaders"
    )
    parser.add_argument("--rounds", type=int, default=3, metavar="K", help="with --twins")
    parser.add_argument(
        "--sample",
        type=int,
        default=0,
        metavar="N",
        help="with --twins: only so many",
    )


def _mutants(engine: EngineName, first: int, series: int, jobs: int) -> int:
    _print(HEADER)
    missed = 0
    for caught in hunt_all(engine, first, series, jobs):
        _print(row(caught))
        missed += any(one.seeds == 0 for one in caught)
    _print(f"{len(CATALOGUE[engine])} mutants, {missed} not caught in every series")
    return FAILED if missed > 0 else 0


def _one(seed: int, engine: EngineName, trace: bool) -> int:
    show = _print if trace else None
    _print(f"seed {seed}: {draw(seed, engine).line()}")
    try:
        outcome = Run(seed, engine, show=show).play()
    except (Violation, InvariantBroken):
        traceback.print_exc()
        return FAILED
    _print(f"trace {outcome.trace_hash}")
    _print(_summary(outcome))
    return 0


def _many(seeds: Sequence[int], engine: EngineName, jobs: int) -> int:
    started, heights, frames, events, votes = time.monotonic(), 0, 0, 0, 0
    failures: list[int] = []
    for report in play_all(seeds, engine, jobs):
        _print(line(report, engine))
        if report.outcome is None:
            failures.append(report.seed)
        else:
            heights += report.outcome.heights
            frames += report.outcome.frames
            events += report.outcome.events
            votes += report.outcome.votes
    seconds = time.monotonic() - started
    _print(
        f"{len(seeds)} seeds from {seeds[0]}, {len(failures)} violations, {heights} heights,"
        f" {votes} votes, {frames} frames, {events} events in {seconds:.0f} s"
        f" ({heights / seconds * 60 / jobs:.0f} heights a minute and process)"
    )
    return FAILED if failures else 0


def play_all(seeds: Iterable[int], engine: EngineName, jobs: int) -> Iterator[Report]:
    """Play seeds, in their order, on so many processes."""
    if jobs == 1:
        for seed in seeds:
            yield report_of(seed, engine)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        listed = list(seeds)
        yield from pool.map(report_of, listed, [engine] * len(listed))


def report_of(seed: int, engine: EngineName) -> Report:
    """Play one seed and say how it went."""
    started = time.monotonic()
    run = Run(seed, engine)
    outcome: Outcome | None = None
    problem = ""
    tail: tuple[str, ...] = ()
    try:
        outcome = run.play()
    except (Violation, InvariantBroken) as found:
        problem, tail = str(found), tuple(run.world.recent)
    return Report(seed, outcome, problem, run.options.line(), tail, time.monotonic() - started)


def line(report: Report, engine: EngineName) -> str:
    """A run in one line; a failed one with the command that plays it again."""
    if report.outcome is None:
        return (
            f"seed {report.seed} FAILED {report.problem}\n    {report.options}\n"
            f"    scripts/simulate --engine {engine} --seed {report.seed} --trace"
        )
    return (
        f"seed {report.seed} ok {_summary(report.outcome)} {report.seconds:.1f}s | {report.options}"
    )


def _summary(outcome: Outcome) -> str:
    return (
        f"heights={outcome.heights} rounds={outcome.rounds} txs={outcome.transactions}"
        f" votes={outcome.votes} evidence={outcome.evidence} stops={outcome.stops}"
        f" healed={outcome.healed_ms:.0f}ms"
    )


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
