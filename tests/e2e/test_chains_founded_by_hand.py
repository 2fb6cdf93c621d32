"""Hospitals found a chain with the commands that their operators type, run it, and lose one."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from medquorum.quorum import EngineName
from tests.support.cli import Daemon, ok, started
from tests.support.hospitals import found, opened_account

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

SMALLEST: Final[dict[EngineName, str]] = {"pbft": "abcd", "raft": "abc"}
"""The hospitals of the smallest consortium of each engine that loses one and goes on."""


def test_a_chain_that_was_founded_by_hand_commits_and_goes_on_without_one(
    tmp_path: Path, engine: EngineName
) -> None:
    hospitals, genesis = found(tmp_path, engine, SMALLEST[engine])
    first, second, *_, last = hospitals
    with ExitStack() as stack:
        daemons: list[Daemon] = [
            stack.enter_context(started(hospital.home)) for hospital in hospitals
        ]
        receipts = [opened_account(tmp_path, genesis, by=last, through=first)]
        daemons[0].child.kill()
        daemons[0].child.wait()
        receipts.append(opened_account(tmp_path, genesis, by=first, through=second))
        receipts.append(opened_account(tmp_path, genesis, by=second, through=last))
    for receipt in receipts:
        assert "took effect" in ok("verify-receipt", receipt, "--genesis", genesis)
