"""Heights are taken back whole, one by one, down to the last byte of the database; the memory of
what was signed is not.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from node.home import Home
from node.ledger.proposals import ObserverAdd, ProposalKind, ValidatorReplace
from node.repair.errors import UnrepairableError
from node.repair.rollback import Rollback
from storage import layout
from storage.kv import KV, Batch
from tests.support.cli import run
from tests.support.cluster import Cluster, key_of
from tests.support.signed_chain import SignedChain
from tests.support.stopped_home import make_stopped_home, opened


def contents(kv: KV) -> dict[bytes, bytes]:
    """All that a database holds."""
    return dict(kv.scan(b"\x00", b"\xff"))


async def grown(folder: Path) -> tuple[SignedChain, list[dict[bytes, bytes]]]:
    """A chain on which values came, changed and went, and validators changed; and what its database
    held after each height.
    """
    member = SignedChain(folder / "chain")
    history = [contents(member.kv)]
    async with asyncio.TaskGroup() as group:
        council = Cluster(folder / "council", 4, group)
        org = member.genesis.organisations[3].org
        replaced, key, node = (key_of(name).public for name in ("vote3", "vote4", "node4"))
        decisions = (
            council.decision(ProposalKind.OBSERVER_ADD, ObserverAdd(node, org)),
            council.decision(
                ProposalKind.VALIDATOR_REPLACE,
                ValidatorReplace(replaced, key, node, council.possession(4, org)),
            ),
        )
    for decision in decisions:
        member.grow(1)
        history.append(contents(member.kv))
        member.add(decision)
        history.append(contents(member.kv))
    member.grow(1)
    history.append(contents(member.kv))
    return member, history


async def test_each_height_that_is_taken_back_leaves_what_was_there_before_it(
    tmp_path: Path,
) -> None:
    member, history = await grown(tmp_path)
    assert any(key[:1] == layout.DELETED for key in history[-1]), "values should have been removed"
    for tip in Rollback(member.kv).run(len(history) - 1):
        assert contents(member.kv) == history[tip], tip
    assert tip == 0
    member.close()


async def test_an_interrupted_one_leaves_a_whole_chain_that_grows_on_as_before(
    tmp_path: Path,
) -> None:
    member, history = await grown(tmp_path)
    block = member.chain.blocks.block(5)
    assert block is not None
    steps = Rollback(member.kv).run(4)
    assert next(steps) == 4
    del steps
    member.close()
    again = SignedChain(tmp_path / "chain")
    assert contents(again.kv) == history[4]
    assert again.chain.tip.height == 4
    again.grow(1)
    parts = again.chain.blocks.result(5)
    assert parts is not None
    assert parts.state_root == block.result.state_root
    again.close()


async def test_there_is_no_way_back_to_a_state_that_is_not_kept(tmp_path: Path) -> None:
    member, history = await grown(tmp_path)
    batch = Batch()
    batch.put(layout.STATE_OLDEST, layout.pack_height(3))
    member.kv.write(batch, sync=True)
    before = contents(member.kv)
    with pytest.raises(UnrepairableError, match="goes to 3"):
        list(Rollback(member.kv).run(len(history) - 3))
    assert contents(member.kv) == before
    assert list(Rollback(member.kv).run(2)) == [4, 3]
    member.close()


async def test_what_an_older_version_did_not_write_down_is_refused_before_anything_changes(
    tmp_path: Path,
) -> None:
    member, _ = await grown(tmp_path)
    batch = Batch()
    for key in contents(member.kv):
        if key[:1] == layout.DELETED:
            batch.delete(key)
    member.kv.write(batch, sync=True)
    before = contents(member.kv)
    with pytest.raises(UnrepairableError, match="older version"):
        list(Rollback(member.kv).run(5))
    assert contents(member.kv) == before
    member.close()


def test_what_was_signed_and_what_is_pending_stays(tmp_path: Path) -> None:
    home: Home = make_stopped_home(tmp_path)
    home.mempool.mkdir()
    (home.mempool / "kept").write_bytes(b"pending")
    kept = [home.sign_state, home.consensus_log, home.evidence, home.mempool / "kept"]
    before = [path.read_bytes() for path in kept]
    result = run("rollback", 4, "--home", home.root)
    assert (result.exit_code, "last height is 4" in result.stdout) == (0, True)
    assert [path.read_bytes() for path in kept] == before
    assert run("verify", "--deep", "--home", home.root).exit_code == 0
    with opened(home) as kv:
        assert kv.get(layout.TIP) == layout.pack_height(4)
    assert run("rollback", 5, "--home", home.root).exit_code == 1
    again = run("rollback", 1, "--home", home.root, "--json")
    assert json.loads(again.stdout) == {"height": 3, "heights_removed": 1}
