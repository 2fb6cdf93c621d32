"""How evidence gets from the node that saw both votes to all others (docs/spec/network.md, N10).

Every piece is verified before it is kept, and kept before it is passed on. What a node takes in
goes to all its peers at once; a peer that has not said that it needs a piece no more is offered it
again whenever it announces its height, until it has: frames may be lost, and a node that is behind
cannot tell yet who voted at that height.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Final, Protocol

from structlog.typing import FilteringBoundLogger

from consensus.engine import Evidence as Found
from consensus.statements import evidence_of
from medquorum.codec import Wire, decode, encode
from medquorum.errors import VerificationError
from medquorum.evidence import Accusation, Evidence, verify_evidence
from node.chain import Chain
from node.evidence.book import EvidenceBook, Taken
from node.limits import EVIDENCE_PER_MESSAGE
from node.threads import Threads
from node.wire import EvidenceBatch, EvidenceSettled, FrameKind
from storage.wal import WriteAheadLog


class Peers(Protocol):
    """The network, as the exchange needs it."""

    def members(self) -> tuple[bytes, ...]:
        """Node keys of the connected peers that the chain admits."""
        ...

    def send(self, peer: bytes, kind: FrameKind, message: Wire) -> bool:
        """Send a structure on the bulk lane."""
        ...

    def punish(self, peer: bytes, reason: str) -> None:
        """Disconnect a peer that did what no correct node does."""
        ...

    def dropped(self, reason: str) -> None:
        """Count what is ignored."""
        ...


class Counts(Protocol):
    """The metrics, as the exchange needs them."""

    def evidence(self, kind: str) -> None:
        """A validator's misbehaviour is proven."""
        ...


class EvidenceExchange:
    """Lives on the event loop; verifies on the verifiers' threads, writes on the writer's."""

    def __init__(
        self,
        *,
        journal: WriteAheadLog,
        chain: Chain,
        peers: Peers,
        threads: Threads,
        counts: Counts,
        spawn: Callable[[Coroutine[object, object, None]], object],
        log: FilteringBoundLogger,
    ) -> None:
        self._journal = journal
        self.book: Final = EvidenceBook(journal.records, chain.chain_id, chain.genesis.engine)
        """What this node holds."""
        if self.book.unreadable > 0:
            log.warning("evidence_unreadable", count=self.book.unreadable)
        self._chain = chain
        self._peers = peers
        self._threads = threads
        self._counts = counts
        self._spawn = spawn
        self._log = log
        self._settled: dict[bytes, set[bytes]] = {}
        """By peer: ids of pieces here that it needs no more."""

    def found(self, found: Found) -> None:
        """Our engine saw both votes. Returns at once."""
        self._spawn(self._take_own(evidence_of(found)))

    async def on_evidence(self, peer: bytes, payload: bytes) -> None:
        """A peer passes evidence on. It verified it before: what proves nothing is its fault."""
        batch = decode(EvidenceBatch, payload, size_max=len(payload))
        settled = []
        for evidence in batch.pieces:
            if evidence.height > self._chain.tip.height + 1:
                # It will be offered again, once we know who votes there.
                self._peers.dropped("evidence_ahead")
                continue
            try:
                await self._take(evidence, peer)
            except VerificationError:
                self._peers.punish(peer, "false_evidence")
                return
            settled.append(evidence.id())
            self._note(peer, evidence.id())
        if settled:
            self._peers.send(peer, FrameKind.EVIDENCE_SETTLED, EvidenceSettled(tuple(settled)))

    async def on_settled(self, peer: bytes, payload: bytes) -> None:
        """A peer needs these no more: it has them on its disk, or enough of the kind."""
        for evidence_id in decode(EvidenceSettled, payload, size_max=len(payload)).ids:
            self._note(peer, evidence_id)

    def on_tip(self, peer: bytes) -> None:
        """A peer is there: offer it what it may lack, some at a time. Who is no member gets
        nothing, and could not say that it has it.
        """
        if len(self.book) == 0 or peer not in self._peers.members():
            return
        known = self._settled.setdefault(peer, set())
        lacking = (
            [evidence for _, evidence in self.book.items() if evidence.id() not in known]
            if len(known) < len(self.book)
            else []
        )
        if lacking:
            self._offer(peer, lacking[:EVIDENCE_PER_MESSAGE])

    def lost(self, peer: bytes) -> None:
        """The peer is gone; it may come back with another disk."""
        self._settled.pop(peer, None)

    async def _take_own(self, evidence: Evidence) -> None:
        try:
            await self._take(evidence, b"")
        except VerificationError as error:
            # Never seen by anybody else: an engine that accuses falsely harms nobody.
            self._log.error("false_evidence", validator=evidence.validator, reason=error.reason)
            self._peers.dropped("own_evidence_false")

    async def _take(self, evidence: Evidence, source: bytes) -> None:
        """Verify, keep, pass on. Raises VerificationError."""
        if self.book.get(evidence.id()) is not None:
            return
        accusation = await self._threads.verifiers.run(self._judge, evidence)
        match self.book.add(accusation, evidence):
            case Taken.NEW:
                await self._threads.writer.run(self._journal.append, (encode(evidence),))
                self._publish(accusation, evidence, source)
            case Taken.KNOWN:
                pass
            case Taken.ENOUGH:
                self._peers.dropped("evidence_enough")

    def _judge(self, evidence: Evidence) -> Accusation:
        """What it proves of a validator of its height. Raises VerificationError."""
        accusation = verify_evidence(evidence, self.book.chain_id, self.book.engine)
        tip = self._chain.tip
        # Of the next height the tip knows more: organisations may have named who votes on it.
        ahead = evidence.height == tip.height + 1
        found = tip.validators if ahead else self._chain.blocks.validators(evidence.height)
        voters = found.validators
        if all(voter.key != accusation.validator for voter in voters):
            raise VerificationError("evidence_validator", "the signer was no validator then")
        return accusation

    def _publish(self, accusation: Accusation, evidence: Evidence, source: bytes) -> None:
        self._counts.evidence(accusation.kind.value)
        self._log.error(
            "byzantine_evidence",
            validator=accusation.validator,
            kind=accusation.kind.value,
            height=accusation.height,
            evidence=evidence.id(),
            peer=source,
        )
        for peer in self._peers.members():
            if peer != source:
                self._offer(peer, (evidence,))

    def _offer(self, peer: bytes, pieces: Sequence[Evidence]) -> None:
        self._peers.send(peer, FrameKind.EVIDENCE, EvidenceBatch(tuple(pieces)))

    def _note(self, peer: bytes, evidence_id: bytes) -> None:
        """Only of what is here, so no peer can make us remember more than we hold."""
        if self.book.get(evidence_id) is not None:
            self._settled.setdefault(peer, set()).add(evidence_id)
