"""One hospital's side of an import: its records go into its vault, then onto the chain.

The order is what makes it repeatable. A ciphertext is in the vault before its anchor is sent, and
the signed anchor is in the journal before it is sent. If the import is killed in between, the vault
holds a ciphertext that no anchor names, which nobody can ask for; or the journal holds a
transaction whose end the next run finds out first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from medquorum.answers import TxStatus
from medquorum.client import Client
from medquorum.codec import Wire
from medquorum.errors import ProblemError
from medquorum.keys import SigningKey
from medquorum.transaction import Transaction
from medquorum.vault import SealedRecord, seal
from node.fhir.errors import ImportStoppedError
from node.fhir.hospitals import Hospital
from node.fhir.journal import Batch, Journal
from node.fhir.limits import UPLOADS_AT_ONCE
from node.fhir.plan import Planner, Work
from node.fhir.reasons import Reason
from node.fhir.report import Counts
from node.ledger.types.records.bodies import AmendRecord, AnchorRecord, RegisterPatient
from node.ledger.types.records.classes import Confidentiality
from node.ledger.types.records.terms import AmendReason, DefaultPolicy, VersionKind
from node.threads import Worker

_COMMIT_SECONDS: Final = 60.0
# What the ledger may hold against one record and not against the next.
_OF_ONE_RECORD: Final = frozenset(
    {"E_SCHEMA", "E_DUP", "E_NOTFOUND", "E_STATE", "E_VERSION", "E_COMMIT", "E_SIZE"}
)
_OF_ONE_UPLOAD: Final = frozenset({400, 409, 413, 422})


@dataclass(frozen=True, slots=True)
class Kept:
    """A record whose ciphertext is in the vault."""

    work: Work
    sealed: SealedRecord


class Lane:
    """The lane of one hospital. `worker` is the thread of the journal; `sealer` encrypts."""

    def __init__(
        self,
        hospital: Hospital,
        client: Client,
        *,
        chain_id: bytes,
        policy: DefaultPolicy,
        journal: Journal,
        planner: Planner,
        counts: Counts,
        worker: Worker,
        sealer: Worker,
    ) -> None:
        self._hospital = hospital
        self._client = client
        self._chain_id = chain_id
        self._policy = policy
        self._journal = journal
        self._planner = planner
        self._counts = counts
        self._worker = worker
        self._sealer = sealer
        self._custodian = b""
        self._uploads = asyncio.Semaphore(UPLOADS_AT_ONCE)
        self.height = 0
        """Of the last commit."""

    async def open(self) -> None:
        """Meet the hospital's node, and find out what became of transactions of an earlier run."""
        try:
            self._custodian = await self._client.custodian()
        except ProblemError as error:
            raise self._stopped(error.code, error.detail) from None
        for batch in await self._worker.run(self._journal.open_batches, self._hospital.org):
            status = await self._end_of(batch)
            if status.state == "committed":
                await self._close(batch, status)
            else:
                await self._worker.run(self._journal.drop_batch, batch)

    async def send(self, works: Sequence[Work]) -> None:
        """Put records into the vault, register their patients, and anchor them."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._register(works))
            keeping = [group.create_task(self._keep(work)) for work in works]
        kept = [one for task in keeping if (one := task.result()) is not None]
        await self._anchor(kept)

    async def _keep(self, work: Work) -> Kept | None:
        row = work.row
        async with self._uploads:
            sealed = await self._sealer.run(
                seal,
                work.raw.text,
                chain_id=self._chain_id,
                rec_id=row.rec_id,
                version=row.version,
            )
            try:
                await self._client.upload(
                    sealed,
                    rec_id=row.rec_id,
                    version=row.version,
                    key=self._hospital.key,
                    custodian=self._custodian,
                )
            except ProblemError as error:
                if error.status not in _OF_ONE_UPLOAD:
                    raise self._stopped(error.code, error.detail) from None
                refused = (work, Reason.VAULT_REFUSED, error.code)
                await self._worker.run(self._planner.refuse_work, *refused)
                return None
        return Kept(work, sealed)

    async def _register(self, works: Sequence[Work]) -> None:
        pids = await self._worker.run(self._journal.unregistered, [work.row.pid for work in works])
        while pids:
            bodies = [("rec.patient.register", self._registration(pid)) for pid in pids]
            tx = await self._signed(bodies, self._hospital.registrar)
            batch = await self._worker.run(
                self._journal.stage_registration, self._hospital.org, tx.id, tx.raw, pids
            )
            status = await self._committed(batch, tx)
            if status.state == "committed":
                self._counts.patients += len(pids)
                return
            if status.state == "rejected":
                raise self._stopped(status.code or "", "a registration of patients was rejected")

    async def _anchor(self, kept: list[Kept]) -> None:
        while kept:
            bodies = [self._operation(one) for one in kept]
            tx = await self._signed(bodies, self._hospital.key)
            rows = [one.work.row for one in kept]
            batch = await self._worker.run(
                self._journal.stage_anchors, self._hospital.org, tx.id, tx.raw, rows
            )
            status = await self._committed(batch, tx)
            if status.state == "committed":
                self._count(kept)
                return
            if status.state == "rejected":
                await self._leave_out(kept, status)

    async def _leave_out(self, kept: list[Kept], status: TxStatus) -> None:
        """Take the record out for whose sake the whole transaction was rejected."""
        code, at = status.code or "", status.operation
        if code not in _OF_ONE_RECORD or at is None or not 0 <= at < len(kept):
            raise self._stopped(code, "the anchors were rejected")
        refused = (kept.pop(at).work, Reason.LEDGER_REJECTED, code)
        await self._worker.run(self._planner.refuse_work, *refused)

    def _registration(self, pid: bytes) -> RegisterPatient:
        return RegisterPatient(
            pid=pid,
            org=self._hospital.org,
            default_policy=self._policy,
            break_glass=1,
            ceiling=Confidentiality.N,
            link_commit=b"",
        )

    def _operation(self, kept: Kept) -> tuple[str, Wire]:
        row, sealed = kept.work.row, kept.sealed
        if row.version == 1:
            return "rec.anchor", AnchorRecord(
                rec_id=row.rec_id,
                pid=row.pid,
                record_class=kept.work.record_class,
                confidentiality=Confidentiality(row.confidentiality),
                commitment=sealed.commitment,
                ct_hash=sealed.ct_hash,
                size_bucket=sealed.size_bucket,
                custodian=self._hospital.org,
                fhir_type=row.type.lower(),
            )
        return "rec.amend", AmendRecord(
            rec_id=row.rec_id,
            prev_version=row.version - 1,
            kind=VersionKind.AMEND,
            reason=AmendReason.NEW_INFORMATION,
            commitment=sealed.commitment,
            ct_hash=sealed.ct_hash,
            size_bucket=sealed.size_bucket,
        )

    async def _signed(self, operations: Sequence[tuple[str, Wire]], key: SigningKey) -> Transaction:
        builder = await self._client.builder()
        for type_, body in operations:
            builder.operation(type_, body)
        return builder.signer(key.public).build().sign(key).complete()

    async def _committed(self, batch: Batch, tx: Transaction) -> TxStatus:
        """Send what the journal holds and wait for its end. Unless it is a commit, the journal
        forgets the transaction again.
        """
        try:
            status = await self._client.submit(tx, wait="committed", timeout_s=_COMMIT_SECONDS)
        except ProblemError as error:
            raise self._stopped(error.code, error.detail) from None
        if status.state == "committed":
            await self._close(batch, status)
        else:
            await self._worker.run(self._journal.unstage, batch)
        return status

    async def _end_of(self, batch: Batch) -> TxStatus:
        tx = Transaction.decode(batch.raw)
        try:
            return await self._client.submit(tx, wait="committed", timeout_s=_COMMIT_SECONDS)
        except ProblemError as error:
            status = await self._client.tx(batch.tx_id)
            tip = (await self._client.status()).height
            if status.final:
                return status
            if tip < tx.body.valid_until:
                # It may have reached the network before, so what it does must not be done twice.
                until = f"an earlier transaction may be committed until {tx.body.valid_until}"
                raise self._stopped(error.code, f"{error.detail}; {until}") from None
            return TxStatus(txid=batch.tx_id.hex(), state="expired")

    async def _close(self, batch: Batch, status: TxStatus) -> None:
        self.height = max(self.height, status.height or 0)
        self._counts.transactions += 1
        await self._worker.run(self._journal.close_batch, batch, status.height or 0)

    def _count(self, kept: Sequence[Kept]) -> None:
        for one in kept:
            row = one.work.row
            counter = self._counts.anchored if row.version == 1 else self._counts.amended
            counter[row.type] += 1
        self._counts.by_hospital[self._hospital.name] += len(kept)

    def _stopped(self, code: str, detail: str) -> ImportStoppedError:
        return ImportStoppedError(self._hospital.name, code, detail)
