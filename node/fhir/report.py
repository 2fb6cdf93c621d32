"""What an import did, for people and for programs: counts, ids and positions. No name, no content
and no file name, for a file is often named after its patient.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec


@dataclass(slots=True)
class Counts:
    """By resource type. Every resource that was read is in exactly one of the others or refused."""

    read: Counter[str] = field(default_factory=Counter)
    anchored: Counter[str] = field(default_factory=Counter)
    amended: Counter[str] = field(default_factory=Counter)
    unchanged: Counter[str] = field(default_factory=Counter)
    """In the journal before, or standing in the files twice."""
    not_records: Counter[str] = field(default_factory=Counter)
    """Practitioners, places and the like: read for what refers to them, about no patient."""
    refused: Counter[str] = field(default_factory=Counter)
    """Resources and whole files, by reason."""
    by_hospital: Counter[str] = field(default_factory=Counter)
    patients: int = 0
    """Pseudonyms registered in this run."""
    transactions: int = 0

    @property
    def records(self) -> int:
        """Records and versions that this run put on the chain."""
        return self.anchored.total() + self.amended.total()


class RefusalLine(msgspec.Struct, frozen=True):
    """One refusal. `offset` is a byte of the file; `position` an entry or line, 0 for all of it."""

    file: str
    position: int
    offset: int
    reason: str
    type: str = ""
    resource: str = ""
    detail: str = ""


class Report(msgspec.Struct, frozen=True):
    """The report as JSON. `refusals` lists every one."""

    chain_id: str
    files: int
    bytes: int
    seconds: float
    records: int
    records_per_second: float
    patients: int
    transactions: int
    read: dict[str, int]
    anchored: dict[str, int]
    amended: dict[str, int]
    unchanged: dict[str, int]
    not_records: dict[str, int]
    refused: dict[str, int]
    by_hospital: dict[str, int]
    height: int
    refusals: tuple[RefusalLine, ...]

    @property
    def complete(self) -> bool:
        """Whether nothing was refused."""
        return self.refused == {}


def report_of(
    counts: Counts,
    *,
    chain_id: bytes,
    files: int,
    size: int,
    seconds: float,
    height: int,
    refusals: tuple[RefusalLine, ...],
) -> Report:
    """The report of a run that ended."""
    return Report(
        chain_id=chain_id.hex(),
        files=files,
        bytes=size,
        seconds=round(seconds, 3),
        records=counts.records,
        records_per_second=round(counts.records / seconds, 1) if seconds > 0 else 0.0,
        patients=counts.patients,
        transactions=counts.transactions,
        read=_sorted(counts.read),
        anchored=_sorted(counts.anchored),
        amended=_sorted(counts.amended),
        unchanged=_sorted(counts.unchanged),
        not_records=_sorted(counts.not_records),
        refused=_sorted(counts.refused),
        by_hospital=_sorted(counts.by_hospital),
        height=height,
        refusals=refusals,
    )


def lines_of(report: Report) -> Iterator[str]:
    """The report for a person."""
    yield (
        f"{report.records} records in {report.seconds:.1f} s ({report.records_per_second:.0f}/s), "
        f"{report.patients} new pseudonyms, {report.transactions} transactions, "
        f"from {report.files} files ({report.bytes / 1e6:.1f} MB)"
    )
    if report.by_hospital:
        shares = ", ".join(f"{name} {count}" for name, count in report.by_hospital.items())
        yield f"by hospital: {shares}"
    yield f"{'type':<28}{'read':>8}{'new':>8}{'amended':>9}{'as before':>11}{'no record':>11}"
    for type_, read in report.read.items():
        yield (
            f"{type_:<28}{read:>8}{report.anchored.get(type_, 0):>8}"
            f"{report.amended.get(type_, 0):>9}{report.unchanged.get(type_, 0):>11}"
            f"{report.not_records.get(type_, 0):>11}"
        )
    if report.complete:
        return
    yield "refused: " + ", ".join(f"{reason} {count}" for reason, count in report.refused.items())
    for line in report.refusals:
        where = f"position {line.position}, " if line.position else ""
        what = " ".join(part for part in (line.type, line.resource, line.detail) if part)
        yield f"  file {line.file}, {where}byte {line.offset}: {line.reason} {what}".rstrip()


def _sorted(counter: Counter[str]) -> dict[str, int]:
    return {name: counter[name] for name in sorted(counter) if counter[name]}
