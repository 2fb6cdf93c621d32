"""Compaction frees room and changes nothing; replay finds where execution differs."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from random import Random

import pytest

from node.ledger.membership import NAMESPACE
from node.ledger.overlay import BlockOverlay
from storage.kv import Batch
from tests.support.cli import ok, run
from tests.support.stopped_home import make_stopped_home, opened


def test_room_of_what_was_deleted_is_given_back_and_nothing_else_changes(tmp_path: Path) -> None:
    home = make_stopped_home(tmp_path)
    noise = Random(1)  # so that it cannot be compressed
    with opened(home) as kv:
        kept = dict(kv.scan(b"\x00", b"\xff"))
        for delete in (False, True):
            batch = Batch()
            for number in range(200):
                key = b"~%d" % number
                if delete:
                    batch.delete(key)
                else:
                    batch.put(key, noise.randbytes(10_000))
            kv.write(batch, sync=True)
    freed = json.loads(ok("compact", "--home", home.root, "--json"))
    assert freed["bytes_after"] < freed["bytes_before"] - 1_000_000
    assert freed["bytes_freed"] == freed["bytes_before"] - freed["bytes_after"]
    with opened(home) as kv:
        assert dict(kv.scan(b"\x00", b"\xff")) == kept


def test_a_full_disk_is_seen_before_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = make_stopped_home(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda _path: type("Usage", (), {"free": 10}))
    assert run("compact", "--home", home.root).exit_code == 73


def test_sound_blocks_give_the_same_again(tmp_path: Path) -> None:
    home = make_stopped_home(tmp_path)
    document = json.loads(ok("replay", "--home", home.root, "--json"))
    assert (document["same"], document["from"], document["to"]) == (True, 1, 8)
    assert document["transactions"] == 14
    assert not list(home.data.glob("replay-*"))


def test_code_that_writes_something_else_is_named_by_height_and_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = make_stopped_home(tmp_path)
    plain = BlockOverlay.changes
    calls = [count()]

    def other(overlay: BlockOverlay) -> dict[str, dict[bytes, bytes | None]]:
        changes = plain(overlay)
        if next(calls[-1]) > 0 and NAMESPACE in changes:  # the first one founds the chain
            changes[NAMESPACE][b"x"] = b"y"
        return changes

    monkeypatch.setattr(BlockOverlay, "changes", other)
    result = run("replay", "--home", home.root, "--json")
    assert result.exit_code == 1
    divergence = json.loads(result.stdout)["divergence"]
    assert (divergence["height"], divergence["module"]) == (4, NAMESPACE)
    assert divergence["what"] == "another state_root"
    calls.append(count())
    assert run("replay", "--home", home.root, "--to", 3).exit_code == 0
