"""A report says what the measurements say, beside what the machine could do."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest

from devnet.bench import report, scale, soak, stages, txtypes
from devnet.bench.facts import Machine, Measurement, machine
from devnet.bench.limits import Limits
from devnet.bench.svg import bars, lines
from devnet.errors import StateError
from devnet.signing import Kind

LIMITS = Limits(
    verify_us=90.0,
    sign_us=30.0,
    hash_us=1.0,
    decode_us=5.0,
    encode_us=2.0,
    fsync_us=1_000.0,
    leveldb_key_us=2.0,
    leveldb_batch_us=2_000.0,
    tls_frame_us=50.0,
    http_us=200.0,
    tx_bytes=260,
    cores=2,
)
BUSY = Machine(
    processor="made up",
    cores=2,
    memory_mib=1,
    kernel="k",
    python="p",
    revision="r",
    began="b",
    load_before=9.0,
    at_rest=False,
)


def minute(
    number: int,
    rate: float,
    p99_ms: float,
    pending: int = 0,
    *,
    cpu_us: float = 100.0,
    check_us: float = 50.0,
    anonymous_mib: float = 40.0,
) -> soak.Minute:
    return soak.Minute(
        number=number,
        seconds=60.0,
        sent=1,
        accepted=1,
        committed=1,
        committed_per_second=rate,
        p50_ms=10.0,
        p99_ms=p99_ms,
        cpu_us_per_tx=cpu_us,
        check_us=check_us,
        memory_mib=50.0 + number,
        anonymous_mib=anonymous_mib,
        disk_mib=1.0,
        pending=pending,
        round_changes=0,
    )


def saved(folder: Path, name: str, result: object) -> Path:
    file = folder / f"{name}.json"
    measured = Measurement(bench=name, machine=BUSY, limits=LIMITS, result=result)
    file.write_bytes(msgspec.json.encode(measured))
    return file


def measured_stages() -> stages.Stages:
    row = stages.Row(
        receive=10.0, signature=90.0, execute=20.0, merkle=30.0, store=25.0, consensus=5.0
    )
    case = stages.Case(
        kind=Kind.TRANSFER,
        operations=1,
        transactions=10,
        blocks=1,
        block_txs=10.0,
        tx_bytes=260.0,
        keys_changed=2.0,
        row=row,
        total_us=row.total,
        total_us_per_operation=row.total,
    )
    return stages.Stages(
        validators=4,
        accounts=1,
        budgets_us=dict(stages.BUDGETS_US),
        budget_verify_us=stages.BUDGET_VERIFY_US,
        cases=[case],
    )


def test_budgets_are_those_of_this_machine(tmp_path: Path) -> None:
    written = report.write([saved(tmp_path, "stages", measured_stages())], tmp_path / "out")
    text = written.read_text()
    # It verifies half as fast as the machine of the budgets, so they are twice as large.
    assert "| must | 30.0 | 94.0 | 50.0 | 80.0 | 50.0 | 30.0 | 334.0 | - |" in text
    assert "| transfer x 1 | 10.0 | 90.0 | 20.0 | 30.0 | 25.0 | 5.0 | 180.0 | 2.00 ver" in text
    assert "**not at rest**" in text
    assert (tmp_path / "out" / "stages-stages.svg").exists()


def test_what_a_type_costs_stands_beside_a_verification(tmp_path: Path) -> None:
    cost = txtypes.Type(
        name="pay.transfer",
        version=1,
        module="payments",
        traffic="clinical",
        signers=1,
        tx_bytes=258,
        body_bytes=77,
        keys=2,
        events=1,
        state_bytes=2_000,
        execute_us=60.0,
        merkle_us=30.0,
    )
    file = saved(tmp_path, "types", txtypes.Types(types=[cost]))
    text = report.write([file], tmp_path / "out").read_text()
    assert "| pay.transfer | 60.0 | 30.0 | 1.00 verifications | 2 | 2000 | 258 | 1 |" in text
    assert (tmp_path / "out" / "types-types.svg").exists()


def test_every_chart_that_is_named_is_there_and_is_xml(tmp_path: Path) -> None:
    rows = [
        scale.Row(
            axis="keys",
            value=value,
            validators=1,
            operations=1,
            tx_bytes=260.0,
            accounts=value,
            height=9,
            committed_per_second=None,
            cpu_us_per_tx_per_validator=cost,
            cpu_us_per_operation_per_validator=cost,
        )
        for value, cost in ((10, 100.0), (100, 150.0))
    ]
    compared = scale.with_ratios(rows)
    assert [row.ratio_to_first for row in compared] == [1.0, 1.5]
    files = [
        saved(tmp_path, "scale", scale.Result(rows=compared)),
        saved(tmp_path, "stages", measured_stages()),
        saved(tmp_path, "something-else", {"a": {"b": 1}}),
    ]
    written = report.write(files, tmp_path / "out")
    text = written.read_text()
    assert "| a.b | 1 |" in text
    named = {line[line.index("(") + 1 : -1] for line in text.splitlines() if line.startswith("![")}
    there = {path.name for path in (tmp_path / "out").glob("*.svg")}
    assert named == there != set()
    for name in there:
        ElementTree.parse(tmp_path / "out" / name)  # noqa: S314 - our own file


def test_a_file_that_is_no_measurement_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_text("[]")
    with pytest.raises(StateError, match="no measurement"):
        report.write([file], tmp_path / "out")
    changed = saved(tmp_path, "soak", {"minutes": []})
    with pytest.raises(StateError, match="another version"):
        report.write([changed], tmp_path / "out")


def test_a_drift_is_told_from_the_first_and_the_last_third() -> None:
    steady = [minute(n, 100.0, 20.0) for n in range(9)]
    assert not any(one.worse for one in soak.compare(steady))
    slower = [minute(n, 100.0 if n < 3 else 94.0, 20.0) for n in range(9)]
    assert [one.what for one in soak.compare(slower) if one.worse] == ["throughput"]
    # Better is no drift that anybody minds, and the middle third does not count.
    faster = [minute(n, 100.0 + n, 900.0 if n in (4, 5) else 20.0) for n in range(9)]
    assert not any(one.worse for one in soak.compare(faster))
    later = [minute(n, 100.0, 20.0 + n) for n in range(9)]
    assert [one.what for one in soak.compare(later) if one.worse] == ["p99 latency"]
    assert soak.compare(steady[:2]) == []


def test_a_machine_that_gets_slower_is_told_from_a_network_that_does() -> None:
    slow_machine = [
        minute(n, 100.0, 20.0, cpu_us=100.0 + 10 * n, check_us=50.0 + 5 * n) for n in range(9)
    ]
    assert [one.what for one in soak.compare(slow_machine) if one.worse] == ["CPU per transaction"]
    slow_network = [minute(n, 100.0, 20.0, cpu_us=100.0 + 10 * n) for n in range(9)]
    worse = [one.what for one in soak.compare(slow_network) if one.worse]
    assert worse == ["CPU per transaction", "CPU in signature checks"]


def test_mapped_tables_of_a_growing_chain_are_no_drift_and_anonymous_memory_is() -> None:
    grows = [minute(n, 100.0, 20.0) for n in range(9)]
    assert grows[-1].memory_mib > 1.1 * grows[0].memory_mib
    assert not any(one.worse for one in soak.compare(grows))
    leaks = [minute(n, 100.0, 20.0, anonymous_mib=40.0 + n) for n in range(9)]
    assert [one.what for one in soak.compare(leaks) if one.worse] == ["anonymous memory"]


def test_queues_grow_when_more_waits_than_falls_due_in_a_second() -> None:
    assert not soak.queues_grew([minute(n, 100.0, 20.0, 50 + n) for n in range(9)], 100.0)
    assert soak.queues_grew([minute(n, 100.0, 20.0, 50 * n) for n in range(9)], 100.0)


def test_charts_keep_markup_out_and_take_nothing_for_an_answer() -> None:
    for svg in (
        bars("<b>", "&", [("<i>", {"<s>": 1.0, "t": -1.0})]),
        bars("nothing", "us", []),
        lines("<b>", "x", "y", {"<s>": [(0.0, 0.0), (1.0, 5.0)]}),
        lines("nothing", "x", "y", {}),
    ):
        root = ElementTree.fromstring(svg)  # noqa: S314 - our own text
        assert root.tag.endswith("svg")
        assert not any(child.tag.endswith(("}b", "}i", "}s")) for child in root.iter())


def test_a_line_begins_at_nothing() -> None:
    low = lines("t", "x", "y", {"s": [(0.0, 100.0), (1.0, 101.0)]})
    root = ElementTree.fromstring(low)  # noqa: S314 - our own text
    polyline = next(element for element in root.iter() if element.tag.endswith("polyline"))
    heights = [float(point.split(",")[1]) for point in polyline.attrib["points"].split()]
    assert abs(heights[0] - heights[1]) < 5


def test_the_machine_is_described() -> None:
    here = machine()
    assert here.cores > 0
    assert here.memory_mib > 0
    assert here.processor
    assert here.at_rest == (here.load_before < 0.5 * here.cores)
