"""What the chain demands to be kept is kept, whoever asks, by heights and by days; and a pruning
that an archive of an earlier attempt waits for goes on with it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from msgspec.structs import replace

from medquorum import genesis as genesis_files
from medquorum.genesis import Genesis, GenesisParam
from node.home import Home
from node.ledger.params import PARAMS, RETENTION_DAYS, RETENTION_HEIGHTS
from node.ledger.proposals import ParamSet, ProposalKind
from node.ledger.retention import Retention, demanded_retention
from storage.chain import ChainStore
from tests.support.archives import blocks_of, created, narrow
from tests.support.cli import ok, run
from tests.support.cluster import make_genesis
from tests.support.governance import enact
from tests.support.ledger import Ledger
from tests.support.signed_chain import SignedChain

TIP = 12


@dataclass(frozen=True)
class Demand:
    """What the genesis of a home says."""

    heights: int = 0
    days: int = 0

    def genesis(self) -> Genesis:
        """With only what is not the default."""
        values = ((RETENTION_HEIGHTS, self.heights), (RETENTION_DAYS, self.days))
        params = tuple(GenesisParam(name, value) for name, value in values if value)
        return replace(make_genesis(4), params=params)


def home_of(folder: Path, demand: Demand) -> Home:
    """A stopped home whose blocks are a second apart."""
    home = Home(folder / "home")
    home.config_file.parent.mkdir(parents=True)
    home.config_file.write_text("")
    home.data.mkdir()
    member = SignedChain(home.chain, genesis=demand.genesis())
    member.grow(TIP)
    home.genesis_file.write_bytes(genesis_files.dump(member.genesis))
    member.close()
    return home


def oldest(home: Home) -> int:
    """The oldest whole block."""
    with blocks_of(home) as blocks:
        return blocks.oldest_block()


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A window of three heights, and days of one second: the time from block to block."""
    narrow(monkeypatch)
    monkeypatch.setattr("node.pruning.lines.DAY_MS", 1_000)


@pytest.mark.parametrize(
    ("demand", "highest"),
    [(Demand(heights=8), 5), (Demand(days=6), 7), (Demand(8, 6), 5), (Demand(5, 6), 7)],
)
def test_what_the_chain_demands_is_refused_with_a_code(
    tmp_path: Path, demand: Demand, highest: int
) -> None:
    # Rule A11.
    home = home_of(tmp_path, demand)
    result = run("prune", "--home", home.root, "--below", highest + 1)
    assert (result.exit_code, "retention_required" in result.stderr) == (1, True)
    assert f"from height {highest} on" in result.stderr
    assert oldest(home) == 1
    ok("prune", "--home", home.root, "--below", highest)
    assert oldest(home) == highest


def test_a_genesis_that_says_nothing_demands_nothing(tmp_path: Path) -> None:
    # Rules A6, A11.
    home = home_of(tmp_path, Demand())
    ok("prune", "--home", home.root, "--below", TIP - 2)
    assert oldest(home) == TIP - 2


def test_older_than_days_goes_by_the_time_of_the_blocks(tmp_path: Path) -> None:
    # Block h is 12 - h days older than the tip, and stays at exactly the age that was named.
    home = home_of(tmp_path, Demand(days=4))
    shown = json.loads(ok("prune", "--home", home.root, "--older-than", 7, "--json"))
    with blocks_of(home) as blocks:
        tip = blocks.header(TIP)
        kept, gone = blocks.header(6), blocks.header(5)
        assert tip is not None
        assert kept is not None
        assert gone is not None
        assert tip.time_ms - kept.time_ms < 7_000 <= tip.time_ms - gone.time_ms
    assert (shown["oldest_block"], shown["heights_pruned"]) == (6, 5)
    again = json.loads(ok("prune", "--home", home.root, "--older-than", 9, "--json"))
    assert (again["oldest_block"], again["heights_pruned"]) == (6, 0)
    refused = run("prune", "--home", home.root, "--older-than", 3)
    assert (refused.exit_code, "retention_required" in refused.stderr) == (1, True)
    assert oldest(home) == 6


def test_a_height_or_an_age_is_named_and_not_both(tmp_path: Path) -> None:
    home = home_of(tmp_path, Demand())
    assert run("prune", "--home", home.root).exit_code == 64
    both = ("--below", 2, "--older-than", 2)
    assert run("prune", "--home", home.root, *both).exit_code == 64


def test_governance_changes_what_is_demanded_from_the_next_height_on() -> None:
    # Rule A11.
    ledger = Ledger()
    assert demanded_retention(ledger.view()) == Retention(0, 0)
    enact(ledger, ProposalKind.PARAM_SET, ParamSet(RETENTION_DAYS, 2_192))
    ledger.block()
    enact(ledger, ProposalKind.PARAM_SET, ParamSet(RETENTION_HEIGHTS, 9))
    ledger.block()
    assert demanded_retention(ledger.view()) == Retention(9, 2_192)


def test_a_database_from_before_the_parameters_demands_nothing() -> None:
    ledger = Ledger()
    space = ledger.state.spaces["governance"]
    for name in (RETENTION_DAYS, RETENTION_HEIGHTS):
        del space[PARAMS.key(name)]
    assert demanded_retention(ledger.view()) == Retention(0, 0)


def test_a_prune_that_died_after_its_archive_goes_on_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Rule A10.
    home = home_of(tmp_path, Demand())
    below = ("prune", "--home", home.root, "--below", 5, "--archive", tmp_path, "--json")
    with monkeypatch.context() as dying:
        dying.setattr("node.cli.prune.prune", lambda *_: 1 / 0)
        assert run(*below).exit_code != 0
    (file,) = tmp_path.glob("*.mqarchive")
    made = file.stat().st_mtime_ns
    assert json.loads(ok(*below))["archive"] == str(file)
    assert file.stat().st_mtime_ns == made
    assert oldest(home) == 5
    ok("archive", "import", "--home", home.root, file)
    assert oldest(home) == 1


def test_an_archive_that_is_there_and_is_another_one_stays_and_nothing_goes(
    tmp_path: Path,
) -> None:
    # Rule A10.
    home = home_of(tmp_path, Demand())
    with blocks_of(home) as blocks:
        name = _name(blocks)
    place = created(home, tmp_path / name, 1, 3)
    below = ("prune", "--home", home.root, "--below", 5, "--archive", tmp_path)
    result = run(*below)
    assert (result.exit_code, "of other heights" in result.stderr) == (1, True)
    place.unlink()
    whole = created(home, tmp_path / name, 1, 4).read_bytes()
    place.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    result = run(*below)
    assert (result.exit_code, "nothing was pruned" in result.stderr) == (65, True)
    assert place.stat().st_size == len(whole)
    assert oldest(home) == 1


def test_an_archive_of_another_history_is_not_taken_for_ours(tmp_path: Path) -> None:
    # Rule A10: certified by the same validators, which must never happen, and still not ours.
    home = home_of(tmp_path, Demand())
    other = home_of(tmp_path / "other", Demand())
    member = SignedChain(tmp_path / "fork", genesis=make_genesis(4))
    member.grow(TIP, txs=1)
    member.close()
    other.chain.rename(tmp_path / "unused")
    (tmp_path / "fork").rename(other.chain)
    with blocks_of(home) as blocks:
        name = _name(blocks)
    created(other, tmp_path / name, 1, 4)
    result = run("prune", "--home", home.root, "--below", 5, "--archive", tmp_path)
    assert (result.exit_code, "another height 4" in result.stderr) == (1, True)
    assert oldest(home) == 1


def _name(blocks: ChainStore) -> str:
    header = blocks.header(1)
    assert header is not None
    return f"{header.chain_id.hex()[:16]}-1-4.mqarchive"
