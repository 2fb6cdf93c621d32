"""Structured logs: stable event names with a few fields, as lines for people or as JSON for
collectors.

Only fields of ALLOWED are written. Patient data cannot get into a log by a careless call, because
there is no field for it; what is not in the list is dropped and the line says so.
"""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping
from typing import Final, Literal, TextIO

import structlog
from structlog.typing import FilteringBoundLogger

LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}

ALLOWED: Final = frozenset(
    {
        "event",
        "level",
        "timestamp",
        "node",
        "part",
        "height",
        "round",
        "phase",
        "txid",
        "peer",
        "reason",
        "code",
        "detail",
        "count",
        "left",
        "bytes",
        "bytes_new",
        "port",
        "host",
        "duration_ms",
        "trace_id",
        "version",
        "chain_id",
        "digest",
        "state",
        "path",
        "error",
        "free_bytes",
        "target",
        "kind",
        "evidence",
        "validator",
        "name",
        "status",
        "method",
        "route",
    }
)


def configure(
    level: str, style: Literal["plain", "json"], node: str, stream: TextIO | None = None
) -> FilteringBoundLogger:
    """The node's logger. Parts bind their own `part` to it. Writing never raises."""
    out = sys.stdout if stream is None else stream
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if style == "json"
        else structlog.dev.ConsoleRenderer(
            colors=out.isatty() and "NO_COLOR" not in os.environ, pad_event_to=24
        )
    )
    logger: FilteringBoundLogger = structlog.wrap_logger(
        structlog.PrintLogger(out),
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            only_allowed,
            renderer,
        ],
    )
    return logger.bind(node=node)


def only_allowed(
    _logger: object, _method: str, fields: MutableMapping[str, object]
) -> MutableMapping[str, object]:
    """Drop fields that are not on the list; show byte strings in hexadecimal."""
    kept: dict[str, object] = {}
    for name, value in fields.items():
        if name not in ALLOWED:
            kept["detail"] = f"{kept.get('detail', '')} [field {name} is not allowed]".strip()
        else:
            kept[name] = value.hex() if isinstance(value, bytes) else value
    return kept
