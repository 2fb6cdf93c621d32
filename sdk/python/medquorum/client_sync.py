"""The client for programs without an event loop: the same calls, each waiting for its result.

    with SyncClient("https://node.hospital.example:29651", genesis=genesis) as client:
        status = client.submit(transaction, wait="committed")

All connections live on a private thread with its own loop; calls from many threads run side by
side. Never call it on a thread that runs an event loop itself: there the asynchronous client
belongs.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Generator, Sequence
from types import TracebackType
from typing import Literal, Self, TypeVar

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
from medquorum.client import WINDOW_DEFAULT, Client, Wait
from medquorum.connection import Retry
from medquorum.genesis import Genesis
from medquorum.keys import SigningKey
from medquorum.receipt import VerifiedReceipt
from medquorum.transaction import Transaction
from medquorum.vault import SealedRecord

T = TypeVar("T")


class SyncClient:
    """See Client for what each call promises. Use it as a context manager."""

    def __init__(
        self,
        base_url: str,
        *,
        genesis: Genesis | None = None,
        chain_id: bytes | None = None,
        retry: Retry | None = None,
    ) -> None:
        self._client = Client(base_url, genesis=genesis, chain_id=chain_id, retry=retry)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="medquorum-client", daemon=True
        )
        self._thread.start()
        self._call(self._client.__aenter__())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return
        self._call(self._client.__aexit__(kind, error, trace))
        self._call(loop.shutdown_asyncgens())
        self._loop = self._thread = None
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    def status(self) -> Status:
        """See Client.status."""
        return self._call(self._client.status())

    def genesis(self) -> Genesis:
        """See Client.genesis."""
        return self._call(self._client.genesis())

    def builder(self, *, window: int = WINDOW_DEFAULT) -> TransactionBuilder:
        """See Client.builder."""
        return self._call(self._client.builder(window=window))

    def submit(
        self, transaction: Transaction, *, wait: Wait = "accepted", timeout_s: float = 30.0
    ) -> TxStatus:
        """See Client.submit."""
        return self._call(self._client.submit(transaction, wait=wait, timeout_s=timeout_s))

    def submit_batch(self, transactions: Sequence[Transaction]) -> tuple[BatchItem, ...]:
        """See Client.submit_batch."""
        return self._call(self._client.submit_batch(transactions))

    def tx(self, tx_id: bytes) -> TxStatus:
        """See Client.tx."""
        return self._call(self._client.tx(tx_id))

    def txs(self, tx_ids: Sequence[bytes]) -> tuple[TxStatus, ...]:
        """See Client.txs."""
        return self._call(self._client.txs(tx_ids))

    def wait(self, tx_id: bytes, *, timeout_s: float = 30.0) -> TxStatus:
        """See Client.wait."""
        return self._call(self._client.wait(tx_id, timeout_s=timeout_s))

    def receipt_file(self, tx_id: bytes) -> bytes:
        """See Client.receipt_file."""
        return self._call(self._client.receipt_file(tx_id))

    def receipt(self, tx_id: bytes) -> VerifiedReceipt:
        """See Client.receipt."""
        return self._call(self._client.receipt(tx_id))

    def block(self, height: int | Literal["latest"] = "latest") -> VerifiedBlock:
        """See Client.block."""
        return self._call(self._client.block(height))

    def state(
        self,
        namespace: str,
        key: bytes,
        *,
        height: int | None = None,
        min_height: int | None = None,
        linearizable: bool = False,
    ) -> StateValue:
        """See Client.state."""
        return self._call(
            self._client.state(
                namespace, key, height=height, min_height=min_height, linearizable=linearizable
            )
        )

    def query(self, name: str, **params: str | int | bytes) -> QueryResult:
        """See Client.query."""
        return self._call(self._client.query(name, **params))

    def schemas(self) -> tuple[Schema, ...]:
        """See Client.schemas."""
        return self._call(self._client.schemas())

    def schema(self, type_: str, version: int = 1) -> Schema:
        """See Client.schema."""
        return self._call(self._client.schema(type_, version))

    def events(
        self, *, after: str | None = None, types: Sequence[str] = ()
    ) -> Generator[LedgerEvent, None, None]:
        """See Client.events. Each step waits for the next event."""
        events = self._client.events(after=after, types=types)
        while True:
            yield self._call(_next(events))

    def custodian(self) -> bytes:
        """See Client.custodian."""
        return self._call(self._client.custodian())

    def upload(
        self,
        sealed: SealedRecord,
        *,
        rec_id: bytes,
        version: int,
        key: SigningKey,
        custodian: bytes | None = None,
    ) -> None:
        """See Client.upload."""
        self._call(
            self._client.upload(
                sealed, rec_id=rec_id, version=version, key=key, custodian=custodian
            )
        )

    def release(self, req_id: bytes, rec_ids: Sequence[bytes], *, key: SigningKey) -> Release:
        """See Client.release."""
        return self._call(self._client.release(req_id, rec_ids, key=key))

    def _call(self, coroutine: Coroutine[object, object, T]) -> T:
        if self._loop is None:
            coroutine.close()
            raise RuntimeError("use the client as a context manager")
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except BaseException:
            # An interrupt here must not leave the call running there.
            future.cancel()
            raise


async def _next(events: AsyncIterator[LedgerEvent]) -> LedgerEvent:
    return await anext(events)
