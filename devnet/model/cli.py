"""What `scripts/simulate --exhaustive` and `--twins` print."""

from __future__ import annotations

import sys
import time

from devnet.model.explore import Findings
from devnet.model.runs import play_twins, search_all


def exhaustive(*, deep: bool, jobs: int) -> int:
    """Search all scopes; 1 if a promise breaks."""
    broken = 0
    for found, seconds in search_all(deep=deep, jobs=jobs):
        _print(line(found, seconds))
        for step in found.trace:
            _print(f"    {step}")
        broken += found.violation != ""
    return 1 if broken > 0 else 0


def line(found: Findings, seconds: float) -> str:
    """A search in one line."""
    reach = "all states" if found.complete else "stopped at the limit"
    result = f"VIOLATION {found.violation}" if found.violation else "ok"
    return (
        f"{found.name}: {result}; {reach}, {found.states} states, {found.transitions} transitions,"
        f" depth {found.depth}, {found.quiescent} quiescent ({found.healed} healed),"
        f" {len(found.decided)} certificates possible, {found.engine_steps} engine steps,"
        f" {seconds:.1f} s of CPU"
    )


def twins(*, rounds: int, sample: int, seed: int, jobs: int) -> int:
    """Play Twins; 1 if a promise breaks."""
    began = time.monotonic()
    tally = play_twins(rounds, sample, seed, jobs)
    for violation in tally.violations:
        _print(f"VIOLATION {violation}")
    _print(
        f"twins, {rounds} rounds: {tally.scenarios} scenarios, {len(tally.violations)} violations;"
        f" {tally.played} rounds played, {tally.ends} ends healed (at most {tally.healed_ms_max} ms"
        f" of virtual time), {tally.decided_early} decided before, in"
        f" {time.monotonic() - began:.0f} s"
    )
    return 1 if tally.violations else 0


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
