"""What the node serves is what the SDK's client reads, and every proof holds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from medquorum.client import Client
from medquorum.errors import ProblemError
from medquorum.statetree import verify_state
from node.errors import RefusedError
from node.ledger.identities import ACTORS, NAMESPACE
from storage.leveldb import LevelDB
from tests.support.daemon import LocalNode, World, local_node
from tests.support.ledger import some_id
from tests.support.people import enrolment


@asynccontextmanager
async def clients(
    tmp_path: Path, *, world: World | None = None
) -> AsyncIterator[tuple[LocalNode, Client]]:
    """A node over LevelDB that proposes by itself, and a client that trusts its genesis only."""
    kv = LevelDB(tmp_path / "chain")
    async with local_node(tmp_path, kv=kv, world=world) as node, node.api() as api:
        async with api.get("/v1/status") as answer:
            base = str(answer.url.origin())
        async with node.proposing(), Client(base, genesis=node.genesis) as client:
            yield node, client
    kv.close()


async def test_the_client_submits_waits_and_proves(tmp_path: Path) -> None:
    async with clients(tmp_path) as (node, client):
        tx = node.transaction(enrolment(node, "a"))
        status = await client.submit(tx, wait="committed")
        assert (status.state, status.height) == ("committed", 1)
        assert (await client.receipt(tx.id)).succeeded
        assert (await client.block()).tx_ids == (tx.id,)
        assert (await client.block(1)).height == 1
        batch = await client.submit_batch([tx, node.transaction(enrolment(node, "b"))])
        assert [item.duplicate for item in batch] == [True, False]
        states = await client.txs([tx.id, bytes(32), tx.id])
        assert [status.state for status in states] == ["committed", "unknown", "committed"]
        assert (states[0].txid, states[0].height) == (tx.id.hex(), 1)
        assert await client.txs([]) == ()


async def test_more_ids_than_a_request_takes_are_refused_before_it_is_sent(tmp_path: Path) -> None:
    async with clients(tmp_path) as (_, client):
        with pytest.raises(ValueError, match="1001"):
            await client.txs([bytes(32)] * 1001)


async def test_state_is_proven_present_and_absent(tmp_path: Path) -> None:
    async with clients(tmp_path) as (node, client):
        await client.submit(node.transaction(enrolment(node, "a")), wait="committed")
        present = await client.state(NAMESPACE, ACTORS.key(some_id("a")))
        assert present.value == node.chain.state.get(NAMESPACE, ACTORS.key(some_id("a")))
        assert (await client.state(NAMESPACE, ACTORS.key(some_id("b")))).value is None
        assert (await client.state("nonsense", b"x")).value is None
        result = node.chain.blocks.result(1)
        assert result is not None
        value, proof = node.chain.state.proof(NAMESPACE, ACTORS.key(some_id("a")), 1)
        verify_state(result.state_root, NAMESPACE, ACTORS.key(some_id("a")), value, proof)


async def test_queries_schemas_and_genesis_are_readable(tmp_path: Path) -> None:
    async with clients(tmp_path) as (node, client):
        await client.submit(node.transaction(enrolment(node, "a")), wait="committed")
        found = await client.query("id.actor", actor=some_id("a"))
        assert found.height == 1
        assert isinstance(found.result, dict)
        assert found.result["kind"] == "staff"
        names = [(schema.type, schema.version) for schema in await client.schemas()]
        assert ("id.actor.enrol", 1) in names
        assert names == sorted(names)
        assert (await client.schema("rec.anchor")).fields[0] == "rec_id"
        assert (await client.genesis()).chain_id() == node.chain.chain_id
        assert (await client.status()).role == "validator"


async def test_every_published_schema_can_be_read(tmp_path: Path) -> None:
    async with clients(tmp_path) as (node, client):
        schemas = await client.schemas()
        assert len(schemas) == len(node.chain.registry.entries())
        for schema in schemas:
            assert schema.module
            assert schema.summary


async def test_the_client_follows_events(tmp_path: Path) -> None:
    async with clients(tmp_path) as (node, client):
        await client.submit(node.transaction(enrolment(node, "a")), wait="committed")
        events = client.events(after="0-0-0")
        async with asyncio.timeout(10):
            assert (await anext(events)).cursor == "1-0-0"
            await client.submit(node.transaction(enrolment(node, "b")))
            event = await anext(events)
        assert event.attributes["actor"] == some_id("b").hex()
        await events.aclose()


async def test_min_height_waits_for_the_commit(tmp_path: Path) -> None:
    async with local_node(tmp_path) as node, node.api() as api:

        async def read() -> int:
            async with api.get("/v1/headers?min_height=1&timeout=10") as answer:
                return len((await answer.json())["headers"])

        async with asyncio.TaskGroup() as group:
            reading = group.create_task(read())
            await node.tracker.someone_waits.wait()
            await node.commit()
        assert reading.result() == 1


async def test_a_linearizable_read_waits_for_what_was_decided_elsewhere(tmp_path: Path) -> None:
    world = World(read_height=1)
    async with local_node(tmp_path, world=world) as node, node.api() as api:

        async def read() -> str:
            path = "/v1/query/gov.params?consistency=linearizable&min_height=0&timeout=10"
            async with api.get(path) as answer:
                assert answer.status == 200, await answer.text()
                return answer.headers["MedQuorum-Height"]

        async with asyncio.TaskGroup() as group:
            reading = group.create_task(read())
            await node.tracker.someone_waits.wait()
            await node.commit()
        assert reading.result() == "1"


@pytest.mark.parametrize(
    ("code", "status"), [("no_leader", 503), ("not_offered", 409), ("halted", 503)]
)
async def test_a_linearizable_read_that_nobody_can_answer_says_why(
    tmp_path: Path, code: str, status: int
) -> None:
    world = World(read_height=RefusedError(code, "because"))
    async with local_node(tmp_path, world=world) as node, node.api() as api:
        async with api.get("/v1/params?consistency=linearizable") as answer:
            assert (answer.status, (await answer.json())["code"]) == (status, code)
        async with api.get("/v1/params?consistency=local") as answer:
            assert answer.status == 200
        async with api.get("/v1/params?consistency=strong") as answer:
            assert answer.status == 422


async def test_the_client_asks_for_linearizable_state(tmp_path: Path) -> None:
    world = World(read_height=RefusedError("not_offered", "not here"))
    async with clients(tmp_path, world=world) as (node, client):
        await client.submit(node.transaction(enrolment(node, "a")), wait="committed")
        assert (await client.state("identity", b"nothing")).value is None
        for ask in (
            client.state("identity", b"nothing", linearizable=True),
            client.query("gov.params", consistency="linearizable"),
        ):
            with pytest.raises(ProblemError) as refused:
                await ask
            assert refused.value.code == "not_offered"


async def test_headers_params_and_queries_are_listed(tmp_path: Path) -> None:
    async with local_node(tmp_path) as node, node.api() as api:
        for _ in range(5):
            await node.commit()
        async with api.get("/v1/headers?from=2&limit=3") as answer:
            page = await answer.json()
        assert ([header["height"] for header in page["headers"]], page["next"]) == ([2, 3, 4], 5)
        async with api.get("/v1/params") as answer:
            params = (await answer.json())["params"]
        assert len(params) == len(node.chain.registry.params())
        async with api.get("/v1/query") as answer:
            assert len((await answer.json())["queries"]) == len(node.chain.registry.queries())
        async with api.get("/v1/consensus") as answer:
            assert await answer.json() is None
        async with api.get("/v1/validators") as answer:
            validators = await answer.json()
        assert (validators["height"], len(validators["validators"])) == (6, 1)
