"""What must hold of every run of Raft engines, whatever crashes (docs/spec/raft.md, section 9)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from consensus.engine import Decided, Send
from consensus.messages import LogRecord, vote_position
from consensus.raft.messages import (
    Ack,
    AckedRecord,
    Append,
    AppendedRecord,
    Grant,
    RaftVote,
    TermRecord,
    VoteRequest,
    ack_bytes,
    raft_payload,
    raft_phase,
)
from consensus.signing import Verify
from medquorum.block import ValidatorSet
from medquorum.certificate import unpack_signers
from tests.support.engine_checks import Violation
from tests.support.engine_world import CHAIN_ID


@dataclass(slots=True)
class RaftChecker:
    """Sees what validators write down, say and decide. Its majorities are its own arithmetic."""

    validators_at: Callable[[int], ValidatorSet]
    verify: Verify
    decided: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)
    said: dict[tuple[bytes, int, int, int], tuple[bytes, ...]] = field(default_factory=dict)
    results: dict[tuple[bytes, int, bytes], bytes] = field(default_factory=dict)
    last: dict[bytes, tuple[int, int, int]] = field(default_factory=dict)
    acks: dict[tuple[int, int, bytes, bytes], set[bytes]] = field(default_factory=dict)
    leaders: dict[tuple[int, int], bytes] = field(default_factory=dict)
    final_height: int = 0
    """The highest height that anybody handed out as decided."""

    def keys(self, height: int) -> tuple[bytes, ...]:
        """Who votes at a height."""
        return tuple(known.key for known in self.validators_at(height).validators)

    def is_majority(self, height: int, signers: set[bytes]) -> bool:
        """More than half of those who vote."""
        members = self.keys(height)
        return 2 * len(signers & set(members)) > len(members)

    def settles(self, height: int, block_hash: bytes, result_hash: bytes) -> None:
        """One block and one result a height."""
        known = self.decided.setdefault(height, (block_hash, result_hash))
        if known != (block_hash, result_hash):
            raise Violation(f"two decisions at height {height}")

    def on_decided(self, decided: Decided) -> None:
        """A decision is certified in one term, and the same everywhere."""
        header, known = decided.header, decided.certificate
        members = self.keys(header.height)
        signers = [members[place] for place in unpack_signers(known.signers, len(members))]
        message = ack_bytes(
            CHAIN_ID, header.height, known.round, known.block_hash, known.result_hash
        )
        good = [
            self.verify(signer, message, signature)
            for signer, signature in zip(signers, known.signatures, strict=True)
        ]
        if not all(good) or not self.is_majority(header.height, set(signers)):
            raise Violation("a decision without a certificate")
        if (known.block_hash, known.result_hash) != (header.hash(), decided.result.hash()):
            raise Violation("a decision that its certificate does not name")
        choice = (header.height, known.round, known.block_hash, known.result_hash)
        if not set(signers) <= self.acks.get(choice, set()):
            raise Violation("a certificate with an ack that was never said")
        self.settles(header.height, header.hash(), decided.result.hash())
        self.final_height = max(self.final_height, header.height)

    def on_persisted(self, key: bytes, record: LogRecord) -> None:
        """Only what is said is checked."""

    def on_sent(
        self, key: bytes, log: list[LogRecord], computed: set[tuple[bytes, bytes]], send: Send
    ) -> None:
        """One payload a height, term and phase, in order, and recorded before."""
        vote = send.message
        if not isinstance(vote, RaftVote):
            return
        place = (vote.height, vote.term, raft_phase(vote))
        if self.said.setdefault((key, *place), raft_payload(vote)) != raft_payload(vote):
            raise Violation(f"two payloads at {place}")
        position = vote_position(vote)
        if position is None or position[:3] != place:
            raise Violation("a vote without its position")
        if not send.again:
            if place < self.last.get(key, (0, 0, 0)):
                raise Violation(f"{place} was first said after {self.last[key]}")
            self.last[key] = place
        if not any(announces(record, vote) for record in log):
            raise Violation(f"{type(vote).__name__} was said before it was recorded")
        if isinstance(vote, Append):
            self._on_append(vote)
        if isinstance(vote, Ack):
            if (vote.block_hash, vote.result_hash) not in computed:
                raise Violation("a result was signed that was not computed")
            self._on_ack(key, vote)

    def _on_append(self, vote: Append) -> None:
        """One leader a term, and it has what is decided (in whichever term it was)."""
        if self.leaders.setdefault((vote.height, vote.term), vote.signer) != vote.signer:
            raise Violation(f"two leaders at {vote.height}/{vote.term}")
        if any(
            height == vote.height
            and term < vote.term
            and block_hash != vote.header.hash()
            and self.is_majority(height, signers)
            for (height, term, block_hash, _), signers in self.acks.items()
        ):
            raise Violation(f"the leader of {vote.height}/{vote.term} lacks what is decided")

    def _on_ack(self, key: bytes, vote: Ack) -> None:
        signed = self.results.setdefault((key, vote.height, vote.block_hash), vote.result_hash)
        if signed != vote.result_hash:
            raise Violation("two results of one block were signed")
        choice = (vote.height, vote.term, vote.block_hash, vote.result_hash)
        signers = self.acks.setdefault(choice, set())
        signers.add(key)
        # A certificate that somebody could put together counts as one.
        if self.is_majority(vote.height, signers):
            self.settles(vote.height, vote.block_hash, vote.result_hash)


def announces(record: LogRecord, vote: RaftVote) -> bool:
    """Whether `record` is what must be durable before `vote` is said."""
    if record.height != vote.height:
        return False
    match record, vote:
        case AppendedRecord(), Append():
            return (record.term, record.block_hash) == (vote.term, vote.header.hash())
        case AckedRecord(), Ack():
            return (record.term, record.block_hash, record.result_hash) == (
                vote.term,
                vote.block_hash,
                vote.result_hash,
            )
        case TermRecord(), VoteRequest():
            return (record.term, record.ballot) == (vote.term, (vote.signer,))
        case TermRecord(), Grant():
            return (record.term, record.ballot) == (vote.term, (vote.candidate,))
        case _:
            return False
