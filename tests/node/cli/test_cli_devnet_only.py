"""What serves to try out faults is refused on a chain that is not for trying out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.cli import found_alone, process

pytestmark = pytest.mark.e2e

AHEAD = ("--devnet.clock_offset_ms", "3600000")


def test_a_wrong_clock_is_played_on_a_development_network_only(tmp_path: Path) -> None:
    earnest = found_alone(tmp_path, chain_name="earnest")
    done = process("start", "--home", earnest.home, *AHEAD)
    assert done.returncode == 78
    assert "[devnet] is for chains whose name begins with devnet-" in done.stdout + done.stderr


def test_a_clock_cannot_be_wrong_by_more_than_a_day(tmp_path: Path) -> None:
    alone = found_alone(tmp_path)
    flags = ("--devnet.clock_offset_ms", str(24 * 3_600_000 + 1))
    done = process("start", "--home", alone.home, *flags)
    assert done.returncode == 78
    assert "devnet.clock_offset_ms" in done.stdout + done.stderr
