"""What this node knows to be proven against validators: one piece an accusation, in memory.

Bounded twice. One piece convicts as well as a thousand, so of one validator and kind only the first
few are kept: a liar that contradicts itself at every height cannot crowd out what others did.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from enum import Enum
from typing import Final

from medquorum.errors import DecodeError, VerificationError
from medquorum.evidence import Accusation, Evidence, decode_evidence, verify_evidence
from medquorum.quorum import EngineName
from node.limits import EVIDENCE_KEPT_MAX, EVIDENCE_PER_KIND_MAX


class Taken(Enum):
    """What became of a piece of evidence."""

    NEW = "new"
    KNOWN = "known"
    """The same accusation is proven here, perhaps by other signatures."""

    ENOUGH = "enough"
    """The validator is convicted of this often enough, or the book is full."""


class EvidenceBook:
    """Lives on the event loop. `records` are those of its log: what does not hold any more, an
    operator may have put another chain's file there, is left out and counted in `unreadable`.
    """

    def __init__(self, records: Iterable[bytes], chain_id: bytes, engine: EngineName) -> None:
        self.chain_id: Final = chain_id
        self.engine: Final[EngineName] = engine
        self.unreadable = 0
        self._pieces: dict[Accusation, Evidence] = {}
        self._by_id: dict[bytes, Accusation] = {}
        self._counts: Counter[tuple[bytes, str]] = Counter()
        for record in records:
            try:
                evidence = decode_evidence(record)
                self.add(verify_evidence(evidence, chain_id, engine), evidence)
            except (DecodeError, VerificationError):
                self.unreadable += 1

    def __len__(self) -> int:
        return len(self._pieces)

    def add(self, accusation: Accusation, evidence: Evidence) -> Taken:
        """Take a piece in that was verified. The same accusation counts once."""
        if accusation in self._pieces:
            return Taken.KNOWN
        slot = (accusation.validator, accusation.kind.value)
        if len(self._pieces) >= EVIDENCE_KEPT_MAX or self._counts[slot] >= EVIDENCE_PER_KIND_MAX:
            return Taken.ENOUGH
        self._pieces[accusation] = evidence
        self._by_id[evidence.id()] = accusation
        self._counts[slot] += 1
        return Taken.NEW

    def get(self, evidence_id: bytes) -> tuple[Accusation, Evidence] | None:
        """A piece by its id, with what it proves."""
        accusation = self._by_id.get(evidence_id)
        return None if accusation is None else (accusation, self._pieces[accusation])

    def items(self) -> list[tuple[Accusation, Evidence]]:
        """Everything, by height, validator and kind: an order that all nodes share."""
        return sorted(
            self._pieces.items(), key=lambda item: (item[0].height, item[0].validator, item[0].kind)
        )
