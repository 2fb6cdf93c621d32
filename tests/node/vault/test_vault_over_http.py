"""The vault as clients meet it: signed requests, and the SDK's client at the other end."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp import ClientSession

from medquorum.codec import encode_plain
from medquorum.keys import SigningKey
from medquorum.request import sign_request
from medquorum.vault import SealedRecord
from tests.support.custody import DOCTOR, GATEWAY_KEM, Custody, custodian
from tests.support.daemon import MSGPACK
from tests.support.ledger import some_id, some_key

AUTHOR = some_key("author")
JSON = {"Content-Type": "application/json"}


async def send(
    case: Custody,
    api: ClientSession,
    method: str,
    path: str,
    body: bytes,
    *,
    key: SigningKey,
    skew_ms: int = 0,
    signed_body: bytes | None = None,
) -> tuple[int, dict[str, object]]:
    """A signed request."""
    headers = sign_request(
        key,
        chain_id=case.node.chain.chain_id,
        method=method,
        path=path,
        time_ms=case.node.now_ms + skew_ms,
        body=body if signed_body is None else signed_body,
    )
    kind = MSGPACK if method == "PUT" else JSON
    async with api.request(method, path, data=body, headers=headers | kind) as answer:
        return answer.status, await answer.json()


def upload(case: Custody, name: str, sealed: SealedRecord, version: int = 1) -> tuple[str, bytes]:
    """Path and body."""
    body = encode_plain([sealed.ciphertext, case.envelope(name, sealed, version)])
    return f"/v1/vault/records/{some_id(name).hex()}/{version}", body


async def test_a_record_goes_in_and_comes_out_over_http(tmp_path: Path) -> None:
    async with custodian(tmp_path) as case, case.node.api() as api:
        async with api.get("/v1/vault/kem") as answer:
            assert (await answer.json())["kem_public"] == GATEWAY_KEM.public.hex()
        sealed = case.sealed("one")
        path, body = upload(case, "one", sealed)
        for _ in range(2):
            status, found = await send(case, api, "PUT", path, body, key=AUTHOR)
            assert (status, found) == (201, {"blob": sealed.ct_hash.hex()})
        await case.anchor("one", sealed)
        await case.grant()
        req_id = await case.ask()
        ask = b'{"req_id":"%s","rec_ids":["%s"]}' % (
            req_id.hex().encode(), some_id("one").hex().encode(),
        )  # fmt: skip
        async with case.node.proposing():
            status, found = await send(case, api, "POST", "/v1/vault/release", ask, key=DOCTOR)
        assert status == 200
        assert case.node.chain.seen(bytes.fromhex(str(found["log_txid"])))


async def test_a_denial_over_http_names_the_rule_and_the_logged_transaction(
    tmp_path: Path,
) -> None:
    async with custodian(tmp_path) as case, case.node.api() as api:
        await case.keep("one")
        req_id = await case.ask()
        ask = b'{"req_id":"%s","rec_ids":["%s"]}' % (
            req_id.hex().encode(), some_id("one").hex().encode(),
        )  # fmt: skip
        async with case.node.proposing():
            status, found = await send(case, api, "POST", "/v1/vault/release", ask, key=DOCTOR)
        assert (status, found["code"], found["rule"]) == (403, "consent_missing", "default_deny")
        assert case.node.chain.seen(bytes.fromhex(str(found["txid"])))


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ("late", 401, "bad_signature"),
        ("other body", 401, "bad_signature"),
        ("nobody", 403, "unknown_key"),
        ("patient", 403, "policy_denied"),
        ("root key", 403, "policy_denied"),
        ("no envelope", 400, "malformed"),
        ("envelope of another record", 400, "malformed"),
        ("version 0", 422, "schema_violation"),
        ("version 3", 403, "policy_denied"),
        ("other ciphertext", 403, "policy_denied"),
    ],
)
async def test_what_may_not_go_in_is_refused(
    tmp_path: Path, change: str, status: int, code: str
) -> None:
    async with custodian(tmp_path) as case, case.node.api() as api:
        sealed = case.sealed("one")
        await case.anchor("one", sealed)
        path, body = upload(case, "one", sealed)
        key, skew_ms, signed = AUTHOR, 0, None
        match change:
            case "late":
                skew_ms = -60_001
            case "other body":
                signed = b"another"
            case "nobody" | "patient":
                key = some_key(change)
            case "root key":
                key = some_key("founder 0 root")
            case "no envelope":
                body = encode_plain([sealed.ciphertext])
            case "envelope of another record":
                body = encode_plain([sealed.ciphertext, case.envelope("two", sealed)])
            case "version 0" | "version 3":
                path, body = upload(case, "one", sealed, int(change[-1]))
            case _:
                path, body = upload(case, "one", case.sealed("one"))
        found = await send(
            case, api, "PUT", path, body, key=key, skew_ms=skew_ms, signed_body=signed
        )
        assert (found[0], found[1]["code"]) == (status, code)
        assert not case.store.get(sealed.ct_hash)


async def test_unsigned_requests_are_refused(tmp_path: Path) -> None:
    async with custodian(tmp_path) as case, case.node.api() as api:
        path, body = upload(case, "one", case.sealed("one"))
        async with api.put(path, data=body, headers=MSGPACK) as answer:
            assert (answer.status, (await answer.json())["code"]) == (401, "bad_signature")


async def test_a_node_without_a_vault_says_so(tmp_path: Path) -> None:
    async with custodian(tmp_path) as case:
        case.node.world.vault = None
        async with case.node.api() as api, api.get("/v1/vault/kem") as answer:
            assert answer.status == 404
