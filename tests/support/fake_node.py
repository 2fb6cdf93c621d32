"""A small HTTP server that obeys the interface of a node over a hand-built chain, for tests of
clients.

`faults` are actions for the next requests, one each: a problem, a lost connection, a lie.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from time import time_ns

from aiohttp import web

from medquorum.codec import decode_plain, encode
from medquorum.encoding import to_base64url
from medquorum.errors import VerificationError
from medquorum.genesis import dump
from medquorum.history import Certified
from medquorum.kem import KemKey
from medquorum.request import verify_request
from medquorum.statetree import StateProof, SubRoot, key_path, leaf_hash, state_root, value_hash
from medquorum.transaction import Transaction
from medquorum.vault import bind, custody, unwrap, wrap
from tests.support.chain import Chain

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
STATE_KEY, STATE_VALUE = b"key", b"value"
_LEAF = key_path(STATE_KEY) + value_hash(STATE_VALUE)
_SUB_ROOTS = (SubRoot("records", leaf_hash(_LEAF[:32], _LEAF[32:])),)


def chain_with_state() -> Chain:
    """A chain whose state has one key, and whose validators have changed once."""
    chain = Chain(state_root=state_root(_SUB_ROOTS))
    chain.add()
    chain.add(next_names=("a", "b", "c", "e"))
    chain.add()
    return chain


def problem(status: int, code: str, *, retryable: bool = False, **more: object) -> web.Response:
    """A problem document."""
    body = {"code": code, "title": code, "status": status, "detail": "", "retryable": retryable}
    return web.Response(
        status=status,
        body=json.dumps({**body, **more}).encode(),
        content_type="application/problem+json",
    )


@dataclass
class FakeNode:
    """One node. Pending transactions are committed by `commit`, rejected ones named in `reject`."""

    chain: Chain = field(default_factory=chain_with_state)
    faults: list[Handler] = field(default_factory=list)
    seen: list[web.Request] = field(default_factory=list)
    known: dict[bytes, Transaction] = field(default_factory=dict)
    statuses: dict[bytes, dict[str, object]] = field(default_factory=dict)
    asked_to_wait: asyncio.Event = field(default_factory=asyncio.Event)
    committed: asyncio.Event = field(default_factory=asyncio.Event)
    streams: list[list[bytes]] = field(default_factory=list)
    vault: dict[str, list[object]] = field(default_factory=dict)
    gateway: KemKey = field(default_factory=lambda: KemKey(b"\x21" * 32))
    reader: KemKey = field(default_factory=lambda: KemKey(b"\x22" * 32))
    auto_commit: bool = True

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """The base URL while the node runs, on a free port."""
        app = web.Application(middlewares=[self._middleware], client_max_size=2**24)
        routes: dict[str, Handler] = {
            "GET /v1/status": self._status,
            "GET /v1/genesis": self._genesis,
            "POST /v1/txs": self._submit,
            "POST /v1/txs/batch": self._batch,
            "GET /v1/txs/{txid}": self._tx,
            "GET /v1/txs/{txid}/receipt": self._receipt,
            "GET /v1/blocks/{height}": self._block,
            "GET /v1/state/{namespace}/{key}": self._state,
            "GET /v1/validators": self._validators,
            "GET /v1/query/{name}": self._query,
            "GET /v1/events/stream": self._events,
            "GET /v1/vault/kem": self._kem,
            "PUT /v1/vault/records/{rec_id}/{version}": self._upload,
            "POST /v1/vault/release": self._release,
        }
        for route, handler in routes.items():
            method, _, path = route.partition(" ")
            app.router.add_route(method, path, handler)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()

    def commit(self, *, code: str = "ok") -> None:
        """Put every pending transaction into one block."""
        pending = [tx for tx in self.known.values() if tx.id not in self.statuses]
        block = self.chain.add(pending, codes=[code] * len(pending))
        for outcome in block.outcomes:
            self.statuses[outcome.tx_id] = {
                "state": "committed" if code == "ok" else "rejected",
                "height": block.certified.header.height,
                "index": outcome.index,
                "code": outcome.code,
                "operation": outcome.operation,
            }
        self.committed.set()

    @web.middleware
    async def _middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self.seen.append(request)
        response = await (self.faults.pop(0) if self.faults else handler)(request)
        if not response.prepared:
            response.headers.setdefault("MedQuorum-Chain-Id", self.chain.chain_id.hex())
        return response

    async def _status(self, _request: web.Request) -> web.Response:
        height = len(self.chain.blocks)
        return web.json_response(
            {"chain_id": self.chain.chain_id.hex(), "height": height, "role": "validator", "new": 1}
        )

    async def _genesis(self, _request: web.Request) -> web.Response:
        return web.Response(body=dump(self.chain.genesis), content_type="application/json")

    async def _submit(self, request: web.Request) -> web.Response:
        transaction = Transaction.decode(await request.read())
        duplicate = transaction.id in self.known
        self.known[transaction.id] = transaction
        if self.auto_commit and not duplicate:
            self.commit()
        answer = self._describe(transaction.id)
        status = 202 if answer["state"] == "pending" else 201
        return web.json_response(answer | {"duplicate": duplicate}, status=status)

    async def _batch(self, request: web.Request) -> web.Response:
        raws = decode_plain(await request.read(), size_max=2**24)
        assert isinstance(raws, list)
        results: list[dict[str, object]] = []
        for raw in raws:
            transaction = Transaction.decode(raw)
            if transaction.id in self.known:
                refusal = {"code": "mempool_full", "detail": "", "retryable": True}
                results.append({"txid": transaction.id.hex(), "problem": refusal})
            else:
                self.known[transaction.id] = transaction
                results.append({"txid": transaction.id.hex(), "state": "pending"})
        return web.json_response({"results": results})

    def _describe(self, tx_id: bytes) -> dict[str, object]:
        state = "pending" if tx_id in self.known else "unknown"
        return {"txid": tx_id.hex(), "state": state} | self.statuses.get(tx_id, {})

    async def _tx(self, request: web.Request) -> web.Response:
        tx_id = bytes.fromhex(request.match_info["txid"])
        if request.query.get("wait") and tx_id not in self.statuses:
            self.asked_to_wait.set()
            try:
                async with asyncio.timeout(float(request.query["timeout"])):
                    await self.committed.wait()
            except TimeoutError:
                return web.json_response(self._describe(tx_id))
        return web.json_response(self._describe(tx_id))

    async def _receipt(self, request: web.Request) -> web.Response:
        status = self.statuses.get(bytes.fromhex(request.match_info["txid"]))
        if status is None:
            return problem(404, "not_found")
        height, index = status["height"], status["index"]
        assert isinstance(height, int)
        assert isinstance(index, int)
        body = self.chain.receipt(height, index).dump()
        return web.Response(body=body, content_type="application/json")

    def _certified(self, text: str) -> tuple[int, dict[str, str]]:
        height = len(self.chain.blocks) if text == "latest" else int(text)
        return height, _raw(self.chain.blocks[height - 1].certified)

    async def _block(self, request: web.Request) -> web.Response:
        height, raw = self._certified(request.match_info["height"])
        ids = [tx.id.hex() for tx in self.chain.blocks[height - 1].transactions]
        return web.json_response({"height": height, "tx_ids": ids, "raw": raw})

    async def _state(self, request: web.Request) -> web.Response:
        height, raw = self._certified(request.query.get("height", "latest"))
        present = request.match_info["key"] == STATE_KEY.hex()
        proof = encode(StateProof(_SUB_ROOTS, (), _LEAF))
        value = STATE_VALUE.hex() if present else None
        return web.json_response(
            {"value": value, "height": height, "proof": to_base64url(proof), **raw}
        )

    async def _validators(self, _request: web.Request) -> web.Response:
        history = [
            _raw(change.at) | {"validators": to_base64url(encode(change.validators))}
            for change in self.chain.changes
        ]
        return web.json_response({"validators": [], "history": history})

    async def _query(self, request: web.Request) -> web.Response:
        result = {"name": request.match_info["name"], **request.query}
        return web.json_response({"height": 3, "result": result})

    async def _events(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for chunk in self.streams.pop(0) if self.streams else ():
            await response.write(chunk)
        return response

    async def _kem(self, _request: web.Request) -> web.Response:
        return web.json_response({"kem_public": self.gateway.public.hex()})

    async def _signed(self, request: web.Request) -> bytes | None:
        try:
            return verify_request(
                request.headers,
                chain_id=self.chain.chain_id,
                method=request.method,
                path=request.raw_path,
                body=await request.read(),
                now_ms=time_ns() // 1_000_000,
            )
        except VerificationError:
            return None

    async def _upload(self, request: web.Request) -> web.Response:
        if await self._signed(request) is None:
            return problem(401, "bad_signature")
        pair = decode_plain(await request.read(), size_max=2**24)
        assert isinstance(pair, list)
        self.vault[request.match_info["rec_id"]] = pair
        return web.json_response({"blob": sha256(pair[0]).hexdigest()}, status=201)

    async def _release(self, request: web.Request) -> web.Response:
        if await self._signed(request) is None:
            return problem(401, "bad_signature")
        ask = json.loads(await request.read())
        records = [self._rewrap(ask["req_id"], rec_id) for rec_id in ask["rec_ids"]]
        return web.json_response({"log_txid": "ab" * 32, "height": 3, "records": records})

    def _rewrap(self, req_id: str, rec_id: str) -> dict[str, object]:
        ciphertext, envelope = self.vault[rec_id]
        assert isinstance(ciphertext, bytes)
        assert isinstance(envelope, bytes)
        rec, chain_id = bytes.fromhex(rec_id), self.chain.chain_id
        kept = custody(chain_id=chain_id, rec_id=rec, version=1, recipient=self.gateway.public)
        granted = bind(
            chain_id=chain_id,
            context=bytes.fromhex(req_id),
            rec_id=rec,
            version=1,
            recipient=self.reader.public,
            purpose="TREAT",
            expires_ms=99,
        )
        secret = unwrap(envelope, self.gateway, kept)
        return {
            "rec_id": rec_id,
            "version": 1,
            "envelope": to_base64url(wrap(secret, self.reader.public, granted)),
            "ciphertext": to_base64url(ciphertext),
        }


def _raw(certified: Certified) -> dict[str, str]:
    return {
        "header": to_base64url(encode(certified.header)),
        "result": to_base64url(encode(certified.result)),
        "certificate": to_base64url(encode(certified.certificate)),
    }
