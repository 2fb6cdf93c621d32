"""What a history showed, for people, for programs (JSON) and for CI (JUnit)."""

from __future__ import annotations

from html import escape

import msgspec

from devnet.chaos.limits import PROBLEMS_SHOWN
from devnet.chaos.recovery import Recovery
from devnet.loadbook import Report, percentile


class Figures(msgspec.Struct, kw_only=True):
    """What was done and measured."""

    steps: int = 0
    disturbances: int = 0
    """Processes that were killed or stopped, and paths that were cut: those of the steps."""
    heights: int = 0
    transactions: int = 0
    operations: int = 0
    """Of clients on registers, in the history that was judged."""
    looks: int = 0
    """Linearizable reads without a transaction among them."""
    receipts: int = 0
    convictions: dict[str, int] = {}
    """Pieces of evidence by kind, on all honest nodes together."""
    recoveries: list[Recovery] = []
    """From the end of a fault until every honest node had committed something new."""
    interrupted: int = 0
    """Ends of faults after which the next fault came before that."""
    lost: int = 0
    divergent: int = 0
    load: Report | None = None
    stages_s: dict[str, float] = {}


class Verdict(msgspec.Struct, kw_only=True):
    """The promises that were examined, each with what speaks against it."""

    name: str
    seed: int
    checks: dict[str, list[str]] = {}
    figures: Figures = msgspec.field(default_factory=Figures)
    kept: str = ""
    """Where the network's files are, if they were kept."""

    @property
    def holds(self) -> bool:
        """Whether every promise was examined and held."""
        return bool(self.checks) and not any(self.checks.values())

    def examine(self, promise: str, problems: list[str]) -> None:
        """Note what speaks against a promise; nothing, if it holds."""
        self.checks.setdefault(promise, []).extend(problems)


def as_text(verdict: Verdict) -> str:
    """For people."""
    figures = verdict.figures
    done = (
        (figures.steps, "steps"),
        (figures.heights, "heights"),
        (figures.transactions, "transactions"),
        (figures.operations, "operations on registers"),
        (figures.receipts, "receipts"),
    )
    lines = [", ".join(f"{count} {what}" for count, what in done)]
    if figures.recoveries:
        times = sorted(recovery.ms for recovery in figures.recoveries)
        lines.append(
            f"recovered {len(times)} times: p50 {percentile(times, 50):.0f} ms,"
            f" longest {times[-1]:.0f} ms; {figures.interrupted} times the next fault came first"
        )
    if figures.convictions:
        found = ", ".join(f"{count} {kind}" for kind, count in sorted(figures.convictions.items()))
        lines.append(f"evidence: {found}")
    for promise, problems in verdict.checks.items():
        lines.append(f"{'ok  ' if not problems else 'FAIL'} {promise}")
        lines += [f"       {problem}" for problem in problems[:PROBLEMS_SHOWN]]
        if len(problems) > PROBLEMS_SHOWN:
            lines.append(f"       and {len(problems) - PROBLEMS_SHOWN} more")
    if verdict.kept:
        lines.append(f"logs and data: {verdict.kept}")
    return "\n".join(lines)


def as_summary(verdicts: list[Verdict]) -> str:
    """What all histories together showed."""
    figures = [verdict.figures for verdict in verdicts]
    loads = [figure.load for figure in figures if figure.load is not None]
    times = sorted(recovery.ms for figure in figures for recovery in figure.recoveries)
    recovered = (
        f"recovered {len(times)} times, p50 {percentile(times, 50):.0f} ms,"
        f" longest {times[-1]:.0f} ms"
        if times
        else "nothing to recover from"
    )
    return (
        f"{len(verdicts)} histories, {sum(not verdict.holds for verdict in verdicts)} broken;"
        f" {sum(figure.disturbances for figure in figures)} kills, pauses and partitions,"
        f" {sum(figure.heights for figure in figures)} heights,"
        f" {sum(figure.operations for figure in figures)} operations on registers;"
        f" {sum(load.accepted for load in loads)} transactions acknowledged,"
        f" {sum(figure.lost for figure in figures)} lost,"
        f" {sum(figure.divergent for figure in figures)} divergent heights; {recovered}"
    )


def as_json(verdicts: list[Verdict]) -> bytes:
    """For programs: an object with all verdicts."""
    value = {"holds": all(verdict.holds for verdict in verdicts), "histories": verdicts}
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def as_junit(verdicts: list[Verdict]) -> str:
    """For CI: a suite a history, a case a promise."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', "<testsuites>"]
    for verdict in verdicts:
        failures = sum(1 for problems in verdict.checks.values() if problems)
        seconds = sum(verdict.figures.stages_s.values())
        lines.append(
            f'  <testsuite name="{escape(verdict.name)}" tests="{len(verdict.checks)}"'
            f' failures="{failures}" time="{seconds:.3f}">'
        )
        for promise, problems in verdict.checks.items():
            case = f'    <testcase classname="{escape(verdict.name)}" name="{escape(promise)}"'
            if not problems:
                lines.append(f"{case}/>")
                continue
            text = escape("\n".join(problems))
            first = escape(problems[0])
            lines.append(f'{case}><failure message="{first}">{text}</failure></testcase>')
        lines.append("  </testsuite>")
    return "\n".join([*lines, "</testsuites>", ""])
