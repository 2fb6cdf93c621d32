"""The bench of transaction types measures every type there is, and counts what each leaves."""

from __future__ import annotations

from pathlib import Path

import pytest

from devnet.bench import txtypes
from node.ledger.registry import Registry
from node.ledger.types import BUILT_IN


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(txtypes, "ROUNDS", 1)
    monkeypatch.setattr(txtypes, "CALLS", 1)


def test_every_registered_type_is_measured_and_leaves_nothing_behind(tmp_path: Path) -> None:
    found = txtypes.bench(tmp_path).types
    registered = [entry.type.name for entry in Registry(BUILT_IN).entries()]
    assert [one.name for one in found] == sorted(registered)
    for one in found:
        assert one.keys > 0, f"{one.name} changed nothing"
        assert one.state_bytes > 0
        assert one.tx_bytes > one.body_bytes > 0
        assert one.signers > 0
    assert list(tmp_path.iterdir()) == []


def test_a_transfer_changes_both_accounts_and_tells_of_it_once(tmp_path: Path) -> None:
    [transfer] = txtypes.bench(tmp_path, ["pay.transfer"]).types
    assert (transfer.module, transfer.traffic) == ("payments", "clinical")
    assert (transfer.keys, transfer.events, transfer.signers) == (2, 1, 1)
