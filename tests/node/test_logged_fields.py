"""What a log call says is written: no call uses a field that the log would drop."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from node.logs import ALLOWED, LEVELS

ROOM = Path(__file__).parents[2] / "node"


def logged_fields() -> Iterator[tuple[str, str]]:
    """(place, field) of every call of a method like `log.info` or `self._log.warning`."""
    for file in sorted(ROOM.rglob("*.py")):
        for call in ast.walk(ast.parse(file.read_text("utf-8"))):
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)):
                continue
            owner = ast.unparse(call.func.value)
            if (
                call.func.attr in (*LEVELS, "bind")
                and owner.rpartition(".")[2].lstrip("_") == "log"
            ):
                for keyword in call.keywords:
                    if keyword.arg is not None:
                        yield f"{file.relative_to(ROOM)}:{call.lineno}", keyword.arg


def test_every_field_that_is_logged_is_written() -> None:
    fields = list(logged_fields())
    assert len(fields) > 20
    assert [(place, field) for place, field in fields if field not in ALLOWED] == []
