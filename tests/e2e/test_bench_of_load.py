"""The measurements of overload, of long runs, of scale and of reads run on real networks, and their
figures are counted.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from devnet.layout import CHECKOUT

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(420),
    pytest.mark.engines(
        why="both are measured alike, and test_bench_measures_what_it_says has both"
    ),
]


def result_of(folder: Path, *arguments: str) -> Mapping[str, Any]:
    ran = subprocess.run(
        [sys.executable, "-m", "devnet.bench", *arguments, "--folder", str(folder), "--json"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert ran.returncode == 0, ran.stderr
    measured: Mapping[str, Any] = json.loads(ran.stdout)
    assert measured["bench"] == arguments[0]
    assert measured["limits"]["verify_us"] > 0
    assert list(folder.iterdir()) == []
    found: Mapping[str, Any] = measured["result"]
    return found


def test_reads_are_counted_and_what_proves_something_is_verified(tmp_path: Path) -> None:
    found = result_of(tmp_path, "read", "--for", "0.5", "--accounts", "10", "--connections", "4")
    figures = {figure["what"]: figure for figure in found["figures"]}
    assert set(figures) == {"query", "transaction", "proof", "receipt"}
    for figure in figures.values():
        assert figure["failed"] == 0
        assert figure["reads"] > 0
        assert figure["per_second"] == pytest.approx(figure["reads"] / figure["seconds"], rel=0.05)
        assert 0 < figure["p50_ms"] <= figure["p99_ms"]
        assert figure["answer_bytes"] > 0
    for what in ("proof", "receipt"):
        assert figures[what]["verified"] == figures[what]["reads"]
    assert figures["query"]["verified"] == 0


def test_twice_too_much_is_accounted_for(tmp_path: Path) -> None:
    short = ("-n", "1", "--for", "1", "--search", "1", "--accounts", "10")
    found = result_of(tmp_path, "overload", *short)
    report, refusals = found["overload"]["report"], found["refusals"]
    saturation = found["saturation"]["committed_per_second"]
    assert report["rate"] == pytest.approx(2 * max(1.0, saturation), rel=0.01)
    refused = sum(report["refused"].values())
    assert report["sent"] == report["accepted"] + refused + report["unanswered"]
    assert refused == sum(refusals["by_status"].values()) == refusals["early"] + refusals["other"]
    assert report["committed"] == report["accepted"]
    assert found["lost"] == 0
    fairness = found["fairness"]
    assert fairness["idle"]["report"]["committed"] == fairness["idle"]["report"]["sent"] > 0
    assert fairness["flood"]["report"]["sent"] > fairness["flooded"]["report"]["sent"]


def test_a_soak_has_all_its_minutes_and_loses_nothing(tmp_path: Path) -> None:
    short = ("-n", "1", "--minutes", "3", "--minute-s", "1", "--search", "1", "--accounts", "10")
    found = result_of(tmp_path, "soak", *short, "--load-percent", "20")
    assert [minute["number"] for minute in found["minutes"]] == [0, 1, 2]
    for minute in found["minutes"]:
        assert 0 < minute["committed"] == minute["accepted"] <= minute["sent"]
        assert 0 < minute["p50_ms"] <= minute["p99_ms"]
        assert 0 < minute["anonymous_mib"] < minute["memory_mib"]
        assert minute["check_us"] > 0
    assert found["lost"] == 0
    drifts = {drift["what"]: drift for drift in found["drifts"]}
    first, last = found["minutes"][0], found["minutes"][-1]
    assert drifts["p99 latency"]["first"] == first["p99_ms"]
    assert drifts["p99 latency"]["last"] == last["p99_ms"]
    assert found["drifted"] == any(drift["worse"] for drift in drifts.values())


def test_each_axis_has_its_rows_and_what_was_asked_for(tmp_path: Path) -> None:
    axes = ("--keys", "40", "--keys", "80", "--heights", "3", "--operations", "5")
    short = ("--network-size", "1", "--for", "1")
    rows = result_of(tmp_path, "scale", *axes, *short)["rows"]
    assert [(row["axis"], row["value"]) for row in rows] == [
        ("operations", 5),
        ("keys", 40),
        ("keys", 80),
        ("heights", 3),
    ]
    many, small, large, long = rows
    assert many["operations"] == 5
    # A transaction of one operation has about 260 bytes, of which a third is that operation.
    assert many["tx_bytes"] > 1.5 * small["tx_bytes"]
    assert (small["accounts"], large["accounts"]) == (40, 80)
    assert long["height"] > 3
    assert all(row["cpu_us_per_tx_per_validator"] > 0 for row in rows)
    assert [row["ratio_to_first"] for row in (many, small, long)] == [1.0, 1.0, 1.0]
    ratio = large["cpu_us_per_tx_per_validator"] / small["cpu_us_per_tx_per_validator"]
    assert large["ratio_to_first"] == pytest.approx(ratio, rel=0.01)
