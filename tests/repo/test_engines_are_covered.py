"""Tests that are written for a rule, without those that draw faults by chance, run the engines.

What only a campaign reaches by luck today, it may miss tomorrow. Measured by branches; about a
minute of processor time, so it waits for scripts/test --slow.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BY_CHANCE = (
    "pbft/test_agreement_under_faults.py",
    "pbft/test_campaign_finds_known_bugs.py",
    "pbft/test_crashes_at_every_boundary.py",
    "raft/test_raft_agreement_under_faults.py",
    "raft/test_raft_campaign_finds_known_bugs.py",
)
"""Files below tests/consensus that do not count here."""


def run(*arguments: str, data: Path) -> subprocess.CompletedProcess[str]:
    """Run coverage with the settings of this repository."""
    # A pytest inside a pytest would otherwise take the outer one's worker for its own.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    return subprocess.run(
        [sys.executable, "-m", "coverage", *arguments],
        cwd=ROOT,
        env={**environment, "COVERAGE_FILE": str(data)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_tests_of_rules_run_every_branch_of_the_engines(tmp_path: Path) -> None:
    data = tmp_path / "coverage"
    folder = Path("tests") / "consensus"
    ignored = [f"--ignore={folder / name}" for name in BY_CHANCE]
    for name in BY_CHANCE:
        assert (ROOT / folder / name).is_file(), f"{name} has gone"
    quiet = ("-q", "-p", "no:randomly", "-p", "no:cacheprovider")
    tests = run("run", "-m", "pytest", *quiet, str(folder), *ignored, data=data)
    assert tests.returncode == 0, tests.stdout[-4_000:]
    report = run("report", data=data)
    assert report.returncode == 0, report.stdout
