"""Indexes that are damaged, lost or too full are what they were, once rebuilt from the blocks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from node.repair.indexes import rebuild
from storage import layout
from storage.chain import ChainStore
from storage.kv import KV, Batch, prefix_end
from tests.support.cli import ok, run
from tests.support.stopped_home import flip, make_stopped_home, opened


def index(kv: KV) -> dict[bytes, bytes]:
    """All entries of both."""
    prefixes = (layout.HEADER_HASH, layout.TX)
    return {k: v for prefix in prefixes for k, v in kv.scan(prefix, prefix_end(prefix))}


def test_what_is_rebuilt_is_what_the_commits_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.repair.indexes.BATCH_KEYS_MAX", 2)
    home = make_stopped_home(tmp_path)
    with opened(home) as kv:
        good = index(kv)
        assert rebuild(kv, ChainStore(kv)) == (len(good), 0)
        batch = Batch()
        for number, key in enumerate(good):
            if number % 3 == 0:
                batch.delete(key)
        batch.put(layout.TX + bytes(32), layout.pack_place(3, 0))
        batch.put(layout.HEADER_HASH + bytes(32), layout.pack_height(3))
        kv.write(batch, sync=True)
    flip(home, sorted(good)[1])
    assert run("verify", "--home", home.root).exit_code == 65
    assert f"{len(good)} entries" in ok("reindex", "--home", home.root)
    with opened(home) as kv:
        assert index(kv) == good
    assert run("verify", "--home", home.root).exit_code == 0


def test_an_index_that_is_gone_as_a_whole_comes_back(tmp_path: Path) -> None:
    home = make_stopped_home(tmp_path)
    with opened(home) as kv:
        good = index(kv)
        batch = Batch()
        for key in good:
            batch.delete(key)
        kv.write(batch, sync=True)
    assert f"{len(good)} of them mended" in ok("reindex", "--home", home.root)
    document = json.loads(ok("reindex", "--home", home.root, "--json"))
    assert document == {"entries": len(good), "mended": 0}
    with opened(home) as kv:
        assert index(kv) == good
