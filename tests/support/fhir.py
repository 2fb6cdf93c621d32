"""An import against a small server that obeys the interface of a node, and what it left there."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web
from typing_extensions import override

from medquorum.codec import decode
from medquorum.connection import Retry
from medquorum.keys import SigningKey, derive_seed
from medquorum.transaction import OPERATION_BYTES_MAX, Operation, Transaction
from medquorum.vault import custody, open_record, unwrap
from node.fhir.hospitals import Consortium, Hospital
from node.fhir.pipeline import Options, import_fhir
from node.fhir.report import Report
from node.ledger.types.records.bodies import AmendRecord, AnchorRecord
from tests.support.fake_node import FakeNode, Handler, problem

SAMPLE = Path(__file__).resolve().parents[2] / "devnet" / "sample" / "fhir"
QUICK = Options(retry=Retry(deadline_s=5.0, pause_s_min=0.01, pause_s_max=0.05))


@dataclass
class FakeHospitals(FakeNode):
    """One server for the nodes of all hospitals. `judge` may reject a transaction: the code and the
    operation at which it fails.
    """

    judge: Callable[[Transaction], tuple[str, int] | None] = lambda _tx: None
    uploads: Counter[str] = field(default_factory=Counter)
    full_after: int = 10**9
    """Uploads after which the vault refuses more."""
    awaited: int = 10**9
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    def consortium(self, url: str, count: int = 4) -> Consortium:
        """`count` hospitals, all on this server."""
        hospitals = [
            Hospital(
                name=f"hospital-{letter}",
                org=bytes([number + 1]) * 32,
                rpc=url,
                key=SigningKey(derive_seed(b"importer", letter)),
                registrar=SigningKey(derive_seed(b"registrar", letter)),
            )
            for number, letter in enumerate("abcdefgh"[:count])
        ]
        return Consortium(self.chain.genesis, tuple(hospitals))

    async def request_number(self, number: int) -> None:
        """Wait until so many requests have come."""
        self.awaited = number
        if len(self.seen) < number:
            await asyncio.wait_for(self.reached.wait(), 30)

    def operations(self, type_: str) -> list[Operation]:
        """The operations of a type that took effect, in the order of the chain."""
        return [
            operation
            for tx in self.known.values()
            if self.statuses.get(tx.id, {}).get("code") == "ok"
            for operation in tx.body.operations
            if operation.type == type_
        ]

    def anchors(self) -> list[AnchorRecord]:
        """The records on the chain."""
        bodies = (operation.body for operation in self.operations("rec.anchor"))
        return [decode(AnchorRecord, body, size_max=OPERATION_BYTES_MAX) for body in bodies]

    def amendments(self) -> list[AmendRecord]:
        """The later versions on the chain."""
        bodies = (operation.body for operation in self.operations("rec.amend"))
        return [decode(AmendRecord, body, size_max=OPERATION_BYTES_MAX) for body in bodies]

    def opened(self, anchor: AnchorRecord) -> bytes:
        """The text of a first version, from the vault, checked against its anchor."""
        ciphertext, envelope = self.vault[anchor.rec_id.hex()]
        assert isinstance(ciphertext, bytes)
        assert isinstance(envelope, bytes)
        chain_id, rec_id = self.chain.chain_id, anchor.rec_id
        binding = custody(
            chain_id=chain_id, rec_id=rec_id, version=1, recipient=self.gateway.public
        )
        return open_record(
            ciphertext,
            unwrap(envelope, self.gateway, binding),
            chain_id=chain_id,
            rec_id=rec_id,
            version=1,
            ct_hash=anchor.ct_hash,
            commitment_on_chain=anchor.commitment,
        )

    @override
    def commit(self, *, code: str = "ok") -> None:
        (tx,) = [tx for tx in self.known.values() if tx.id not in self.statuses]
        verdict = self.judge(tx)
        super().commit(code=code if verdict is None else verdict[0])
        if verdict is not None:
            self.statuses[tx.id]["operation"] = verdict[1]

    @web.middleware
    @override
    async def _middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await super()._middleware(request, handler)
        if len(self.seen) >= self.awaited:
            self.reached.set()
        return response

    @override
    async def _upload(self, request: web.Request) -> web.Response:
        if self.uploads.total() >= self.full_after:
            return problem(413, "too_large")
        self.uploads[request.match_info["rec_id"]] += 1
        return await super()._upload(request)


@asynccontextmanager
async def hospitals(count: int = 4) -> AsyncIterator[tuple[FakeHospitals, Consortium]]:
    """The server and its hospitals."""
    server = FakeHospitals()
    async with server.serving() as url:
        yield server, server.consortium(url, count)


async def imported(
    directory: Path, consortium: Consortium, journal: Path, options: Options = QUICK
) -> Report:
    """One import."""
    return await import_fhir(directory, consortium, journal, options)


def write(directory: Path, **files: str) -> Path:
    """Files named a_json=..., b_ndjson=... in a directory."""
    directory.mkdir(exist_ok=True)
    for name, text in files.items():
        (directory / name.replace("_", ".")).write_text(text)
    return directory


def total(counts: Sequence[dict[str, int]]) -> int:
    """The sum of several counts by type."""
    return sum(sum(one.values()) for one in counts)
