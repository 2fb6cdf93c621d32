"""The asynchronous client of a node.

    async with Client("https://node.hospital.example:29651", genesis=genesis) as client:
        builder = await client.builder()
        ...
        status = await client.submit(transaction, wait="committed")
        receipt = await client.receipt(transaction.id)

With `genesis` (or the chain id alone) the client trusts no node: receipts, blocks and state values
are verified against the certificates of the validators, and the history of the validators against
the genesis. Queries and statuses remain the word of the node.

Everything is retried until the deadline of `Retry`; that is safe, because a transaction is known by
the hash of its content.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, replace
from time import time_ns
from types import TracebackType
from typing import Final, Literal, Self

import aiohttp
import msgspec

from medquorum import genesis as genesis_file
from medquorum import merkle
from medquorum.answers import (
    BatchItem,
    LedgerEvent,
    QueryResult,
    Release,
    Schema,
    StateValue,
    Status,
    TxStatus,
    VerifiedBlock,
)
from medquorum.builder import TransactionBuilder
from medquorum.codec import encode_plain
from medquorum.connection import JSON_TYPE, MSGPACK_TYPE, Answer, Connection, Request, Retry
from medquorum.errors import AnswerError, DecodeError, VerificationError, WaitTimeoutError
from medquorum.genesis import Genesis
from medquorum.history import Certified, ValidatorHistory
from medquorum.keys import SigningKey
from medquorum.limits import BATCH_BYTES_MAX, BATCH_TRANSACTIONS_MAX
from medquorum.payloads import (
    BatchAnswer,
    BlockAnswer,
    KemAnswer,
    ReleaseAnswer,
    StateAnswer,
    StatesAnswer,
    UploadAnswer,
    ValidatorsAnswer,
    certified_of,
    changes_of,
    hex_bytes,
    proof_of,
    release_of,
    states_body,
    states_of,
)
from medquorum.receipt import Receipt, VerifiedReceipt
from medquorum.request import sign_request
from medquorum.statetree import verify_state
from medquorum.subscription import follow
from medquorum.transaction import Transaction
from medquorum.vault import SealedRecord, custody, wrap

Wait = Literal["none", "accepted", "committed"]
WINDOW_DEFAULT: Final = 500
"""Heights for which a built transaction stays valid."""
_POLL_S: Final = 10.0
"""How long the node is asked to hold one waiting request."""


class Client:
    """One node, seen by an application. Use it as an asynchronous context manager; safe for many
    tasks at once.
    """

    def __init__(
        self,
        base_url: str,
        *,
        genesis: Genesis | None = None,
        chain_id: bytes | None = None,
        session: aiohttp.ClientSession | None = None,
        retry: Retry | None = None,
    ) -> None:
        """Proofs are checked against `genesis` or `chain_id`; the caller closes `session`."""
        self._base_url = base_url
        self._retry = retry or Retry()
        self._given_session = session
        self._own_session: aiohttp.ClientSession | None = None
        self._open_connection: Connection | None = None
        self._chain_id = genesis.chain_id() if genesis is not None else chain_id
        self._known = None if genesis is None else _Anchor(genesis, ValidatorHistory(genesis))

    async def __aenter__(self) -> Self:
        session = self._given_session
        if session is None:
            session = self._own_session = aiohttp.ClientSession()
        self._open_connection = Connection(self._base_url, session, self._retry, self._chain_id)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open_connection = None
        if self._own_session is not None:
            await self._own_session.close()

    async def status(self) -> Status:
        """The node's view of itself."""
        return (await self._get("v1/status")).json(Status)

    async def genesis(self) -> Genesis:
        """The genesis that the node serves. Proven if this client knows the chain id, else the
        node's word.
        """
        try:
            genesis = genesis_file.load((await self._get("v1/genesis")).body)
        except DecodeError as error:
            raise AnswerError(str(error)) from None
        if self._chain_id is not None and genesis.chain_id() != self._chain_id:
            raise VerificationError("chain_id", "the node serves another genesis")
        return genesis

    async def builder(self, *, window: int = WINDOW_DEFAULT) -> TransactionBuilder:
        """A builder for a transaction that may be committed within the next `window` heights."""
        status = await self.status()
        chain_id = self._chain_id or hex_bytes(status.chain_id)
        return TransactionBuilder(chain_id, valid_until=status.height + window)

    async def submit(
        self, transaction: Transaction, *, wait: Wait = "accepted", timeout_s: float = 30.0
    ) -> TxStatus:
        """Send one transaction. With wait="committed" the answer is final, or WaitTimeoutError is
        raised.

        A transaction that executes and is refused is an answer (state "rejected", `code` says why),
        not an exception.
        """
        held = min(timeout_s, _POLL_S) if wait == "committed" else 0.0
        deadline = _now() + timeout_s
        answer = await self._connection.send(
            Request(
                "POST",
                "v1/txs",
                {"wait": wait, "timeout": _seconds(held)},
                body=transaction.raw,
                content_type=MSGPACK_TYPE,
                wait_s=held,
            )
        )
        status = answer.json(TxStatus)
        if wait != "committed" or status.final:
            return status
        return await self.wait(transaction.id, timeout_s=max(0.0, deadline - _now()))

    async def submit_batch(self, transactions: Sequence[Transaction]) -> tuple[BatchItem, ...]:
        """Send at most 1000 transactions; each fails alone. Raises ValueError for more."""
        size = sum(len(transaction.raw) for transaction in transactions)
        if len(transactions) > BATCH_TRANSACTIONS_MAX or size > BATCH_BYTES_MAX:
            raise ValueError(f"{len(transactions)} transactions of {size} bytes are too many")
        body = encode_plain([transaction.raw for transaction in transactions])
        request = Request("POST", "v1/txs/batch", {}, body=body, content_type=MSGPACK_TYPE)
        results = (await self._connection.send(request)).json(BatchAnswer).results
        if len(results) != len(transactions):
            raise AnswerError(f"{len(results)} results for {len(transactions)} transactions")
        return results

    async def tx(self, tx_id: bytes) -> TxStatus:
        """Where a transaction stands now, by the word of the node."""
        return (await self._get(f"v1/txs/{tx_id.hex()}")).json(TxStatus)

    async def txs(self, tx_ids: Sequence[bytes]) -> tuple[TxStatus, ...]:
        """Where at most 1000 transactions stand now, in order. Raises ValueError for more."""
        ask = Request("POST", "v1/txs/states", {}, body=states_body(tx_ids), content_type=JSON_TYPE)
        return states_of((await self._connection.send(ask)).json(StatesAnswer), tx_ids)

    async def wait(self, tx_id: bytes, *, timeout_s: float = 30.0) -> TxStatus:
        """The final status of a transaction. Raises WaitTimeoutError; then nothing is lost, and
        asking again is safe.
        """
        deadline = _now() + timeout_s
        while True:
            left = max(0.0, min(deadline - _now(), _POLL_S))
            query = {"wait": "committed", "timeout": _seconds(left)}
            status = (await self._get(f"v1/txs/{tx_id.hex()}", query, wait_s=left)).json(TxStatus)
            if status.final:
                return status
            if _now() >= deadline:
                raise WaitTimeoutError(tx_id)
            # A node that does not know the transaction may answer at once.
            await asyncio.sleep(min(self._retry.pause_s_min, max(0.0, deadline - _now())))

    async def receipt_file(self, tx_id: bytes) -> bytes:
        """The receipt file of a final transaction, not verified: verify_receipt(data, genesis) does
        that.
        """
        return (await self._get(f"v1/txs/{tx_id.hex()}/receipt")).body

    async def receipt(self, tx_id: bytes) -> VerifiedReceipt:
        """What is proven about a transaction. Raises VerificationError if the node's receipt does
        not hold.
        """
        anchor = await self._anchor()
        verified = Receipt.load(await self.receipt_file(tx_id)).verify(anchor.genesis)
        if verified.tx_id != tx_id:
            raise VerificationError("receipt_tx", "a receipt of another transaction")
        return verified

    async def block(self, height: int | Literal["latest"] = "latest") -> VerifiedBlock:
        """A block with a verified certificate. "latest" is the latest that this node shows."""
        answer = (await self._get(f"v1/blocks/{height}")).json(BlockAnswer)
        certified = certified_of(answer.raw)
        tx_ids = tuple(hex_bytes(tx_id) for tx_id in answer.tx_ids)
        await self._verify(certified)
        if height not in {"latest", certified.header.height}:
            raise VerificationError("block_height", "another height than was asked for")
        header = certified.header
        if (header.txs_root, header.tx_count) != (merkle.root(tx_ids), len(tx_ids)):
            raise VerificationError("block_txs", "the transaction ids are not those of the header")
        return VerifiedBlock(certified, tx_ids)

    async def state(
        self,
        namespace: str,
        key: bytes,
        *,
        height: int | None = None,
        min_height: int | None = None,
        linearizable: bool = False,
    ) -> StateValue:
        """A value of the ledger state, or its absence, with its proof verified.

        Without `height` it is the node's latest, which may lag behind the chain; `min_height` says
        how far. `linearizable`: with all that was decided anywhere when it was asked, by the word
        of the node; ProblemError `not_offered` where it cannot know.
        """
        level = "linearizable" if linearizable else None
        query = _given(height=height, min_height=min_height, consistency=level)
        path = f"v1/state/{namespace}/{key.hex()}"
        answer = (await self._get(path, query)).json(StateAnswer)
        certified = certified_of(answer)
        await self._verify(certified)
        header = certified.header
        if (height is not None and header.height != height) or header.height < (min_height or 0):
            raise VerificationError("state_height", "another height than was asked for")
        value = None if answer.value is None else hex_bytes(answer.value)
        verify_state(certified.result.state_root, namespace, key, value, proof_of(answer.proof))
        return StateValue(value, header.height, header.time_ms)

    async def query(self, name: str, **params: str | int | bytes) -> QueryResult:
        """The answer of a named query: the word of the node. Bytes are sent as hexadecimal;
        `min_height` and `consistency="linearizable"` (see `state`) go with any query.
        """
        query = {k: v.hex() if isinstance(v, bytes) else str(v) for k, v in params.items()}
        return (await self._get(f"v1/query/{name}", query)).json(QueryResult)

    async def schemas(self) -> tuple[Schema, ...]:
        """Every transaction type that the node knows."""
        return (await self._get("v1/schemas")).json(tuple[Schema, ...])

    async def schema(self, type_: str, version: int = 1) -> Schema:
        """The shape of one transaction type."""
        return (await self._get(f"v1/schemas/{type_}/{version}")).json(Schema)

    def events(
        self, *, after: str | None = None, types: Sequence[str] = ()
    ) -> AsyncGenerator[LedgerEvent, None]:
        """All events after a cursor, then those that happen, for ever (see subscription.follow)."""
        return follow(self._connection, after=after, types=types)

    async def custodian(self) -> bytes:
        """The public KEM key of this node's vault: the node's word, so compare it with the one on
        chain.
        """
        return hex_bytes((await self._get("v1/vault/kem")).json(KemAnswer).kem_public)

    async def upload(
        self,
        sealed: SealedRecord,
        *,
        rec_id: bytes,
        version: int,
        key: SigningKey,
        custodian: bytes | None = None,
    ) -> None:
        """Put a sealed record into this node's vault, its secret wrapped to the key of the
        custodian.

        Then anchor it on chain; a ciphertext without an anchor is never released.
        """
        chain_id = await self._anchor_id()
        recipient = custodian or await self.custodian()
        binding = custody(chain_id=chain_id, rec_id=rec_id, version=version, recipient=recipient)
        body = encode_plain([sealed.ciphertext, wrap(sealed.secret, recipient, binding)])
        path = f"v1/vault/records/{rec_id.hex()}/{version}"
        request = Request("PUT", path, {}, body=body, content_type=MSGPACK_TYPE)
        answer = await self._send_signed(request, key, chain_id)
        if hex_bytes(answer.json(UploadAnswer).blob) != sealed.ct_hash:
            raise AnswerError("the vault stored something else")

    async def release(self, req_id: bytes, rec_ids: Sequence[bytes], *, key: SigningKey) -> Release:
        """Take records out, for an access request that is on chain and signed by the same `key`.

        The custodian logs the access on chain before it releases anything. Raises ProblemError
        `consent_missing` or `policy_denied`, whose `tx_id` is the logged denial. Open the records
        with ReleasedRecord.open.
        """
        chain_id = await self._anchor_id()
        wanted = [rec_id.hex() for rec_id in rec_ids]
        body = msgspec.json.encode({"req_id": req_id.hex(), "rec_ids": wanted})
        request = Request("POST", "v1/vault/release", {}, body=body, content_type=JSON_TYPE)
        answer = await self._send_signed(request, key, chain_id)
        return release_of(answer.json(ReleaseAnswer))

    @property
    def _connection(self) -> Connection:
        if self._open_connection is None:
            raise RuntimeError("use the client as an asynchronous context manager")
        return self._open_connection

    async def _get(
        self, path: str, query: Mapping[str, str] | None = None, *, wait_s: float = 0.0
    ) -> Answer:
        return await self._connection.send(Request("GET", path, query or {}, wait_s=wait_s))

    async def _send_signed(self, request: Request, key: SigningKey, chain_id: bytes) -> Answer:
        def sign(path: str) -> dict[str, str]:
            return sign_request(
                key,
                chain_id=chain_id,
                method=request.method,
                path=path,
                time_ms=time_ns() // 1_000_000,
                body=request.body,
            )

        return await self._connection.send(replace(request, sign=sign))

    async def _anchor_id(self) -> bytes:
        return self._chain_id or hex_bytes((await self.status()).chain_id)

    async def _anchor(self) -> _Anchor:
        if self._known is None:
            if self._chain_id is None:
                raise VerificationError("no_anchor", "give the client a genesis or a chain id")
            genesis = await self.genesis()
            self._known = _Anchor(genesis, ValidatorHistory(genesis))
        return self._known

    async def _verify(self, certified: Certified) -> None:
        """Verify a block; if its validators are not ours, learn the changes since, and verify
        again.
        """
        history = (await self._anchor()).history
        try:
            history.verify(certified)
        except VerificationError as error:
            if error.reason != "certificate_validators":
                raise
            await self._learn(history)
            history.verify(certified)

    async def _learn(self, history: ValidatorHistory) -> None:
        answer = (await self._get("v1/validators")).json(ValidatorsAnswer)
        history.extend(c for c in changes_of(answer) if not history.knows(c))


@dataclass(frozen=True, slots=True)
class _Anchor:
    """What proofs are checked against: the genesis, and the validators proven from it."""

    genesis: Genesis
    history: ValidatorHistory


def _given(**values: int | str | None) -> dict[str, str]:
    return {name: str(value) for name, value in values.items() if value is not None}


def _seconds(seconds: float) -> str:
    return f"{seconds:.3f}"


def _now() -> float:
    return asyncio.get_running_loop().time()
