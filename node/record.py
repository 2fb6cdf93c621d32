"""Keeps what operators must see: proofs of misbehaviour, durably; everything else as counts."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Protocol

from consensus.engine import Evidence
from medquorum.codec import encode
from node.limits import EVIDENCE_KEPT_MAX
from node.threads import Worker
from storage.wal import WriteAheadLog


class Counts(Protocol):
    """The metrics, as the recorder needs them."""

    def dropped(self, reason: str) -> None:
        """Input that was ignored, by reason."""
        ...

    def evidence(self, kind: str) -> None:
        """Proof of misbehaviour, by kind."""
        ...


class Recorder:
    """Evidence goes to a log of its own, each pair of messages once, up to EVIDENCE_KEPT_MAX."""

    def __init__(
        self,
        log: WriteAheadLog,
        writer: Worker,
        counts: Counts,
        spawn: Callable[[Coroutine[object, object, None]], object],
    ) -> None:
        self._log = log
        self._writer = writer
        self._counts = counts
        self._spawn = spawn
        self._kept = set(log.records)

    def dropped(self, reason: str) -> None:
        """Count it."""
        self._counts.dropped(reason)

    def evidence(self, evidence: Evidence) -> None:
        """Count it, and write it down if it is new."""
        self._counts.evidence(evidence.kind)
        record = encode((evidence.validator, evidence.kind, evidence.first, evidence.second))
        if record not in self._kept and len(self._kept) < EVIDENCE_KEPT_MAX:
            self._kept.add(record)
            self._spawn(self._write(record))

    async def _write(self, record: bytes) -> None:
        await self._writer.run(self._log.append, (record,))
