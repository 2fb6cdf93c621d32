"""The event loop is never held up by what handlers do, as far as blocking calls can be caught."""

from __future__ import annotations

from pathlib import Path

from blockbuster import BlockBuster

from tests.support.daemon import MSGPACK, local_node
from tests.support.ledger import some_id
from tests.support.people import enrolment


async def test_no_handler_calls_what_blocks(tmp_path: Path, no_blocking: BlockBuster) -> None:
    no_blocking.deactivate()  # opening files is for the start of a node
    async with local_node(tmp_path) as node, node.api() as api, node.ops() as ops:
        no_blocking.activate()
        tx = node.transaction(enrolment(node, "a"))
        async with api.post("/v1/txs", data=tx.raw, headers=MSGPACK) as answer:
            assert answer.status == 202
        await node.commit()
        actor = some_id("a").hex()
        for path in (
            f"/v1/txs/{tx.id.hex()}",
            f"/v1/txs/{tx.id.hex()}/receipt",
            f"/v1/txs/{tx.id.hex()}/raw",
            "/v1/blocks/latest",
            "/v1/headers",
            "/v1/validators",
            "/v1/genesis",
            "/v1/params",
            f"/v1/state/identity/{actor}",
            "/v1/query",
            f"/v1/query/id.actor?actor={actor}",
            "/v1/schemas",
            "/v1/schemas/id.actor.enrol/1",
            "/v1/events",
            "/v1/status",
            "/v1/consensus",
            "/v1/openapi.json",
        ):
            async with api.get(path) as answer:
                assert answer.status == 200, (path, await answer.text())
        for path in ("/livez", "/readyz", "/metrics", "/version"):
            async with ops.get(path) as answer:
                assert answer.status == 200
        no_blocking.deactivate()
