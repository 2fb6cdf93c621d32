"""A report of measurements: Markdown with charts as SVG, from what the commands printed as JSON.

Every figure that depends on the machine stands beside a ratio to what the machine could do in the
same run: rates drift from machine to machine and from day to day, ratios much less.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final, cast

import msgspec

from devnet.bench import e2e, overload, read, scale, soak, stages, txtypes
from devnet.bench.facts import Machine, Measurement
from devnet.bench.limits import Limits
from devnet.bench.svg import bars, lines
from devnet.errors import StateError

REPORT: Final = "report.md"
LATENCIES_MS: Final = (
    (10.0, "p50", 40, 15),
    (10.0, "p99", 150, 60),
    (80.0, "p99", 1_000, 300),
)
"""Percent of saturation, which latency, what it must not exceed, and the aim."""

DEPTH_MAX: Final = 4
"""How deep the result of a command that has no page of its own is shown."""


@dataclass(slots=True)
class Page:
    """The part of one measurement."""

    name: str
    """Of the measurement, and of its charts' files."""

    lines: list[str] = field(default_factory=list)
    charts: dict[str, str] = field(default_factory=dict)
    """SVG by file name."""

    def say(self, text: str) -> None:
        """A paragraph."""
        self.lines += [text, ""]

    def table(self, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """A table. What is None is shown as a dash."""
        self.lines.append(f"| {' | '.join(head)} |")
        self.lines.append(f"|{'---|' * len(head)}")
        for row in rows:
            self.lines.append(f"| {' | '.join(_cell(cell) for cell in row)} |")
        self.lines.append("")

    def chart(self, what: str, svg: str) -> None:
        """A picture below what was said so far."""
        name = f"{self.name}-{what}.svg"
        self.charts[name] = svg
        self.say(f"![{what}]({name})")


def write(files: Sequence[Path], folder: Path) -> Path:
    """Write the report on these results into `folder`; its file. Raises StateError for a file that
    holds no measurement.
    """
    pages = [_page(file) for file in files]
    folder.mkdir(parents=True, exist_ok=True)
    body: list[str] = ["# Measurements", ""]
    for page in pages:
        body += page.lines
        for name, svg in page.charts.items():
            (folder / name).write_text(svg)
    target = folder / REPORT
    target.write_text("\n".join(body).rstrip() + "\n")
    return target


def _page(file: Path) -> Page:
    try:
        measured = msgspec.json.decode(file.read_bytes(), type=Measurement)
    except OSError as error:
        raise StateError(f"{file} cannot be read: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StateError(f"{file} is no measurement: {error}") from None
    page = Page(file.stem)
    page.lines += [f"## {measured.bench}", ""]
    _machine(page, measured.machine)
    if measured.limits is not None:
        _limits(page, measured.limits)
    show = _SHOWN.get(measured.bench)
    if show is None:
        page.table(("figure", "value"), list(_flat(measured.result)))
    else:
        try:
            show(page, measured)
        except msgspec.ValidationError as error:
            raise StateError(f"{file} is of another version: {error}") from None
    return page


def _machine(page: Page, machine: Machine) -> None:
    rest = "at rest" if machine.at_rest else "**not at rest**: compare ratios only"
    page.say(
        f"{machine.processor}, {machine.cores} cores, {machine.memory_mib} MiB, Linux"
        f" {machine.kernel}, Python {machine.python}, commit {machine.revision or 'unknown'},"
        f" {machine.began}; load before {machine.load_before} ({rest})."
    )


def _limits(page: Page, limits: Limits) -> None:
    shown = cast(Mapping[str, object], msgspec.to_builtins(limits))
    page.table(list(shown), [list(shown.values())])


def _e2e(page: Page, measured: Measurement) -> None:
    result = msgspec.convert(measured.result, e2e.Result)
    limits, saturation, cost = measured.limits, result.saturation, result.saturation.per_tx
    page.say(
        f"{result.engine}, {result.validators} validators:"
        f" {saturation.committed_per_second} tx/s for {saturation.seconds} s;"
        f" {'sustained' if result.sustained else '**not sustained**'} at 80 %, lost {result.lost}."
    )
    cpu, verify = saturation.cpu_us_per_tx_per_validator, limits.verify_us if limits else None
    page.table(
        ("figure", "measured", "must", "aim", "ratio to limits"),
        [
            ("share of the signature bound", result.ratio_to_bound, 0.27, 0.45, "itself"),
            ("CPU us per tx and validator", cpu, 170, 105, _share(cpu, verify, "verifications")),
            *(
                (f"{name} ms at {percent:g} %", found, must, aim, _fsyncs(found, limits))
                for percent, name, must, aim in LATENCIES_MS
                for found in (_latency(result, percent, name),)
            ),
            ("MiB of a validator", saturation.memory_peak_mib, 400, 200, None),
            ("bytes sent per tx and validator", cost and cost.wire_bytes, None, None, None),
            ("bytes kept per tx and validator", cost and cost.disk_bytes, None, None, None),
            ("bytes written per tx and validator", cost and cost.written_bytes, None, None, None),
        ],
    )
    found = [(float(step.window), step.committed_per_second) for step in result.search]
    page.chart("search", lines("Search for saturation", "under way", "tx/s", {"tx/s": found}))


def _latency(result: e2e.Result, percent: float, name: str) -> float | None:
    for load in result.loads:
        if load.percent == percent:
            return load.report.p50_ms if name == "p50" else load.report.p99_ms
    return None


def _stages(page: Page, measured: Measurement) -> None:
    result = msgspec.convert(measured.result, stages.Stages)
    names = list(result.budgets_us)
    verify = measured.limits.verify_us if measured.limits is not None else result.budget_verify_us
    scale_by = verify / result.budget_verify_us
    page.say(
        "Microseconds of a transaction and validator. Budgets are for"
        f" {result.budget_verify_us:g} us a verification; here it took {verify}, so they are"
        f" multiplied by {scale_by:.2f}."
    )
    budgets = [
        (
            word,
            *[round(result.budgets_us[name][place] * scale_by, 1) for name in names],
            round(sum(pair[place] for pair in result.budgets_us.values()) * scale_by, 1),
            None,
        )
        for place, word in enumerate(("must", "aim"))
    ]
    rows = [
        (
            f"{case.kind.value} x {case.operations}",
            *[getattr(case.row, name) for name in names],
            case.total_us,
            _share(case.total_us, verify, "verifications"),
        )
        for case in result.cases
    ]
    page.table(("type", *names, "all", "ratio to limits"), [*budgets, *rows])
    page.chart(
        "stages",
        bars(
            "Where the time of an operation goes",
            "us",
            [
                (
                    f"{case.kind.value} x {case.operations}",
                    {name: getattr(case.row, name) / case.operations for name in names},
                )
                for case in result.cases
            ],
        ),
    )


def _soak(page: Page, measured: Measurement) -> None:
    result = msgspec.convert(measured.result, soak.Result)
    page.say(
        f"{len(result.minutes)} intervals at {result.rate} tx/s, {result.load_percent:g} % of"
        f" {result.saturation_per_second}. Drift beyond 5 %:"
        f" {'**yes**' if result.drifted else 'no'}; queues"
        f" {'**grew**' if result.queues_grew else 'did not grow'}; lost {result.lost}."
    )
    page.table(
        ("quantity", "first third", "last third", "change in %", "worse"),
        [(one.what, one.first, one.last, one.percent, one.worse) for one in result.drifts],
    )
    for what, y_name, names in (
        ("throughput", "tx/s", ("committed_per_second",)),
        ("latency", "ms", ("p50_ms", "p99_ms")),
        ("memory and disk", "MiB", ("anonymous_mib", "memory_mib", "disk_mib")),
    ):
        series = {
            name: [(float(one.number), float(getattr(one, name))) for one in result.minutes]
            for name in names
        }
        page.chart(what.replace(" ", "-"), lines(what, "interval", y_name, series))


def _overload(page: Page, measured: Measurement) -> None:
    result = msgspec.convert(measured.result, overload.Result)
    fairness, report = result.fairness, result.overload.report
    page.table(
        ("figure", "measured", "must"),
        [
            ("saturation tx/s", result.saturation.committed_per_second, None),
            ("offered tx/s", result.offered_per_second, None),
            ("share of saturation committed", result.share_of_saturation, overload.THROUGHPUT_MIN),
            ("refused early, told when to come back", result.refusals.early, None),
            ("refused otherwise", result.refusals.other, 0),
            ("p50 / p99 ms of the accepted", f"{report.p50_ms} / {report.p99_ms}", None),
            ("MiB of a validator", result.memory_peak_mib, 400),
            ("rounds that did not decide", result.overload.round_changes, 0),
            ("flooded against idle, p50", fairness.p50_ratio, overload.FAIR_MAX),
            ("flooded against idle, p99", fairness.p99_ratio, None),
            ("lost", result.lost, 0),
        ],
    )


def _read(page: Page, measured: Measurement) -> None:
    result = msgspec.convert(measured.result, read.Result)
    http = measured.limits.http_us if measured.limits is not None else None
    page.table(
        ("read", "a second", "p50 ms", "p99 ms", "node us", "to limits", "verified", "failed"),
        [
            (
                *(one.what, one.per_second, one.p50_ms, one.p99_ms, one.node_cpu_us),
                *(_share(one.node_cpu_us, http, "bare HTTP"), one.verified, one.failed),
            )
            for one in result.figures
        ],
    )
    rows = [(one.what, {"reads": one.per_second}) for one in result.figures]
    page.chart("reads", bars("Reads of one node", "a second", rows))


def _scale(page: Page, measured: Measurement) -> None:
    result = msgspec.convert(measured.result, scale.Result)
    verify = measured.limits.verify_us if measured.limits is not None else None
    page.table(
        ("axis", "value", "bytes", "tx/s", "us/tx", "us/operation", "to first", "to limits"),
        [
            (
                *(row.axis, row.value, row.tx_bytes, row.committed_per_second),
                *(row.cpu_us_per_tx_per_validator, row.cpu_us_per_operation_per_validator),
                row.ratio_to_first,
                _share(row.cpu_us_per_tx_per_validator, verify, "verifications"),
            )
            for row in result.rows
        ],
    )
    for axis in dict.fromkeys(row.axis for row in result.rows):
        points = [
            (float(row.value), row.cpu_us_per_operation_per_validator or 0.0)
            for row in result.rows
            if row.axis == axis
        ]
        chart = lines(f"Cost by {axis}", axis, "us per operation", {"us": points})
        page.chart(axis, chart)


def _types(page: Page, measured: Measurement) -> None:
    types = msgspec.convert(measured.result, txtypes.Types).types
    verify = measured.limits.verify_us if measured.limits is not None else None
    page.table(
        ("type", "execute us", "Merkle us", "to limits", "keys", "state B", "tx B", "signers"),
        [
            (
                *(one.name, one.execute_us, one.merkle_us),
                _share(one.execute_us + one.merkle_us, verify, "verifications"),
                *(one.keys, one.state_bytes, one.tx_bytes, one.signers),
            )
            for one in types
        ],
    )
    rows = [(one.name, {"execute": one.execute_us, "merkle": one.merkle_us}) for one in types]
    page.chart("types", bars("What a transaction of a type costs the ledger", "us", rows))


def _nothing(_page: Page, _measured: Measurement) -> None:
    """The limits stand above already."""


_SHOWN: Final[Mapping[str, Callable[[Page, Measurement], None]]] = MappingProxyType(
    {
        "limits": _nothing,
        "e2e": _e2e,
        "stages": _stages,
        "soak": _soak,
        "overload": _overload,
        "read": _read,
        "scale": _scale,
        "types": _types,
    }
)


def _share(value: float | None, of: float | None, unit: str) -> str | None:
    return None if value is None or not of else f"{value / of:.2f} {unit}"


def _fsyncs(value_ms: float | None, limits: Limits | None) -> str | None:
    return None if limits is None else _share(value_ms, limits.fsync_us / 1_000, "fsyncs")


def _flat(value: object, name: str = "", depth: int = 0) -> Iterator[tuple[str, object]]:
    """Leaves by their paths."""
    if isinstance(value, dict) and depth < DEPTH_MAX:
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key), depth + 1)
    elif isinstance(value, list) and depth < DEPTH_MAX:
        for number, inner in enumerate(value):
            yield from _flat(inner, f"{name}[{number}]", depth + 1)
    else:
        yield name, value


def _cell(cell: object) -> str:
    return "-" if cell is None else str(cell).replace("|", "\\|").replace("\n", " ")
