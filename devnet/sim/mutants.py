"""Does the simulator find bugs? Plays seeds against code with one known bug each until it does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from statistics import median
from typing import Final

from devnet.sim.mutants_log import LOG
from devnet.sim.mutants_node import EVIDENCE, NODE, Mutant
from devnet.sim.mutants_pbft import PBFT
from devnet.sim.mutants_raft import RAFT
from devnet.sim.mutants_reads import READS
from devnet.sim.patching import Patch
from devnet.sim.run import Run
from medquorum.quorum import EngineName

CATALOGUE: Final[dict[EngineName, tuple[Mutant, ...]]] = {
    "pbft": (*PBFT, *NODE, *LOG, *EVIDENCE),
    "raft": (*RAFT, *READS, *NODE, *LOG),
}
SERIES_APART: Final = 100_000
"""How far apart the first seeds of two series of one mutant are."""


@dataclass(frozen=True, slots=True)
class Caught:
    """How one mutant fared in one series. `seeds` 0: it got away."""

    name: str
    seeds: int
    seconds: float
    how: str


def hunt(name: str, engine: EngineName, first: int) -> Caught:
    """Play seeds from `first` on until one of them fails."""
    mutant = next(mutant for mutant in CATALOGUE[engine] if mutant.name == name)
    started = time.process_time()
    for count in range(mutant.seeds_max):
        try:
            with Patch() as patch:
                mutant.apply(patch)
                Run(first + count, engine).play()
        except Exception as found:
            how = str(found).splitlines()[0] if str(found) else type(found).__name__
            return Caught(name, count + 1, time.process_time() - started, how)
    return Caught(name, 0, time.process_time() - started, "")


def hunt_all(engine: EngineName, first: int, series: int, jobs: int) -> Iterator[list[Caught]]:
    """Every mutant of the engine in so many series, in the order of the catalogue."""
    names = [mutant.name for mutant in CATALOGUE[engine]]
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        waiting = [
            [
                pool.submit(hunt, name, engine, first + number * SERIES_APART)
                for number in range(series)
            ]
            for name in names
        ]
        for futures in waiting:
            yield [future.result() for future in futures]


def row(caught: list[Caught]) -> str:
    """One line of the table."""
    found = [one.seeds for one in caught if one.seeds > 0]
    if len(found) < len(caught):
        middle, how = "NOT CAUGHT", f"in {len(caught) - len(found)} of {len(caught)} series"
    else:
        middle, how = f"{median(found):g}", caught[0].how
    seconds = sum(one.seconds for one in caught) / len(caught)
    return (
        f"{caught[0].name:44} {middle:>10} {max(found, default=0):>5} {seconds:7.1f}s  {how[:90]}"
    )


HEADER: Final = f"{'mutant':44} {'median':>10} {'most':>5} {'time':>8}  how it was caught first"
