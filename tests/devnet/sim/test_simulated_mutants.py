"""Known bugs are found, and within few seeds: the measure of what the simulator is worth."""

from __future__ import annotations

import pytest

from devnet.sim.mutants import CATALOGUE, hunt
from devnet.sim.patching import Patch

QUICK = (
    "quorum one too small",
    "no fence after a round change",
    "accepted block forgotten on restart",
    "commits counted without their result",
    "vote before fsync",
    "sign state not consulted",
    "block not synced",
    "replays not noticed",
    "evidence not passed on",
)
"""Found within a few seconds each; `--slow` asks for all."""


@pytest.mark.parametrize("name", QUICK)
def test_a_known_bug_is_found_soon(name: str) -> None:
    caught = hunt(name, "pbft", 0)
    assert caught.seeds > 0, f"{name} got away"


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "name", [mutant.name for mutant in CATALOGUE["pbft"] if mutant.name not in QUICK]
)
def test_every_known_bug_is_found(name: str) -> None:
    caught = hunt(name, "pbft", 0)
    assert caught.seeds > 0, f"{name} got away"


def test_the_catalogue_names_each_bug_once_and_a_patch_leaves_nothing_behind() -> None:
    names = [mutant.name for mutant in CATALOGUE["pbft"]]
    assert len(set(names)) == len(names) >= 30

    class Target:
        value = 1

    with Patch() as patch:
        patch.set(Target, "value", 2)
        assert Target.value == 2
    assert Target.value == 1
