"""Whatever is sent, the answer is a problem with a code, and never a page of somebody else's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
from aiohttp import ClientSession

from medquorum.catalogue import entry
from node.rpc.errors import FieldsError
from node.rpc.middleware import host_allowed
from node.rpc.params import collect
from tests.support.daemon import MSGPACK, local_node

JSON = {"Content-Type": "application/json"}


async def refused(
    api: ClientSession,
    method: str,
    path: str,
    *,
    data: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, str]:
    """Status and code of a refusal, whose form is checked."""
    async with api.request(method, path, data=data, headers=headers) as answer:
        assert answer.content_type == "application/problem+json", await answer.text()
        problem = await answer.json()
        assert problem["status"] == answer.status
        assert len(problem["trace_id"]) == 16
        known = entry(problem["code"])
        assert known is not None
        assert known.retryable == problem["retryable"]
        assert answer.headers["MedQuorum-Height"] == "0"
        return answer.status, problem["code"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "not_found"),
        ("GET", "/v2/status", 404, "not_found"),
        ("GET", "/v1/status/", 404, "not_found"),
        ("DELETE", "/v1/status", 405, "method_not_allowed"),
        ("GET", "/v1/txs", 405, "method_not_allowed"),
        ("GET", "/v1/txs/zz", 422, "schema_violation"),
        ("GET", "/v1/txs/ABCD", 422, "schema_violation"),
        ("GET", f"/v1/txs/{'00' * 32}?wait=forever", 422, "schema_violation"),
        ("GET", f"/v1/txs/{'00' * 32}?timeout=61", 422, "schema_violation"),
        ("GET", f"/v1/txs/{'00' * 32}?timeout=nan", 422, "schema_violation"),
        ("GET", f"/v1/txs/{'00' * 32}/receipt", 404, "not_found"),
        ("GET", f"/v1/txs/{'00' * 32}/raw", 404, "not_found"),
        ("GET", "/v1/status?nonsense=1", 422, "schema_violation"),
        ("GET", "/v1/status?timeout=1&timeout=2", 422, "schema_violation"),
        ("GET", "/v1/status?min_height=1&timeout=0", 503, "not_ready"),
        ("GET", "/v1/blocks/0", 404, "not_found"),
        ("GET", "/v1/blocks/1", 409, "height_in_future"),
        ("GET", "/v1/blocks/latest", 404, "not_found"),
        ("GET", "/v1/blocks/-1", 422, "schema_violation"),
        ("GET", "/v1/blocks/9007199254740992", 422, "schema_violation"),
        ("GET", "/v1/headers?limit=101", 422, "schema_violation"),
        ("GET", "/v1/validators?height=2", 409, "height_in_future"),
        ("GET", "/v1/state/identity/00?height=1", 409, "height_in_future"),
        ("GET", "/v1/state/identity/00", 404, "not_found"),
        ("GET", "/v1/query/no.such", 404, "not_found"),
        ("GET", "/v1/query/id.actor", 422, "schema_violation"),
        ("GET", "/v1/query/id.actor?actor=XY", 422, "schema_violation"),
        ("GET", "/v1/query/id.actor?actor=00&more=1", 422, "schema_violation"),
        ("GET", "/v1/schemas/no.such/1", 404, "not_found"),
        ("GET", "/v1/schemas/rec.anchor/x", 422, "schema_violation"),
        ("GET", "/v1/events?after=1-2", 422, "schema_violation"),
        ("GET", "/v1/events/stream?after=x", 422, "schema_violation"),
    ],
)
async def test_every_wrong_request_gets_its_code(
    tmp_path: Path, method: str, path: str, status: int, code: str
) -> None:
    async with local_node(tmp_path) as node, node.api() as api:
        assert await refused(api, method, path) == (status, code)


@pytest.mark.parametrize(
    ("headers", "body", "status", "code"),
    [
        ({"Content-Type": "text/plain"}, b"x", 415, "unsupported_media_type"),
        ({}, b"x", 415, "unsupported_media_type"),
        (MSGPACK | {"Content-Encoding": "gzip"}, b"x", 415, "unsupported_media_type"),
        (MSGPACK | {"Accept": "text/html"}, b"x", 406, "unsupported_media_type"),
        (MSGPACK | {"Accept": "application/json;q=0"}, b"x", 406, "unsupported_media_type"),
        (MSGPACK | {"Host": "evil.example"}, b"x", 403, "policy_denied"),
        (MSGPACK, b"", 400, "malformed"),
        (MSGPACK, b"\xc1", 400, "malformed"),
        (MSGPACK, b"\x92\xc4\x01a\xdc\x00\x01\xc4\x01b", 400, "malformed"),
        (MSGPACK, bytes(200_000), 413, "too_large"),
        (JSON, b"{", 400, "malformed"),
        (JSON, b'{"tx": 1}', 400, "malformed"),
        (JSON, b'{"tx": "\xff"}', 400, "malformed"),
        (JSON, b'{"tx": "a="}', 400, "malformed"),
        (JSON, b'{"tx": "", "more": 1}', 400, "malformed"),
        (JSON, b"[" * 100_000, 400, "malformed"),
    ],
)
async def test_every_wrong_body_gets_its_code(
    tmp_path: Path, headers: dict[str, str], body: bytes, status: int, code: str
) -> None:
    async with local_node(tmp_path) as node, node.api() as api:
        found = await refused(api, "POST", "/v1/txs", data=body, headers=headers)
        assert found == (status, code)


async def test_a_body_of_unknown_length_is_cut_at_its_limit(tmp_path: Path) -> None:
    async def endless() -> object:
        for _ in range(400):
            yield bytes(1024)

    async with local_node(tmp_path) as node, node.api() as api:
        answer = await api.post("/v1/txs", data=endless(), headers=MSGPACK)
        assert (answer.status, (await answer.json())["code"]) == (413, "too_large")


async def test_a_batch_of_too_many_is_refused_whole(tmp_path: Path) -> None:
    batch = b"\xdc" + (1001).to_bytes(2, "big") + b"\xc4\x00" * 1001
    async with local_node(tmp_path) as node, node.api() as api:
        found = await refused(api, "POST", "/v1/txs/batch", data=batch, headers=MSGPACK)
        assert found == (400, "malformed")


@pytest.mark.parametrize("txids", [["00"], ["zz" * 32], ["00" * 32] * 1001, [7], "00"])
async def test_ids_that_are_none_or_too_many_are_refused_whole(
    tmp_path: Path, txids: object
) -> None:
    async with local_node(tmp_path) as node, node.api() as api:
        body, headers = msgspec.json.encode({"txids": txids}), {"Content-Type": "application/json"}
        found = await refused(api, "POST", "/v1/txs/states", data=body, headers=headers)
        assert found == (400, "malformed")


async def test_a_failure_of_ours_tells_a_trace_id_and_nothing_else(tmp_path: Path) -> None:
    async with local_node(tmp_path) as node, node.api() as api:
        secret = "patient 4711"

        def fail() -> None:
            raise LookupError(secret)

        node.pool.counts = fail  # type: ignore[method-assign,assignment]  # a bug of ours
        async with api.get("/v1/status") as answer:
            text = await answer.text()
        assert answer.status == 500
        assert secret not in text
        (call,) = node.log.calls
        assert call.kwargs["error"] == "LookupError"
        assert call.kwargs["trace_id"] in text
        assert secret not in str(call)


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("localhost", True),
        ("localhost:29651", True),
        ("127.0.0.1:1", True),
        ("[::1]:29651", True),
        ("node.hospital.test", True),
        ("NODE.hospital.test:443", True),
        ("evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("10.0.0.5", False),
        ("", False),
        ("[::1", False),
        ("node.hospital.test@evil.example", False),
    ],
)
def test_only_our_own_names_are_taken_as_host(host: str, allowed: bool) -> None:
    assert host_allowed(host, frozenset({"node.hospital.test"})) == allowed


def test_too_many_parameters_are_refused() -> None:
    with pytest.raises(FieldsError):
        collect((str(number), "") for number in range(100))
