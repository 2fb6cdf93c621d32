"""What must hold of every run of Raft (docs/spec/raft.md, section 9), seen from outside the nodes.

Election safety, log matching, leader completeness, and certificates for entries of their own term
only. A majority of acks of one term decides, whether or not anybody has put a certificate together.
The books are kept here, from what is said on the wire; no engine is asked for its opinion.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from typing_extensions import override

from consensus.messages import Message
from consensus.raft.messages import Ack, Append, Grant, Heartbeat, RaftVote, VoteRequest
from medquorum.block import Header, ValidatorSet
from medquorum.certificate import CommitCertificate, unpack_signers


@dataclass(frozen=True, slots=True)
class Place:
    """A term of a height."""

    height: int
    term: int

    @override
    def __str__(self) -> str:
        return f"{self.height}/{self.term}"


@dataclass(slots=True)
class RaftChecks:
    """Sees what honest validators of a Raft chain say, and what they commit.

    `fail` tells the world, `settles` (height, block, result) what nobody may contradict any more,
    `members` who votes at a height, None if no honest node is there yet.
    """

    fail: Callable[[str], None]
    settles: Callable[[int, bytes, bytes], None]
    members: Callable[[int], ValidatorSet | None]
    chain_id: bytes
    terms_max: int = 0
    _ballots: dict[tuple[Place, bytes], set[bytes]] = field(default_factory=dict)
    """Who voted for a candidate."""
    _leaders: dict[Place, bytes] = field(default_factory=dict)
    _entries: dict[Place, bytes] = field(default_factory=dict)
    _acks: dict[tuple[Place, bytes, bytes], set[bytes]] = field(default_factory=dict)
    """Who acknowledged a block with a result."""
    _chosen: dict[int, tuple[int, bytes]] = field(default_factory=dict)
    """The lowest term in which a majority acknowledged, and what, by height."""
    _parents: dict[int, Header] = field(default_factory=dict)

    def said(self, who: str, vote: RaftVote) -> None:
        """An honest validator says a vote, or has its own ack on its disk."""
        place = Place(vote.height, vote.term)
        self.terms_max = max(self.terms_max, vote.term)
        match vote:
            case VoteRequest():
                self._ballots.setdefault((place, vote.signer), set()).add(vote.signer)
            case Grant():
                self._ballots.setdefault((place, vote.candidate), set()).add(vote.signer)
            case Append():
                self._leads(who, vote.signer, place)
                self._appended(who, place, vote.header)
            case Ack():
                self._acked(who, place, vote)

    def told(self, who: str, key: bytes, message: Message) -> None:
        """An honest validator says something that is no vote."""
        if isinstance(message, Heartbeat):
            self._leads(who, key, Place(message.height, message.term))

    def committed(self, header: Header, certificate: CommitCertificate) -> None:
        """A certificate is of one term: of acks that were said in it, of the entry of that term."""
        place = Place(header.height, certificate.round)
        choice = (place, certificate.block_hash, certificate.result_hash)
        members = self._keys(header.height)
        signers = {members[n] for n in unpack_signers(certificate.signers, len(members))}
        self._parents[header.height] = header
        if not signers <= self._acks.get(choice, set()):
            self.fail(f"I10: a certificate of {place} counts an ack that nobody said in that term")
        if self._entries.get(place, certificate.block_hash) != certificate.block_hash:
            self.fail(f"I10: what is certified in {place} is not the entry of that term")

    def _keys(self, height: int) -> tuple[bytes, ...]:
        known = self.members(height)
        return () if known is None else tuple(member.key for member in known.validators)

    def _is_majority(self, height: int, keys: set[bytes]) -> bool:
        members = self._keys(height)
        return 2 * len(keys & set(members)) > len(members)

    def _leads(self, who: str, key: bytes, place: Place) -> None:
        """Election safety: one leader a term, and it was elected, or is the one of term 0."""
        if self._leaders.setdefault(place, key) != key:
            self.fail(f"I10: {who} leads {place}, and so does somebody else")
        elif place.term == 0 and key != self._first_leader(place.height):
            self.fail(f"I10: {who} leads {place}, which belongs to somebody else")
        elif place.term > 0 and not self._is_majority(place.height, self._voters(place, key)):
            self.fail(f"I10: {who} leads {place}, and no majority voted for it")

    def _voters(self, place: Place, candidate: bytes) -> set[bytes]:
        return self._ballots.get((place, candidate), set())

    def _first_leader(self, height: int) -> bytes:
        """Who made the block before, if it still votes; else they take turns."""
        members, parent = self._keys(height), self._parents.get(height - 1)
        if parent is not None and parent.proposer in members:
            return parent.proposer
        return members[height % len(members)]

    def _appended(self, who: str, place: Place, header: Header) -> None:
        """Log matching, and leader completeness: what could be decided is in every later term."""
        parent = self._parents.get(place.height - 1)
        expected = self.chain_id if parent is None else parent.hash()
        if header.parent != expected:
            self.fail(f"I10: the entry of {place} does not follow what is decided below it")
        if self._entries.setdefault(place, header.hash()) != header.hash():
            self.fail(f"I10: {place} has two entries")
        chosen = self._chosen.get(place.height)
        if chosen is not None and place.term > chosen[0] and chosen[1] != header.hash():
            self.fail(f"I10: {who} leads {place} without what term {chosen[0]} has decided")

    def _acked(self, who: str, place: Place, ack: Ack) -> None:
        # The leader's own ack may be on its disk before anybody hears of the entry.
        if self._entries.setdefault(place, ack.block_hash) != ack.block_hash:
            self.fail(f"I10: {who} acknowledges in {place} what its leader did not send")
        signers = self._acks.setdefault((place, ack.block_hash, ack.result_hash), set())
        signers.add(ack.signer)
        if not self._is_majority(place.height, signers):
            return
        # A certificate that could exist counts as one.
        self.settles(place.height, ack.block_hash, ack.result_hash)
        known = self._chosen.get(place.height)
        if known is None or place.term < known[0]:
            self._chosen[place.height] = (place.term, ack.block_hash)
            self._check_later_terms(place, ack.block_hash)

    def _check_later_terms(self, place: Place, block_hash: bytes) -> None:
        """The acks that made the majority may come after the entries of later terms."""
        for other, entry in self._entries.items():
            if other.height == place.height and other.term > place.term and entry != block_hash:
                self.fail(f"I10: {other} has another entry than what {place} has decided")
