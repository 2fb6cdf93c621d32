"""A whole import: the files are read once for what they refer to and once for their records, and
each hospital's lane works beside the reading.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Final

from medquorum.client import Client
from medquorum.connection import Retry
from node.fhir.files import FhirFile, Raw, Refused, files_of, resources_of
from node.fhir.hospitals import Consortium, Hospital
from node.fhir.journal import Journal
from node.fhir.lane import Lane
from node.fhir.limits import (
    ENTRY_BYTES_MAX,
    PLANNED_AT_ONCE,
    QUEUE_BYTES_MAX,
    QUEUE_RECORDS_MAX,
    RECORDS_PER_BATCH,
)
from node.fhir.plan import Planner, Work
from node.fhir.progress import NoProgress, Progress
from node.fhir.report import Counts, RefusalLine, Report, report_of
from node.fhir.routing import Routing
from node.ledger.types.records.terms import DefaultPolicy
from node.threads import Worker

_RETRY: Final = Retry(deadline_s=60.0)


@dataclass(frozen=True, slots=True)
class Options:
    """What may differ between imports of the same files."""

    policy: DefaultPolicy = DefaultPolicy.BREAK_GLASS_ONLY
    """What holds for new pseudonyms until the patient says something."""
    progress: Progress = field(default_factory=NoProgress)
    retry: Retry = _RETRY


async def import_fhir(
    directory: Path, consortium: Consortium, journal_file: Path, options: Options | None = None
) -> Report:
    """Import every file below `directory`. Can be interrupted anywhere and run again.

    Raises a FhirImportError or a ClientError when it cannot go on; what is wrong with a file or a
    resource stands in the report.
    """
    options = options or Options()
    started = monotonic()
    async with AsyncExitStack() as stack:
        worker, sealer = Worker("journal"), Worker("seal")
        stack.push_async_callback(asyncio.to_thread, sealer.close)
        stack.push_async_callback(asyncio.to_thread, worker.close)
        files = await worker.run(files_of, directory)
        journal = await worker.run(Journal, journal_file, consortium.genesis.chain_id())
        stack.push_async_callback(worker.run, journal.close)
        run = _Run(
            files=files,
            consortium=consortium,
            journal=journal,
            worker=worker,
            sealer=sealer,
            options=options,
        )
        try:
            await run.whole(stack)
        except BaseExceptionGroup as group:
            raise _first(group) from None
        refusals = await worker.run(lambda: tuple(RefusalLine(*r) for r in journal.refusals()))
    return report_of(
        run.counts,
        chain_id=consortium.genesis.chain_id(),
        files=len(files),
        size=sum(file.size for file in files),
        seconds=monotonic() - started,
        height=run.height,
        refusals=refusals,
    )


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Why it ended: whatever failed first cancelled the rest."""
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


class _Flush:
    """Between records of a queue: send what you have."""


_FLUSH: Final = _Flush()


class _Run:
    """One import while it runs."""

    def __init__(
        self,
        *,
        files: Sequence[FhirFile],
        consortium: Consortium,
        journal: Journal,
        worker: Worker,
        sealer: Worker,
        options: Options,
    ) -> None:
        self.counts = Counts()
        self._files = files
        self._consortium = consortium
        self._journal = journal
        self._worker = worker
        self._sealer = sealer
        self._options = options
        self._planner = Planner(journal, Routing(consortium.hospitals), self.counts)
        self._lanes: dict[bytes, Lane] = {}
        self._queues: dict[bytes, asyncio.Queue[Work | _Flush | None]] = {}
        self._waiting_bytes = 0
        self._sent = asyncio.Event()
        self._read_bytes = 0

    @property
    def height(self) -> int:
        """Of the last commit of any hospital."""
        return max(lane.height for lane in self._lanes.values())

    async def whole(self, stack: AsyncExitStack) -> None:
        """Recover, index, import."""
        for hospital in self._consortium.hospitals:
            await self._open_lane(hospital, stack)
        await self._worker.run(self._journal.begin_run)
        await self._index()
        async with asyncio.TaskGroup() as group:
            for org in self._lanes:
                group.create_task(self._serve(org))
            await self._read()

    async def _open_lane(self, hospital: Hospital, stack: AsyncExitStack) -> None:
        client = Client(hospital.rpc, genesis=self._consortium.genesis, retry=self._options.retry)
        lane = Lane(
            hospital,
            await stack.enter_async_context(client),
            chain_id=self._consortium.genesis.chain_id(),
            policy=self._options.policy,
            journal=self._journal,
            planner=self._planner,
            counts=self.counts,
            worker=self._worker,
            sealer=self._sealer,
        )
        await lane.open()
        self._lanes[hospital.org] = lane
        self._queues[hospital.org] = asyncio.Queue(QUEUE_RECORDS_MAX)

    async def _index(self) -> None:
        progress = self._options.progress
        progress.stage("indexing", sum(file.size for file in self._files))
        done = 0
        sizes = self._planner.index(self._files)
        while (size := await self._worker.run(next, sizes, None)) is not None:
            done += size
            progress.at(done, 0)

    async def _read(self) -> None:
        progress = self._options.progress
        progress.stage("importing", sum(file.size for file in self._files))
        resources = self._resources()
        while (works := await self._worker.run(self._plan_some, resources)) is not None:
            for work in works:
                await self._make_room(work.size)
                await self._queues[work.row.hospital].put(work)
            progress.at(self._read_bytes, self.counts.records)
        for queue in self._queues.values():
            await queue.put(None)

    def _resources(self) -> Iterator[Raw | Refused]:
        done = 0
        for file in self._files:
            for raw in resources_of(file):
                self._read_bytes = done + raw.offset
                yield raw
            done += file.size
            self._read_bytes = done

    def _plan_some(self, resources: Iterator[Raw | Refused]) -> list[Work] | None:
        """Read and plan the next resources, written down together. None at the end."""
        works: list[Work] = []
        size = 0
        with self._journal.together():
            for count, raw in enumerate(resources, start=1):
                work = self._planner.plan(raw)
                if work is not None:
                    works.append(work)
                    size += work.size
                if count == PLANNED_AT_ONCE or size >= ENTRY_BYTES_MAX:
                    return works
        return works or None

    async def _make_room(self, size: int) -> None:
        """Wait until a text of this size may wait for its lane."""
        while self._waiting_bytes > 0 and self._waiting_bytes + size > QUEUE_BYTES_MAX:
            # A lane collects a full transaction before it sends one. If all do, none would.
            self._sent.clear()
            for queue in self._queues.values():
                await queue.put(_FLUSH)
            await self._sent.wait()
        self._waiting_bytes += size

    async def _serve(self, org: bytes) -> None:
        """Send the records of one hospital in full transactions, until the end."""
        lane, queue = self._lanes[org], self._queues[org]
        works: list[Work] = []
        ended = False
        while not ended:
            match await queue.get():
                case Work() as work:
                    works.append(work)
                    if len(works) < RECORDS_PER_BATCH:
                        continue
                case None:
                    ended = True
                case _Flush():
                    pass
            if works:
                await lane.send(works)
                self._waiting_bytes -= sum(work.size for work in works)
                works = []
                self._options.progress.at(self._read_bytes, self.counts.records)
            self._sent.set()
