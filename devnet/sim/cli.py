"""The command line of the simulator."""

from __future__ import annotations

import argparse
import signal
import sys
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Final

from devnet.model.cli import exhaustive, twins
from devnet.sim.mutants import CATALOGUE, HEADER, hunt_all, row
from devnet.sim.options import draw
from devnet.sim.run import Outcome, Run
from devnet.sim.tally import Report, Tally
from devnet.sim.world import Violation
from medquorum.invariants import InvariantBroken
from medquorum.quorum import EngineName

FAILED: Final = 1
INTERRUPTED: Final = 130
"""What shells expect of a program that Ctrl-C ended."""


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
        return _one(options.seed, options.engine, options.length, options.trace)
    first = time.time_ns() % 1_000_000_000 if options.start is None else options.start
    seeds = range(first, first + options.seeds)
    return _many(seeds, options.engine, options.length, options.jobs, options.quiet)


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
    parser.add_argument(
        "--quiet", action="store_true", help="show failures only, and now and then how far it is"
    )
    parser.add_argument(
        "--length",
        type=float,
        metavar="L",
        help="how much of its campaign's time under faults each seed takes; else the seed draws it,"
        " mostly below 0.5",
    )
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


def _one(seed: int, engine: EngineName, length: float | None, trace: bool) -> int:
    show = _print if trace else None
    options = draw(seed, engine, length)
    _print(f"seed {seed}: {options.line()}")
    try:
        outcome = Run(seed, engine, options=options, show=show).play()
    except (Violation, InvariantBroken):
        traceback.print_exc()
        return FAILED
    _print(f"trace {outcome.trace_hash}")
    _print(_summary(outcome))
    return 0


def _many(
    seeds: Sequence[int], engine: EngineName, length: float | None, jobs: int, quiet: bool
) -> int:
    tally, interrupted = Tally(len(seeds)), False
    try:
        for report in play_all(seeds, engine, jobs, length):
            tally.add(report)
            if report.outcome is None or not quiet:
                _print(line(report, engine, length))
            if quiet and tally.is_due():
                _print(tally.progress())
    except KeyboardInterrupt:
        interrupted = True
    _print(f"{engine}, from seed {seeds[0]}: {tally.summary()}")
    if len(tally.failed) > 0:
        return FAILED
    return INTERRUPTED if interrupted else 0


def play_all(
    seeds: Iterable[int], engine: EngineName, jobs: int, length: float | None = None
) -> Iterator[Report]:
    """Play seeds, in their order, on so many processes."""
    play = partial(report_of, engine=engine, length=length)
    if jobs == 1:
        yield from map(play, seeds)
        return
    spawn = get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=spawn, initializer=_leave_interrupts) as pool:
        try:
            yield from pool.map(play, seeds)
        finally:
            # Whoever presses Ctrl-C waits for the seeds that are under way, and for no others.
            pool.shutdown(cancel_futures=True)


def _leave_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def report_of(seed: int, engine: EngineName, length: float | None = None) -> Report:
    """Play one seed and say how it went. A bug of the simulator is a failure like any other."""
    started = time.process_time()
    run = Run(seed, engine, options=draw(seed, engine, length))
    outcome: Outcome | None = None
    problem = ""
    tail: tuple[str, ...] = ()
    try:
        outcome = run.play()
    except Exception as found:
        is_verdict = isinstance(found, Violation | InvariantBroken)
        problem = str(found) if is_verdict else traceback.format_exc()
        tail = tuple(run.world.recent)
    cpu_s = time.process_time() - started
    return Report(seed, outcome, problem, run.options.line(), tail, cpu_s)


def line(report: Report, engine: EngineName, length: float | None = None) -> str:
    """A run in one line; a failed one with the command that plays it again."""
    if report.outcome is None:
        longer = "" if length is None else f" --length {length:g}"
        return (
            f"seed {report.seed} FAILED {report.problem}\n    {report.options}\n"
            f"    scripts/simulate --engine {engine} --seed {report.seed}{longer} --trace"
        )
    return (
        f"seed {report.seed} ok {_summary(report.outcome)} {report.cpu_s:.1f}s | {report.options}"
    )


def _summary(outcome: Outcome) -> str:
    return (
        f"heights={outcome.heights} rounds={outcome.rounds} txs={outcome.transactions}"
        f" evidence={outcome.evidence} stops={outcome.stops} healed={outcome.healed_ms:.0f}ms"
    )


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
