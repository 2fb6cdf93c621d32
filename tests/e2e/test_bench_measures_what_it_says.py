"""The measurements run on a real network, and their figures fit each other."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from devnet.layout import CHECKOUT
from medquorum.quorum import EngineName

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "devnet.bench", *arguments],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
        timeout=170,
    )


@pytest.mark.engines(why="starts no network")
def test_limits_are_measured_on_this_machine() -> None:
    ran = bench("limits", "--json")
    measured = json.loads(ran.stdout)
    limits = measured["limits"]
    assert measured["bench"] == "limits"
    assert measured["machine"]["cores"] == limits["cores"]
    # Verifying is two scalar multiplications, signing one, and hashing none.
    assert limits["verify_us"] > limits["sign_us"] > limits["hash_us"] > 0
    assert limits["fsync_us"] > 0
    # Decoding encodes again and compares; a batch of a thousand keys is more than one of them.
    assert limits["decode_us"] > limits["encode_us"] > 0
    assert limits["leveldb_batch_us"] > limits["leveldb_key_us"] > 0
    assert limits["tls_frame_us"] > 0
    assert limits["http_us"] > 0


def test_a_network_is_measured_and_leaves_nothing_behind(
    tmp_path: Path, engine: EngineName
) -> None:
    short = ("--for", "1", "--search", "1", "--accounts", "10", "-n", "1", "--engine", engine)
    ran = bench("e2e", *short, "--folder", str(tmp_path), "--json")
    assert ran.returncode == 0, ran.stderr
    measured = json.loads(ran.stdout)
    result = measured["result"]
    assert result["engine"] == engine
    saturation = result["saturation"]
    assert saturation["committed_per_second"] > 0
    assert result["lost"] == 0
    # One process cannot have used more than all cores for as long as it was measured.
    used = saturation["cpu_us_per_tx_per_validator"] * saturation["committed_per_second"] / 1e6
    assert 0 < used <= measured["limits"]["cores"] * 1.1
    assert saturation["per_tx"]["cpu_us"] == saturation["cpu_us_per_tx_per_validator"]
    # Nobody is there to be told. In one second compaction may give back more than was added.
    assert saturation["per_tx"]["wire_bytes"] == 0
    assert saturation["per_tx"]["disk_bytes"] != 0
    assert saturation["memory_peak_mib"] >= result["memory_idle_mib"] > 0
    assert 0 < result["ratio_to_bound"] < 1
    assert [load["percent"] for load in result["loads"]] == [10, 50, 80]
    for load in result["loads"]:
        # A search of a second may find too much, and then some is refused.
        report = load["report"]
        assert 0 < report["accepted"] == report["committed"] <= report["sent"]
        assert 0 < report["p50_ms"] <= report["p99_ms"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.engines(why="starts one node of a made-up chain")
def test_a_start_is_measured_on_the_chain_that_was_made(tmp_path: Path) -> None:
    small = ("--blocks", "60", "--txs", "2", "--starts", "1")
    ran = bench("start", *small, "--folder", str(tmp_path), "--json")
    assert ran.returncode == 0, ran.stderr
    result = json.loads(ran.stdout)["result"]
    assert (result["blocks"], result["transactions"]) == (60, 120)
    assert result["cpu_s"] > 0
    assert result["ready_s"] > 0
    assert result["memory_mib"] > 20
    assert list(tmp_path.iterdir()) == []


@pytest.mark.engines("pbft", why="about one node's home, whatever filled it")
def test_upkeep_is_measured_on_a_chain_that_can_be_pruned(
    tmp_path: Path, engine: EngineName
) -> None:
    small = ("--for", "1", "--window", "50", "--accounts", "10", "-n", "1", "--engine", engine)
    ran = bench("upkeep", *small, "--folder", str(tmp_path), "--json")
    assert ran.returncode == 0, ran.stderr
    result = json.loads(ran.stdout)["result"]
    verbs = {verb["name"]: verb for verb in result["verbs"]}
    assert verbs["verify"]["said"]["sound"] is True
    assert verbs["verify --deep"]["said"]["to"] == result["heights"]
    # What was kept already is not written again.
    first, following = (verbs[f"backup, the {which}"]["said"] for which in ("first", "next"))
    assert 0 < following["bytes_new"] < following["bytes"]
    assert first["height"] < following["height"] <= result["heights"]
    assert 0 < result["pruned_txs"] < result["txs"]
    assert verbs["prune --archive"]["said"]["heights_pruned"] > 0
    assert all(verb["seconds"] > 0 and verb["cpu_s"] > 0 for verb in result["verbs"])
    assert list(tmp_path.iterdir()) == []
