"""What is asked of heights that were given up is answered with the oldest one that is here."""

from __future__ import annotations

from pathlib import Path

from aiohttp import ClientSession

from node.ledger.types.identity.bodies import KemSet
from node.pruning.removing import draw_line, remove
from storage.memory import MemoryKV
from tests.support.daemon import local_node

LINE = 4
VERSIONS = 100
"""Of the state, that the node of the tests keeps."""


async def problem(api: ClientSession, path: str) -> tuple[int, str, int | None]:
    """The status, the code and the oldest height of a refusal."""
    async with api.get(path) as answer:
        document = await answer.json()
        return answer.status, document["code"], document.get("oldest")


async def test_pruned_blocks_receipts_and_transactions_name_the_oldest_block(
    tmp_path: Path,
) -> None:
    kv = MemoryKV()
    async with local_node(tmp_path, kv=kv) as node, node.api() as api:
        ids = []
        for _ in range(6):
            tx = node.transaction(node.operation("id.kem.set", KemSet(bytes(32), b"")))
            await node.admit(tx)
            await node.commit()
            ids.append(tx.id.hex())
        draw_line(kv, LINE)
        remove(kv, 1, LINE, sync=True)
        gone = (410, "pruned", LINE)
        assert await problem(api, f"/v1/blocks/{LINE - 1}") == gone
        assert await problem(api, f"/v1/txs/{ids[LINE - 2]}/receipt") == gone
        assert await problem(api, f"/v1/txs/{ids[LINE - 2]}/raw") == gone
        assert await problem(api, "/v1/events?after=0-0-0") == (410, "cursor_pruned", None)
        for path in (f"blocks/{LINE}", f"txs/{ids[LINE - 1]}/receipt", f"txs/{ids[0]}", "headers"):
            async with api.get(f"/v1/{path}") as answer:
                assert answer.status == 200, path


async def test_a_pruned_state_names_the_oldest_state_and_metrics_count_versions(
    tmp_path: Path,
) -> None:
    async with local_node(tmp_path) as node, node.api() as api, node.ops() as ops:
        for _ in range(VERSIONS + 3):
            await node.commit()
        while node.chain.state.prune(1_000):
            pass
        assert await problem(api, "/v1/state/governance/70?height=1") == (410, "pruned", 3)
        async with ops.get("/metrics") as answer:
            page = await answer.text()
    assert f"medquorum_state_versions {VERSIONS + 1}.0" in page
    assert "medquorum_state_oldest_height 3.0" in page
    assert "medquorum_oldest_block 1.0" in page
