"""Which scopes are searched, for a commit and when somebody has more time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from random import Random
from typing import Final

from devnet.model.explore import Findings, Search
from devnet.model.pbft import N, pbft_scope
from devnet.model.raft import raft_scope
from devnet.model.scope import Scope
from devnet.model.shame import signers_blurred
from devnet.model.twins import PHASES, Scenario, Tally, Twins, beginnings
from devnet.model.world import key_of

Maker = Callable[[], Scope]
Player = Callable[[int, Scenario, bool], Tally]

QUICK: Final[tuple[Maker, ...]] = (
    *(partial(pbft_scope, liar) for liar in (1, 2, 3)),
    partial(raft_scope, terms=3, crashes=1),
    partial(raft_scope, terms=2, crashes=1, slow_execution=True),
)
"""For every commit. Validators 0 and 3 propose in neither round: as liars they are alike."""

DEEP: Final[tuple[Maker, ...]] = (
    *(partial(pbft_scope, liar, slow_execution=True) for liar in (1, 2, 3)),
    *(partial(pbft_scope, liar, crashes=1) for liar in (1, 2, 3)),
    *(partial(pbft_scope, liar, rounds=3) for liar in (1, 2, 3, 0)),
    partial(raft_scope, terms=4, crashes=1),
    partial(raft_scope, terms=3, crashes=2, slow_execution=True),
    partial(raft_scope, n=4, terms=3, crashes=1),
)
"""When there is time. Not all of them can be completed; what was reached is said."""

STATES_MAX: Final = 100_000
HEALS_MAX: Final = 5_000
DEEP_FACTOR: Final = 20


def search(maker: Maker, *, factor: int = 1) -> tuple[Findings, float]:
    """Search one scope; the findings and the seconds of processor time that it took."""
    began = time.process_time()
    with signers_blurred({key_of(number) for number in range(N)}):
        found = Search(maker()).run(STATES_MAX * factor, HEALS_MAX * factor)
    return found, time.process_time() - began


def search_all(*, deep: bool, jobs: int) -> Iterator[tuple[Findings, float]]:
    """All scopes, in order."""
    makers = (*QUICK, *DEEP) if deep else QUICK
    one = partial(search, factor=DEEP_FACTOR if deep else 1)
    yield from _map(one, makers, jobs)


def _map(
    call: Callable[[Maker], tuple[Findings, float]], makers: Iterable[Maker], jobs: int
) -> Iterator[tuple[Findings, float]]:
    if jobs == 1:
        yield from map(call, makers)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        yield from pool.map(call, makers)


def play_beginning(rounds: int, beginning: Scenario, newest_first: bool) -> Tally:
    """All scenarios with one beginning."""
    return Twins(newest_first=newest_first).play(rounds, beginning)


def play_scenario(rounds: int, scenario: Scenario, newest_first: bool) -> Tally:
    """One scenario of so many rounds."""
    del rounds
    return Twins(newest_first=newest_first).play_one(scenario)


def play_twins(rounds: int, sample: int, seed: int, jobs: int) -> Tally:
    """All scenarios of so many rounds in both orders of arrival; or a sample, drawn from a seed."""
    if sample > 0:
        rng = Random(seed)
        play: Player = play_scenario
        chosen = [tuple(rng.choice(PHASES) for _ in range(rounds)) for _ in range(sample)]
    else:
        play = play_beginning
        chosen = list(beginnings(min(rounds, 2)))
    work = [(rounds, scenario, order) for order in (False, True) for scenario in chosen]
    total = Tally()
    if jobs == 1:
        for one in work:
            total.add(play(*one))
        return total
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        for tally in pool.map(play, *zip(*work, strict=True), chunksize=8):
            total.add(tally)
    return total
