"""Two kinds of charts as SVG, written by hand: stacked bars, and lines. No text of a result is
trusted to be free of markup.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Final

Point = tuple[float, float]

COLOURS: Final = ("#4477aa", "#66ccee", "#228833", "#ccbb44", "#ee6677", "#aa3377", "#777777")
"""Told apart by people who see fewer colours (Paul Tol, bright)."""
WIDTH: Final = 760
LABEL_WIDTH: Final = 170
BAR_HEIGHT: Final = 22
BAR_GAP: Final = 8
PLOT_HEIGHT: Final = 260
MARGIN: Final = 40
TITLE_HEIGHT: Final = 34
LEGEND_HEIGHT: Final = 26
LEGEND_STEP: Final = 115
TICKS: Final = 4


def bars(title: str, unit: str, rows: Sequence[tuple[str, Mapping[str, float]]]) -> str:
    """One bar a row, stacked of its parts, which are the same in all rows. Negative parts count as
    nothing.
    """
    parts = list(rows[0][1]) if rows else []
    scale = _ceiling(max((sum(max(0.0, v) for v in row.values()) for _, row in rows), default=0.0))
    plot = WIDTH - LABEL_WIDTH - 2 * MARGIN
    height = TITLE_HEIGHT + LEGEND_HEIGHT + len(rows) * (BAR_HEIGHT + BAR_GAP) + MARGIN
    body = [_title(title), *_legend(parts)]
    top = float(TITLE_HEIGHT + LEGEND_HEIGHT)
    for label, row in rows:
        middle = top + BAR_HEIGHT * 0.7
        body.append(_text(LABEL_WIDTH - 6, middle, label, anchor="end"))
        left = float(LABEL_WIDTH)
        for number, part in enumerate(parts):
            width = plot * max(0.0, row.get(part, 0.0)) / scale
            body.append(
                f'<rect x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{BAR_HEIGHT}"'
                f' fill="{_colour(number)}"><title>{escape(part)}: {row.get(part, 0.0):g}'
                f" {escape(unit)}</title></rect>"
            )
            left += width
        total = sum(row.values())
        body.append(_text(left + 5, middle, f"{total:.4g} {unit}"))
        top += BAR_HEIGHT + BAR_GAP
    return _document(height, body)


def lines(title: str, x_name: str, y_name: str, series: Mapping[str, Sequence[Point]]) -> str:
    """One line a series, from 0 on the vertical axis: a drift must not look larger than it is."""
    points = [point for line in series.values() for point in line]
    x_min = min((x for x, _ in points), default=0.0)
    x_max = max((x for x, _ in points), default=1.0)
    y_max = _ceiling(max((y for _, y in points), default=0.0))
    left, top = 2 * MARGIN, TITLE_HEIGHT + LEGEND_HEIGHT
    width, span = WIDTH - left - MARGIN, (x_max - x_min) or 1.0

    def place(point: Point) -> str:
        x, y = point
        return f"{left + width * (x - x_min) / span:.1f},{top + PLOT_HEIGHT * (1 - y / y_max):.1f}"

    body = [_title(title), *_legend(list(series))]
    for tick in range(TICKS + 1):
        y = top + PLOT_HEIGHT * (1 - tick / TICKS)
        body.append(
            f'<line x1="{left}" y1="{y:.1f}" x2="{left + width}" y2="{y:.1f}" stroke="#ddd"/>'
        )
        body.append(_text(left - 5, y + 4, f"{y_max * tick / TICKS:.4g}", anchor="end"))
    bottom = top + PLOT_HEIGHT + 16
    body.append(_text(left, bottom, f"{x_min:g}"))
    body.append(_text(left + width, bottom, f"{x_max:g}", anchor="end"))
    body.append(_text(left + width / 2, bottom, f"{x_name} / {y_name}", anchor="middle"))
    for number, line in enumerate(series.values()):
        path = " ".join(place(point) for point in line)
        body.append(
            f'<polyline points="{path}" fill="none" stroke="{_colour(number)}" stroke-width="2"/>'
        )
        body += [_dot(place(point), number) for point in line]
    return _document(top + PLOT_HEIGHT + MARGIN, body)


def _ceiling(value: float) -> float:
    """A round number not below the value; 1 for nothing."""
    if value <= 0 or not math.isfinite(value):
        return 1.0
    magnitude = 10.0 ** math.floor(math.log10(value))
    return next(step * magnitude for step in (1, 2, 2.5, 5, 10) if step * magnitude >= value)


def _dot(place: str, number: int) -> str:
    x, _, y = place.partition(",")
    return f'<circle cx="{x}" cy="{y}" r="2.5" fill="{_colour(number)}"/>'


def _legend(names: Sequence[str]) -> Iterator[str]:
    for number, name in enumerate(names):
        x = 10 + number * LEGEND_STEP
        yield f'<rect x="{x}" y="{TITLE_HEIGHT}" width="12" height="12" fill="{_colour(number)}"/>'
        yield _text(x + 16, TITLE_HEIGHT + 11, name)


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def _title(text: str) -> str:
    return f'<text x="10" y="20" font-size="15" font-weight="bold">{escape(text)}</text>'


def _text(x: float, y: float, text: str, *, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _document(height: float, body: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}"'
        f' width="{WIDTH}" height="{height:.0f}" font-family="sans-serif" font-size="12">'
        f'<rect width="100%" height="100%" fill="#fff"/>{"".join(body)}</svg>\n'
    )
