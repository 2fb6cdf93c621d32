"""Submitting transactions over HTTP, and asking what became of them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from aiohttp import ClientSession

from medquorum.encoding import to_base64url
from medquorum.receipt import verify_receipt
from medquorum.transaction import Operation, Transaction, build, sign
from tests.support.daemon import MSGPACK, ROOT, LocalNode, World, local_node
from tests.support.ledger import founding, some_key
from tests.support.people import enrolment


def good(node: LocalNode, name: str = "somebody") -> Transaction:
    """A transaction that succeeds."""
    return node.transaction(enrolment(node, name))


async def post(api: ClientSession, path: str, raw: bytes) -> tuple[int, dict[str, object]]:
    """Post MessagePack."""
    async with api.post(path, data=raw, headers=MSGPACK) as answer:
        return answer.status, await answer.json()


async def fetch(api: ClientSession, path: str) -> dict[str, object]:
    """Get JSON."""
    async with api.get(path) as answer:
        found: dict[str, object] = await answer.json()
        return found


async def test_a_submitted_transaction_is_pending_until_it_is_committed(tmp_path: Path) -> None:
    async with local_node(tmp_path) as node, node.api() as api:
        tx = good(node)
        async with api.post("/v1/txs", data=tx.raw, headers=MSGPACK) as answer:
            assert answer.status == 202
            assert answer.headers["Location"] == f"/v1/txs/{tx.id.hex()}"
            assert answer.headers["MedQuorum-Height"] == "0"
            assert answer.headers["MedQuorum-Chain-Id"] == node.chain.chain_id.hex()
            assert await answer.json() == {"txid": tx.id.hex(), "state": "pending"}
        await node.commit()
        async with api.get(f"/v1/txs/{tx.id.hex()}") as answer:
            found = await answer.json()
        assert found["state"] == "committed"
        assert (found["height"], found["index"], found["code"]) == (1, 0, "ok")


async def test_waiting_for_the_commit_answers_with_the_outcome(tmp_path: Path) -> None:
    async with local_node(tmp_path) as node, node.api() as api, node.proposing():
        tx = good(node)
        status, found = await post(api, "/v1/txs?wait=committed&timeout=10", tx.raw)
        assert (status, found["state"], found["height"]) == (201, "committed", 1)
        assert found["receipt_url"] == f"/v1/txs/{tx.id.hex()}/receipt"


async def test_a_wait_that_ends_early_says_pending_and_no_error(tmp_path: Path) -> None:
    async with local_node(tmp_path) as node, node.api() as api:
        status, found = await post(api, "/v1/txs?wait=committed&timeout=0.01", good(node).raw)
        assert (status, found["state"]) == (202, "pending")


async def test_the_same_transaction_again_gets_the_original_result(tmp_path: Path) -> None:
    async with local_node(tmp_path) as node, node.api() as api:
        tx = good(node)
        await post(api, "/v1/txs", tx.raw)
        status, found = await post(api, "/v1/txs", tx.raw)
        assert (status, found["state"], found["duplicate"]) == (200, "pending", True)
        await node.commit()
        status, found = await post(api, "/v1/txs", tx.raw)
        assert (status, found["state"], found["height"]) == (200, "committed", 1)


async def test_a_transaction_that_fails_is_rejected_for_good_with_its_code(tmp_path: Path) -> None:
    async with local_node(tmp_path) as node, node.api() as api, node.proposing():
        await node.admit(good(node))
        again = node.transaction(enrolment(node, "other"), enrolment(node, "somebody"))
        status, found = await post(api, "/v1/txs?wait=committed", again.raw)
        assert (status, found["state"]) == (201, "rejected")
        assert (found["code"], found["operation"]) == ("E_DUP", 1)


async def test_json_is_as_good_as_messagepack(tmp_path: Path) -> None:
    async with local_node(tmp_path) as node, node.api() as api:
        tx = good(node)
        async with api.post("/v1/txs", json={"tx": to_base64url(tx.raw)}) as answer:
            assert answer.status == 202
        assert tx.id in node.pool


async def test_an_expired_transaction_is_told_to_whoever_waits(tmp_path: Path) -> None:
    async with local_node(tmp_path) as node, node.api() as api:
        tx = node.transaction(enrolment(node, "late"), valid_for=1)
        await node.admit(tx)
        node.pool.candidates = lambda **_: []  # type: ignore[method-assign]  # nobody proposes it
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(fetch(api, f"/v1/txs/{tx.id.hex()}?wait=committed"))
            await node.tracker.someone_waits.wait()
            await node.commit()
        assert asked.result()["state"] == "expired"


async def test_an_unknown_transaction_is_an_answer_and_no_error(tmp_path: Path) -> None:
    async with local_node(tmp_path) as node, node.api() as api:
        assert (await fetch(api, f"/v1/txs/{'00' * 32}"))["state"] == "unknown"


async def test_each_transaction_of_a_batch_fails_on_its_own(tmp_path: Path) -> None:
    async with local_node(tmp_path) as node, node.api() as api:
        first, second = good(node, "one"), good(node, "two")
        forged = bytearray(second.raw)
        forged[-1] ^= 1
        batch = msgspec.msgpack.encode([first.raw, b"\xc1", bytes(forged), first.raw, second.raw])
        status, found = await post(api, "/v1/txs/batch", batch)
        results = found["results"]
        assert isinstance(results, list)
        assert status == 200
        assert [one.get("problem", {}).get("code") for one in results] == [
            None, "malformed", "bad_signature", None, None,
        ]  # fmt: skip
        assert results[3]["duplicate"] is True
        assert results[4] == {"txid": second.id.hex(), "state": "pending"}


async def test_a_batch_without_room_for_any_is_refused_as_one_before_signatures_are_checked(
    tmp_path: Path,
) -> None:
    async with local_node(tmp_path) as node, node.api() as api:
        known = good(node, "known")
        await node.admit(known)
        node.pool.give_room(0)
        forged = bytearray(good(node, "forged").raw)
        forged[-1] ^= 1
        crowd = [good(node, "late").raw, bytes(forged)]
        raw = msgspec.msgpack.encode(crowd)
        async with api.post("/v1/txs/batch", data=raw, headers=MSGPACK) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (429, "1")
            assert (await answer.json())["code"] == "rate_limited"
        status, found = await post(
            api, "/v1/txs/batch", msgspec.msgpack.encode([known.raw, *crowd])
        )
        results = found["results"]
        assert isinstance(results, list)
        assert status == 200
        assert results[0] == {"txid": known.id.hex(), "state": "pending", "duplicate": True}
        assert [one["problem"]["code"] for one in results[1:]] == ["rate_limited"] * 2


async def test_a_receipt_from_the_api_verifies_against_the_genesis(tmp_path: Path) -> None:
    async with local_node(tmp_path) as node, node.api() as api:
        txs = [good(node, f"person {number}") for number in range(3)]
        await node.admit(*txs)
        await node.commit()
        for tx in txs:
            async with api.get(f"/v1/txs/{tx.id.hex()}/receipt") as answer:
                proven = verify_receipt(await answer.read(), node.genesis)
            assert (proven.tx_id, proven.height, proven.code) == (tx.id, 1, "ok")
            assert [event.type for event in proven.events] == ["id.actor_enrolled"]
            async with api.get(f"/v1/txs/{tx.id.hex()}/raw") as answer:
                assert await answer.read() == tx.raw


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ("halted", 503, "halted"),
        ("disk", 503, "disk_low"),
        ("quota", 429, "rate_limited"),
    ],
)
async def test_a_node_that_takes_no_work_says_why(
    tmp_path: Path, change: str, status: int, code: str
) -> None:
    world = World()
    async with local_node(tmp_path, world=world) as node, node.api() as api:
        match change:
            case "halted":
                world.halted = "divergence"
            case "disk":
                world.disk.f_bavail = 900 * 1024
                node.disk.check()
            case _:
                world.admit = lambda _org: False
        found_status, found = await post(api, "/v1/txs", good(node).raw)
        assert (found_status, found["code"], found["retryable"]) == (status, code, code != "halted")


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ("type", 422, "schema_violation"),
        ("body", 422, "schema_violation"),
        ("late", 409, "expired"),
        ("far", 409, "not_yet_valid"),
        ("key", 403, "unknown_key"),
        ("chain", 409, "wrong_chain"),
    ],
)
async def test_what_could_never_be_committed_is_refused_at_the_door(
    tmp_path: Path, change: str, status: int, code: str
) -> None:
    async with local_node(tmp_path) as node, node.api() as api:
        operation = enrolment(node, "somebody")
        match change:
            case "type":
                tx = node.transaction(Operation("no.such", 1, b"\x90"))
            case "body":
                tx = node.transaction(Operation("id.actor.enrol", 1, b"\x90"))
            case "late":
                tx = node.transaction(operation, valid_for=0)
            case "far":
                tx = node.transaction(operation, valid_for=10**6)
            case "key":
                tx = node.transaction(operation, by=[some_key("nobody")])
            case _:
                genesis = founding(validators=2)
                body = build(
                    chain_id=genesis.chain_id(),
                    nonce=bytes(16),
                    valid_until=10,
                    operations=[operation],
                    signers=[ROOT.public],
                )
                tx = sign(body, [ROOT])
        found_status, found = await post(api, "/v1/txs", tx.raw)
        assert (found_status, found["code"]) == (status, code)
        if change != "chain":
            assert found["txid"] == tx.id.hex()
