"""Evidence: never false, never forgotten by who found it, and in the end with every honest node."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from consensus.engine import Evidence as Found
from consensus.statements import evidence_of
from devnet.sim.machine import Machine
from medquorum.errors import VerificationError
from medquorum.evidence import Accusation, EvidenceKind, verify_evidence
from medquorum.genesis import Genesis
from node.limits import EVIDENCE_KEPT_MAX, EVIDENCE_PER_KIND_MAX

SPREAD_MS: Final = 5_000
"""Until everybody has it, once nothing is lost any more: a few announcements, and what is found
meanwhile.
"""


class EvidenceChecks:
    """Keeps the books on who found what. `byzantine` are the vote keys that lie."""

    def __init__(
        self, fail: Callable[[str], None], genesis: Genesis, byzantine: frozenset[bytes]
    ) -> None:
        self._fail = fail
        self._chain_id = genesis.chain_id()
        self._engine = genesis.engine
        self._byzantine = byzantine
        self._found: dict[Accusation, list[tuple[Machine, int]]] = {}

    def found(self, machine: Machine, found: Found) -> None:
        """The engine of an honest machine has seen a contradiction."""
        try:
            accusation = verify_evidence(evidence_of(found), self._chain_id, self._engine)
        except VerificationError as error:
            self._fail(f"{machine.name} has evidence that proves nothing: {error}")
            return
        if accusation.kind.value != found.kind:
            self._fail(f"{machine.name} says {found.kind}, and has proof of {accusation.kind}")
        self._found.setdefault(accusation, []).append((machine, machine.epoch))

    def proven(self, machines: Sequence[Machine]) -> frozenset[Accusation]:
        """What these machines hold, or found themselves since their last start."""
        everything = {accusation for machine in machines for accusation in book_of(machine)}
        for accusation, finders in self._found.items():
            if any(finder in machines and finder.epoch == epoch for finder, epoch in finders):
                everything.add(accusation)
        return frozenset(everything)

    def lacking(self, machines: Sequence[Machine], proven: frozenset[Accusation]) -> list[str]:
        """Who lacks what was `proven`. One that holds as many as it must of a validator and kind
        lacks none of them.
        """
        return [
            f"{machine.name} lacks {accusation.kind} by {accusation.validator.hex()[:8]}"
            f" at height {accusation.height}"
            for machine in machines
            for book in (book_of(machine),)
            for accusation in sorted(proven - book)
            if needs(book, accusation)
        ]

    def check_books(self, machines: Iterable[Machine]) -> None:
        """No honest machine holds anything against an honest validator."""
        for machine in machines:
            for accusation in book_of(machine):
                if accusation.validator not in self._byzantine:
                    self._fail(f"{machine.name} holds false evidence: {accusation.kind}")


def book_of(machine: Machine) -> set[Accusation]:
    """What a machine's node holds; nothing while it is down."""
    if machine.node is None:
        return set()
    return {accusation for accusation, _ in machine.node.exchange.book.items()}


def needs(book: set[Accusation], accusation: Accusation) -> bool:
    """Whether a node with this book must hold one more of this validator and kind."""
    validator, kind = accusation.validator, EvidenceKind(accusation.kind)
    alike = sum((known.validator, known.kind) == (validator, kind) for known in book)
    return alike < EVIDENCE_PER_KIND_MAX and len(book) < EVIDENCE_KEPT_MAX
