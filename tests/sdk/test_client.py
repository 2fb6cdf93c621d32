"""The client gets final answers through a bad network, and believes no node."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from blockbuster import BlockBuster

from medquorum.client import Client
from medquorum.client_sync import SyncClient
from medquorum.connection import Retry
from medquorum.errors import (
    AnswerError,
    ProblemError,
    UnreachableError,
    VerificationError,
    WaitTimeoutError,
)
from medquorum.keys import SigningKey
from medquorum.vault import seal
from tests.support.chain import genesis_of
from tests.support.fake_node import STATE_KEY, STATE_VALUE, FakeNode, Handler, problem

FAST = Retry(deadline_s=5.0, attempt_s=2.0, pause_s_min=0.001, pause_s_max=0.01)
IMPATIENT = Retry(deadline_s=0.05, attempt_s=0.05, pause_s_min=0.001, pause_s_max=0.01)
REC = b"\x31" * 32


@pytest.fixture
async def node() -> FakeNode:
    return FakeNode()


@pytest.fixture
async def url(node: FakeNode) -> AsyncIterator[str]:
    async with node.serving() as url:
        yield url


@pytest.fixture
async def client(node: FakeNode, url: str) -> AsyncIterator[Client]:
    async with Client(url, genesis=node.chain.genesis, retry=FAST) as client:
        yield client


async def busy(_request: web.Request) -> web.StreamResponse:
    return problem(503, "mempool_full", retryable=True, retry_after_ms=2)


async def bad_gateway(_request: web.Request) -> web.StreamResponse:
    return web.Response(status=502, text="<html>nginx</html>")


async def hang_up(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


async def test_a_transaction_is_built_sent_committed_and_proven(
    node: FakeNode, client: Client, no_blocking: BlockBuster
) -> None:
    transaction = node.chain.transaction("one")
    status = await client.submit(transaction, wait="committed")
    assert (status.state, status.final, status.height) == ("committed", True, 4)
    verified = await client.receipt(transaction.id)
    assert (verified.tx_id, verified.succeeded) == (transaction.id, True)
    assert (await client.tx(transaction.id)).final


@pytest.mark.parametrize("fault", [busy, bad_gateway, hang_up])
async def test_what_passes_by_itself_is_tried_again(
    node: FakeNode, client: Client, fault: Handler
) -> None:
    node.faults += [fault, fault, fault]
    status = await client.submit(node.chain.transaction("one"), wait="committed")
    assert status.state == "committed"
    assert len(node.seen) == 4


async def test_an_answer_that_got_lost_does_not_commit_twice(
    node: FakeNode, client: Client
) -> None:
    transaction = node.chain.transaction("one")

    async def take_and_hang_up(request: web.Request) -> web.StreamResponse:
        await node._submit(request)
        return await hang_up(request)

    node.faults.append(take_and_hang_up)
    status = await client.submit(transaction, wait="committed")
    assert status.duplicate
    assert status.state == "committed"
    assert len(node.chain.blocks) == 4


async def test_a_refusal_is_an_error_with_its_code_at_once(node: FakeNode, client: Client) -> None:
    async def refuse(_request: web.Request) -> web.StreamResponse:
        return problem(403, "key_revoked", detail="since height 2", txid="ab")

    node.faults.append(refuse)
    with pytest.raises(ProblemError, match="since height 2") as error:
        await client.submit(node.chain.transaction("one"))
    assert (error.value.code, error.value.status, error.value.tx_id) == ("key_revoked", 403, "ab")
    assert len(node.seen) == 1


async def test_a_rejected_transaction_is_an_answer_and_its_receipt_proves_it(
    node: FakeNode, client: Client
) -> None:
    node.auto_commit = False
    transaction = node.chain.transaction("one")
    assert (await client.submit(transaction)).state == "pending"
    node.commit(code="E_CONSENT")
    status = await client.wait(transaction.id)
    assert (status.state, status.code) == ("rejected", "E_CONSENT")
    assert (await client.receipt(transaction.id)).code == "E_CONSENT"


async def test_waiting_ends_when_the_transaction_is_committed(
    node: FakeNode, client: Client
) -> None:
    node.auto_commit = False
    transaction = node.chain.transaction("one")
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(client.submit(transaction, wait="committed"))
        await node.asked_to_wait.wait()
        node.commit()
    assert task.result().state == "committed"


async def test_waiting_in_vain_loses_nothing(node: FakeNode, client: Client) -> None:
    node.auto_commit = False
    transaction = node.chain.transaction("one")
    with pytest.raises(WaitTimeoutError) as error:
        await client.submit(transaction, wait="committed", timeout_s=0.05)
    assert error.value.tx_id == transaction.id
    node.commit()
    assert (await client.wait(transaction.id)).state == "committed"


async def test_a_batch_answers_for_each_transaction(node: FakeNode, client: Client) -> None:
    one, two = node.chain.transaction("one"), node.chain.transaction("two")
    items = await client.submit_batch([one, two, one])
    assert [item.state for item in items] == ["pending", "pending", ""]
    assert items[2].problem is not None
    assert items[2].problem.code == "mempool_full"
    with pytest.raises(ValueError, match="too many"):
        await client.submit_batch([one] * 1001)


async def test_nobody_there_is_said_after_the_deadline(node: FakeNode) -> None:
    async with node.serving() as url:
        pass
    async with Client(url, retry=IMPATIENT) as client:
        with pytest.raises(UnreachableError):
            await client.status()


async def test_somebody_else_there_is_noticed(node: FakeNode, client: Client) -> None:
    async def web_page(_request: web.Request) -> web.StreamResponse:
        return web.Response(text="<html>")

    async def not_found(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=404, text="<html>")

    async def other_chain(_request: web.Request) -> web.StreamResponse:
        return web.json_response({}, headers={"MedQuorum-Chain-Id": "00" * 32})

    for fault in (web_page, not_found):
        node.faults.append(fault)
        with pytest.raises(AnswerError):
            await client.status()
    node.faults.append(other_chain)
    with pytest.raises(VerificationError, match="chain_id"):
        await client.status()


async def test_blocks_are_verified_through_changes_of_the_validators(
    node: FakeNode, client: Client
) -> None:
    assert (await client.block(1)).height == 1
    assert (await client.block()).height == 3
    assert [r.path for r in node.seen].count("/v1/validators") == 1
    assert (await client.block(3)).block == node.chain.blocks[2].certified
    assert [r.path for r in node.seen].count("/v1/validators") == 1


async def test_a_node_cannot_pass_off_another_block(node: FakeNode, client: Client) -> None:
    async def other_height(_request: web.Request) -> web.StreamResponse:
        _, raw = node._certified("1")
        return web.json_response({"tx_ids": [], "raw": raw})

    async def other_transactions(_request: web.Request) -> web.StreamResponse:
        _, raw = node._certified("1")
        return web.json_response({"tx_ids": ["00" * 32], "raw": raw})

    node.faults.append(other_height)
    with pytest.raises(VerificationError, match="block_height"):
        await client.block(2)
    node.faults.append(other_transactions)
    with pytest.raises(VerificationError, match="block_txs"):
        await client.block(1)


async def test_state_is_proven_present_or_absent(node: FakeNode, client: Client) -> None:
    value = await client.state("records", STATE_KEY)
    assert (value.value, value.height) == (STATE_VALUE, 3)
    assert (await client.state("records", b"other")).value is None
    assert (await client.state("records", STATE_KEY, height=1)).height == 1


async def test_a_lie_about_the_state_is_seen(node: FakeNode, client: Client) -> None:
    async def hide(request: web.Request) -> web.StreamResponse:
        honest = await node._state(request)
        assert honest.text is not None
        return web.Response(text=honest.text.replace(f'"{STATE_VALUE.hex()}"', "null"))

    async def stale(request: web.Request) -> web.StreamResponse:
        return await node._state(request.clone(rel_url=request.rel_url.with_query(height=1)))

    node.faults.append(hide)
    with pytest.raises(VerificationError, match="state_value"):
        await client.state("records", STATE_KEY)
    node.faults.append(stale)
    with pytest.raises(VerificationError, match="state_height"):
        await client.state("records", STATE_KEY, height=3)
    node.faults.append(stale)
    with pytest.raises(VerificationError, match="state_height"):
        await client.state("records", STATE_KEY, min_height=3)


async def test_the_chain_id_alone_is_enough_to_verify(node: FakeNode, url: str) -> None:
    async with Client(url, chain_id=node.chain.chain_id, retry=FAST) as client:
        assert (await client.block()).height == 3


async def test_another_genesis_is_not_believed(node: FakeNode, url: str) -> None:
    async def other(request: web.Request) -> web.StreamResponse:
        other_node = FakeNode()
        other_node.chain.genesis = genesis_of(("x",))
        return await other_node._genesis(request)

    node.faults.append(other)
    async with Client(url, chain_id=node.chain.chain_id, retry=FAST) as client:
        with pytest.raises(VerificationError, match="chain_id"):
            await client.genesis()


async def test_without_an_anchor_nothing_passes_for_proven(url: str) -> None:
    async with Client(url, retry=FAST) as client:
        assert (await client.status()).height == 3
        with pytest.raises(VerificationError, match="no_anchor"):
            await client.block()


async def test_queries_send_bytes_as_hexadecimal(client: Client) -> None:
    answer = await client.query("rec.history", rec_id=b"\xab", limit=3)
    assert answer.result == {"name": "rec.history", "rec_id": "ab", "limit": "3"}


async def test_the_builder_ends_within_the_window(node: FakeNode, client: Client) -> None:
    key = SigningKey.generate()
    builder = (await client.builder(window=7)).signer(key.public)
    draft = builder.operation("x", node.chain.genesis.organisations[0]).build()
    assert (draft.body.chain_id, draft.body.valid_until) == (node.chain.chain_id, 10)


def event(cursor: str) -> bytes:
    return (
        f'id: {cursor}\nevent: x\ndata: {{"cursor":"{cursor}","height":1,"type":"x"}}\n\n'.encode()
    )


async def test_events_resume_where_they_broke_off(node: FakeNode, client: Client) -> None:
    node.streams = [
        [event("1-0-0"), event("1-0-1")[:20]],
        [event("1-0-1"), b": comment\n\n", b"id: 5-0-0\nevent: heartbeat\ndata: {}\n\n"],
        [event("6-0-0")],
    ]
    node.faults.append(busy)
    cursors = []
    events = client.events(after="0-0-0", types=["x", "y"])
    async for happened in events:
        cursors.append(happened.cursor)
        if len(cursors) == 3:
            break
    assert cursors == ["1-0-0", "1-0-1", "6-0-0"]
    resumed = [request.headers.get("Last-Event-ID") for request in node.seen]
    assert resumed == ["0-0-0", "0-0-0", "1-0-0", "5-0-0"]
    assert node.seen[0].query["types"] == "x,y"
    await events.aclose()


async def test_a_pruned_cursor_ends_the_stream(node: FakeNode, client: Client) -> None:
    async def pruned(_request: web.Request) -> web.StreamResponse:
        return problem(410, "cursor_pruned")

    node.faults.append(pruned)
    with pytest.raises(ProblemError, match="cursor_pruned"):
        await anext(client.events(after="0-0-0"))


async def test_a_record_goes_into_the_vault_and_comes_out_for_its_reader(
    node: FakeNode, client: Client
) -> None:
    key, req_id = SigningKey.generate(), b"\x41" * 32
    sealed = seal(b'{"a":1}', chain_id=node.chain.chain_id, rec_id=REC, version=1)
    node.faults.append(busy)
    await client.upload(sealed, rec_id=REC, version=1, key=key)
    release = await client.release(req_id, [REC], key=key)
    (record,) = release.records
    text = record.open(
        node.reader,
        chain_id=node.chain.chain_id,
        req_id=req_id,
        purpose="TREAT",
        expires_ms=99,
        ct_hash=sealed.ct_hash,
        commitment=sealed.commitment,
    )
    assert text == b'{"a":1}'
    assert "ciphertext" not in repr(release)


async def test_a_client_that_is_not_open_says_so(url: str) -> None:
    with pytest.raises(RuntimeError, match="context manager"):
        await Client(url).status()


async def test_the_synchronous_client_makes_the_same_calls(node: FakeNode, url: str) -> None:
    transaction = node.chain.transaction("one")
    node.streams = [[event("1-0-0"), event("2-0-0")]]

    def use() -> list[str]:
        with SyncClient(url, genesis=node.chain.genesis, retry=FAST) as client:
            assert client.submit(transaction, wait="committed").state == "committed"
            assert client.receipt(transaction.id).succeeded
            assert client.state("records", STATE_KEY).value == STATE_VALUE
            assert client.block(1).height == 1
            events = client.events()
            cursors = [next(events).cursor, next(events).cursor]
            events.close()
            return cursors

    assert await asyncio.to_thread(use) == ["1-0-0", "2-0-0"]
    with pytest.raises(RuntimeError, match="context manager"):
        SyncClient(url).status()
