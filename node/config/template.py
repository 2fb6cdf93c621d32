"""Writes configuration as text: the commented file, and the table for the documentation."""

from __future__ import annotations

import json
from collections.abc import Mapping

from node.config.schema import keys, sections


def render(values: Mapping[str, object]) -> str:
    """The commented TOML file.

    `values`, by key path, replace defaults; a default stays commented out.
    """
    docs = {name: " ".join((kind.__doc__ or "").split()) for name, kind in sections()}
    lines = [
        "# MedQuorum node configuration.",
        "# A flag (--p2p.port) or a variable (MEDQUORUM_P2P__PORT) overrides a value here.",
    ]
    section = ""
    for key in keys():
        if key.section != section:
            section = key.section
            lines += ["", f"[{section}]", f"# {docs[section]}"]
        lines.append(f"# {key.description}")
        value = values.get(key.path, key.default)
        mark = "" if key.path in values else "# "
        lines.append(f"{mark}{key.name} = {_toml(value)}")
    return "\n".join(lines) + "\n"


def table() -> str:
    """The keys as a Markdown table."""
    rows = ["| key | default | variable | meaning |", "|---|---|---|---|"]
    rows += [
        f"| `{k.path}` | `{_toml(k.default)}` | `{k.variable}` | {k.description} |" for k in keys()
    ]
    return "\n".join(rows) + "\n"


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value)
