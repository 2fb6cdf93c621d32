"""The module that docs/adding-a-transaction-type.md builds runs as it stands there."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from node.ledger.codes import Code
from node.ledger.roles import Role
from tests.support.ledger import BLOCK_MS, HOUR_MS, Ledger

GUIDE = Path(__file__).parents[3] / "docs" / "adding-a-transaction-type.md"


def module_of_the_guide(folder: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """All Python blocks of the guide as one module, importable under a name of its own."""
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), flags=re.DOTALL)
    (folder / "lending_of_the_guide.py").write_text("\n\n".join(blocks))
    monkeypatch.syspath_prepend(folder)
    module = import_module("lending_of_the_guide")
    return module


def test_the_module_of_the_guide_lends_reminds_and_takes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lending = module_of_the_guide(tmp_path, monkeypatch)
    ledger = Ledger(lending.MODULE)
    nurse, stranger = ledger.person(None, Role.NURSE), ledger.person()
    item, ward = ledger.fresh_id(), ledger.fresh_id()
    lend = ledger.op("lend.lend", lending.Lend(item, ward, ledger.time_ms + HOUR_MS))
    ledger.refuse(Code.ROLE, lend, by=stranger)
    ledger.accept(lend, by=nurse)
    ledger.refuse(Code.DUPLICATE, lend, by=nurse)
    until_ms = ledger.time_ms + HOUR_MS - 3 * BLOCK_MS
    expected = lending.LoanAnswer(borrower=ward, until_ms=until_ms)
    assert ledger.query("lend.loan", item=item) == expected
    assert [event.type for event in ledger.pass_time(hours=1)] == ["lend.overdue"]
    ledger.accept(ledger.op("lend.give_back", lending.GiveBack(item)), by=nurse)
    assert ledger.query("lend.loan", item=item) is None
