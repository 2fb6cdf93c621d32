"""What must hold of every run, whatever goes wrong (docs/spec/pbft.md, section 9)."""

from __future__ import annotations

from dataclasses import dataclass, field

from consensus.engine import Decided, Send
from consensus.messages import (
    AcceptedRecord,
    Commit,
    CommittedRecord,
    LogRecord,
    Prepare,
    PreparedRecord,
    Proposal,
    ProposedRecord,
    RoundChange,
    RoundChangedRecord,
    Vote,
    vote_payload,
    vote_phase,
    vote_position,
)
from consensus.pbft.members import Members
from consensus.pbft.proofs import CertificateBook
from consensus.signing import Verify
from medquorum.certificate import unpack_signers
from tests.support.engine_world import CHAIN_ID


class Violation(Exception):  # noqa: N818 - what a check found, not an error of the check
    """A promise of the protocol is broken."""


@dataclass(slots=True)
class Checker:
    """Sees what non-Byzantine validators write down, say and decide."""

    members: Members
    byzantine: frozenset[bytes]
    verify: Verify
    decided: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)
    said: dict[tuple[bytes, int, int, int], tuple[bytes | int, ...]] = field(default_factory=dict)
    results: dict[tuple[bytes, int, bytes], bytes] = field(default_factory=dict)
    last: dict[bytes, tuple[int, int, int]] = field(default_factory=dict)
    prepared: dict[tuple[bytes, int], list[int]] = field(default_factory=dict)
    commits: dict[tuple[int, int, bytes, bytes], set[bytes]] = field(default_factory=dict)

    @property
    def quorum(self) -> int:
        """Two thirds, rounded up: what the engine's own arithmetic is compared with."""
        return -(-2 * self.members.n // 3)

    def settles(self, height: int, block_hash: bytes, result_hash: bytes) -> None:
        """One block and one result a height (I1)."""
        known = self.decided.setdefault(height, (block_hash, result_hash))
        if known != (block_hash, result_hash):
            raise Violation(f"two decisions at height {height}")

    def on_decided(self, decided: Decided) -> None:
        """A decision is certified (I2), and the same everywhere (I1)."""
        header, certificate = decided.header, decided.certificate
        book = CertificateBook(CHAIN_ID, header.height, self.members, self.verify)
        signers = set(unpack_signers(certificate.signers, self.members.n))
        if len(signers) < self.quorum or not book.commit_holds(certificate):
            raise Violation("a decision without a certificate")
        if (certificate.block_hash, certificate.result_hash) != (
            header.hash(),
            decided.result.hash(),
        ):
            raise Violation("a decision that its certificate does not name")
        self.settles(header.height, header.hash(), decided.result.hash())

    def on_persisted(self, key: bytes, record: LogRecord) -> None:
        """What is prepared never goes back (I5)."""
        if isinstance(record, PreparedRecord):
            rounds = self.prepared.setdefault((key, record.height), [])
            if record.certificate.round <= max(rounds, default=-1):
                raise Violation("the prepared round went back")
            rounds.append(record.certificate.round)

    def on_sent(
        self, key: bytes, log: list[LogRecord], computed: set[tuple[bytes, bytes]], send: Send
    ) -> None:
        """One payload a height, round and phase (I3), in order, and recorded before (I6)."""
        vote = send.message
        if not isinstance(vote, Vote) or vote.signer != key:
            return
        place = (vote.height, vote.round, vote_phase(vote))
        known = self.said.setdefault((key, *place), vote_payload(vote))
        if known != vote_payload(vote):
            raise Violation(f"two payloads at {place}")
        position = vote_position(vote)
        if position is None or position[:3] != place:
            raise Violation("a vote without its position")
        last = self.last.get(key, (0, 0, 0))
        if not send.again:
            if place < last:
                raise Violation(f"{place} was first said after {last}")
            self.last[key] = place
        if not any(announces(record, vote) for record in log):
            raise Violation(f"{type(vote).__name__} was said before it was recorded")
        if isinstance(vote, Commit):
            if (vote.block_hash, vote.result_hash) not in computed:
                raise Violation("a result was signed that was not computed")
            self._on_commit(key, vote)
        if isinstance(vote, RoundChange):
            claimed = [claim.round for claim in vote.prepared]
            rounds = self.prepared.get((key, vote.height), [])
            if claimed != [round_ for round_ in rounds if round_ < vote.round][-1:]:
                raise Violation("a wish that hides what is prepared")

    def _on_commit(self, key: bytes, vote: Commit) -> None:
        signed = self.results.setdefault((key, vote.height, vote.block_hash), vote.result_hash)
        if signed != vote.result_hash:
            raise Violation("two results of one block were signed")
        choice = (vote.height, vote.round, vote.block_hash, vote.result_hash)
        signers = self.commits.setdefault(choice, set())
        signers.add(key)
        # A certificate that could exist counts as one: Byzantine validators sign anything.
        if len(signers) + len(self.byzantine) >= self.quorum:
            self.settles(vote.height, vote.block_hash, vote.result_hash)


def announces(record: LogRecord, vote: Vote) -> bool:
    """Whether `record` is what must be durable before `vote` is said."""
    if record.height != vote.height:
        return False
    match record, vote:
        case ProposedRecord(), Proposal():
            return (record.round, record.block_hash) == (vote.round, vote.header.hash())
        case AcceptedRecord(), Prepare():
            return (record.round, record.block_hash) == (vote.round, vote.block_hash)
        case CommittedRecord(), Commit():
            return (record.round, record.block_hash, record.result_hash) == (
                vote.round,
                vote.block_hash,
                vote.result_hash,
            )
        case RoundChangedRecord(), RoundChange():
            return record.round == vote.round
        case _:
            return False
