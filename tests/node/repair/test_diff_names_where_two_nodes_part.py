"""Two nodes that part are told by height, module, transaction and key."""

from __future__ import annotations

import json
import shutil
from itertools import count
from pathlib import Path

import pytest

from node.home import Home
from node.ledger.membership import NAMESPACE
from node.ledger.overlay import BlockOverlay
from node.ledger.runtime import ModuleContext
from node.repair.rollback import Rollback
from storage import layout
from storage.kv import Batch, prefix_end
from tests.support.cli import run
from tests.support.stopped_home import flip, make_stopped_home, opened


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A node."""
    return make_stopped_home(tmp_path / "one")


def compared(home: Home, other: Home, *options: object) -> tuple[int, dict[str, object]]:
    """Exit code and document."""
    result = run("diff", home.root, other.root, "--json", *options)
    return result.exit_code, json.loads(result.stdout)


def copy_of(home: Home, tmp_path: Path) -> Home:
    """The same data in another home."""
    shutil.copytree(home.root, tmp_path / "copy")
    return Home(tmp_path / "copy")


def test_copies_are_the_same_also_if_one_is_behind(home: Home, tmp_path: Path) -> None:
    other = copy_of(home, tmp_path)
    assert compared(home, other) == (0, {"compared_to": 8, "same": True})
    with opened(other) as kv:
        list(Rollback(kv).run(3))
    assert compared(home, other) == (0, {"compared_to": 5, "same": True})
    assert compared(home, other, "--height", 2) == (0, {"compared_to": 2, "same": True})
    assert run("diff", home.root, home.root).exit_code == 64


def test_a_value_written_by_one_alone_is_named_with_its_height_and_module(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = BlockOverlay.changes
    calls = count()

    def other(overlay: BlockOverlay) -> dict[str, dict[bytes, bytes | None]]:
        changes = plain(overlay)
        if NAMESPACE in changes and next(calls) == 1:  # after the genesis, once
            changes[NAMESPACE][b"\x00only here"] = b"y"
        return changes

    monkeypatch.setattr(BlockOverlay, "changes", other)
    parted = make_stopped_home(tmp_path / "two")
    code, found = compared(home, parted)
    assert (code, found["height"], found["what"]) == (1, 4, "result")
    assert (found["fields"], found["module"]) == ("state_root", NAMESPACE)
    assert found["key"] == b"\x00only here".hex()
    assert compared(home, parted, "--height", 3)[0] == 0


def test_a_transaction_that_fared_otherwise_is_named(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ModuleContext, "emit", lambda *_args, **_attributes: None)
    _, found = compared(home, make_stopped_home(tmp_path / "two"))
    assert (found["height"], found["fields"], found["index"]) == (4, "events_root", 0)
    with opened(home) as kv:
        place = kv.get(layout.TX + bytes.fromhex(str(found["txid"])))
    assert place == layout.pack_place(4, 0)


def test_values_that_differ_under_equal_roots_are_named(home: Home, tmp_path: Path) -> None:
    other = copy_of(home, tmp_path)
    with opened(home) as kv:
        key = next(kv.scan(layout.STATE, prefix_end(layout.STATE), reverse=True))[0]
    flip(other, key)
    code, found = compared(home, other)
    assert (code, found["what"], found["height"]) == (1, "state", 8)
    name_end = 2 + key[1]
    assert found["module"] == key[2:name_end].decode()
    assert found["key"] == key[name_end:].hex()


def test_what_is_not_comparable_is_said(home: Home, tmp_path: Path) -> None:
    other = copy_of(home, tmp_path)
    with opened(other) as kv:
        batch = Batch()
        batch.put(layout.GENESIS, b"another")
        kv.write(batch, sync=True)
    assert compared(home, other)[1]["what"] == "genesis"
