"""Each scenario file says what Raft engines do, step by step.

`MEDQUORUM_REWRITE_SCENARIOS=1 pytest tests/consensus/raft/test_raft_scenarios.py` writes what they
do now into the files. Commit only the changes that you can explain.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.engine_scenarios import play_file

FOLDER = Path(__file__).parent / "scenarios"
FILES = sorted(FOLDER.glob("*.txt"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_raft_engines_do_what_the_scenario_says(file: Path) -> None:
    written = file.read_text("utf-8")
    played = play_file(written)
    if os.environ.get("MEDQUORUM_REWRITE_SCENARIOS") == "1":
        file.write_text(played, "utf-8")
    else:
        assert played == written


def test_there_are_scenarios_of_raft() -> None:
    assert len(FILES) >= 12
