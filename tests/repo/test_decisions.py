"""The index of the decision records is complete and tells the truth."""

from __future__ import annotations

import re
from pathlib import Path

RECORDS = Path(__file__).resolve().parents[2] / "docs/adr"


def test_every_decision_is_in_the_index_once() -> None:
    indexed = re.findall(r"^\| \[\d{4}\]\(([\w.-]+)\)", (RECORDS / "README.md").read_text(), re.M)
    written = {path.name for path in RECORDS.glob("[0-9]*.md")} - {"0000-template.md"}
    assert sorted(indexed) == sorted(written)


def test_every_decision_carries_its_number_and_its_status() -> None:
    for record in RECORDS.glob("[0-9]*.md"):
        title, _, status, *_ = record.read_text().splitlines()
        assert title.startswith(f"# {record.name[:4]}: ")
        assert status.startswith("Status: ")
