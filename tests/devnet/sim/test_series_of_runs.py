"""A series of simulated runs ends with a sum, whatever happens to its runs."""

from __future__ import annotations

import pytest

from devnet.sim import cli
from devnet.sim.mutants import CATALOGUE
from devnet.sim.patching import Patch
from devnet.sim.tally import Report, quantile
from medquorum.quorum import EngineName

ARGUMENTS = ("--from", "0", "--length", "0.05")


def test_a_series_goes_on_after_a_failure_and_says_how_to_play_it_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    mutant = next(one for one in CATALOGUE["pbft"] if one.name == "quorum one too small")
    with Patch() as patch:
        mutant.apply(patch)
        code = cli.main(["--seeds", "3", *ARGUMENTS])
    said = capsys.readouterr().out
    assert code == cli.FAILED
    assert "scripts/simulate --engine pbft --seed 0 --length 0.05 --trace" in said
    assert "3 of 3 seeds" in said
    assert "failed: 0" in said


def test_a_quiet_series_shows_nothing_but_its_sum(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--seeds", "2", *ARGUMENTS, "--quiet", "--engine", "raft"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("raft, from seed 0: 2 of 2 seeds, 0 violations")
    assert len(said) == 3


def test_an_interrupted_series_sums_up_what_it_has(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    true = cli.report_of

    def interrupted(seed: int, engine: EngineName, length: float | None) -> Report:
        if seed == 1:
            raise KeyboardInterrupt
        return true(seed, engine, length)

    monkeypatch.setattr(cli, "report_of", interrupted)
    assert cli.main(["--seeds", "5", *ARGUMENTS]) == cli.INTERRUPTED
    assert "1 of 5 seeds, 0 violations" in capsys.readouterr().out


def test_quantiles_are_values_that_occurred() -> None:
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert quantile([3.0, 1.0, 2.0], 0.99) == 3.0
    assert quantile([1.0], 0.5) == 1.0
