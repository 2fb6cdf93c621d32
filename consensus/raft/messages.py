"""What validators of a Raft chain say to each other, and what they write down before they speak.

Three kinds are signed. An `Ack` is a vote that commit certificates are made of. An `Append` and a
ballot (a `VoteRequest` is its candidate's ballot for itself, a `Grant` is anybody else's) are
signed so that a validator that contradicts itself can be convicted. A chain has one engine and the
chain id is in what is signed, so the tags PROPOSAL and ROUND_CHANGE are free to mean here what
comes closest. The rest is said to a peer that the transport has authenticated, and believed: these
validators may crash, but they do not lie.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias, assert_never

from msgspec import Meta

from consensus.limits import BODY_BYTES_MAX
from consensus.positions import VotePosition, position_of
from medquorum.block import Header
from medquorum.certificate import CommitCertificate, VoteTag, vote_bytes
from medquorum.codec import U8, U32, Hash, Height, Wire
from medquorum.keys import PublicKey, Signature

Flag = Annotated[int, Meta(ge=0, le=1)]
MaybeTerm = Annotated[tuple[U32, ...], Meta(max_length=1)]
MaybeHash = Annotated[tuple[Hash, ...], Meta(max_length=1)]
MaybeKey = Annotated[tuple[PublicKey, ...], Meta(max_length=1)]
MaybeHeight = Annotated[tuple[Height, ...], Meta(max_length=1)]


class Append(Wire, frozen=True, tag=16):
    """The leader's one entry of this term: a new block, or the one that it had acknowledged."""

    height: Height
    term: U32
    signer: PublicKey
    header: Header
    body: Annotated[bytes, Meta(max_length=BODY_BYTES_MAX)]
    signature: Signature

    def signed_bytes(self, chain_id: bytes) -> bytes:
        """What `signature` signs."""
        return append_bytes(chain_id, self.height, self.term, self.header.hash())


class Ack(Wire, frozen=True, tag=17):
    """`signer` has the leader's entry of this term on its disk, and executing it gave this."""

    height: Height
    term: U32
    signer: PublicKey
    block_hash: Hash
    result_hash: Hash
    signature: Signature

    def signed_bytes(self, chain_id: bytes) -> bytes:
        """What `signature` signs."""
        return ack_bytes(chain_id, self.height, self.term, self.block_hash, self.result_hash)


class VoteRequest(Wire, frozen=True, tag=18):
    """`signer` votes for itself as the leader of this term and asks for others' votes.

    `accepted` is the term of what it acknowledged last at this height. `forced`: the leader told
    it to, so nobody should stand by that leader. Neither is signed.
    """

    height: Height
    term: U32
    signer: PublicKey
    accepted: MaybeTerm
    forced: Flag
    signature: Signature

    def signed_bytes(self, chain_id: bytes) -> bytes:
        """What `signature` signs."""
        return ballot_bytes(chain_id, self.height, self.term, self.signer)


class Grant(Wire, frozen=True, tag=19):
    """`signer` votes for `candidate` as the leader of this term, and for nobody else in it."""

    height: Height
    term: U32
    signer: PublicKey
    candidate: PublicKey
    signature: Signature

    def signed_bytes(self, chain_id: bytes) -> bytes:
        """What `signature` signs."""
        return ballot_bytes(chain_id, self.height, self.term, self.candidate)


class PreVoteRequest(Wire, frozen=True, tag=20):
    """Would you vote for me in this term? Nothing changes by asking, or by answering."""

    height: Height
    term: U32
    accepted: MaybeTerm


class PreVoteReply(Wire, frozen=True, tag=21):
    """Yes: `term` is the one asked about. No: it is the one that the sender is in."""

    height: Height
    term: U32
    granted: Flag


class Heartbeat(Wire, frozen=True, tag=22):
    """The sender leads this term. `entry` is what it has appended in it, if anything.

    `beat` counts the heartbeats of its leadership; the answer repeats it.
    """

    height: Height
    term: U32
    beat: U32
    entry: MaybeHash


class HeartbeatReply(Wire, frozen=True, tag=23):
    """The sender follows this leader, and holds this entry of the term."""

    height: Height
    term: U32
    beat: U32
    entry: MaybeHash


class TimeoutNow(Wire, frozen=True, tag=24):
    """The leader of this term wants the receiver to take over."""

    height: Height
    term: U32


class Decision(Wire, frozen=True, tag=25):
    """The height is decided, by this certificate. Whoever lacks the block asks for it."""

    height: Height
    certificate: CommitCertificate


class ReadRequest(Wire, frozen=True, tag=26):
    """Up to which height must a read see everything? Asked of the leader."""

    height: Height
    context: U32


class ReadReply(Wire, frozen=True, tag=27):
    """The leader's answer; without a read height, it does not know (any more)."""

    height: Height
    context: U32
    read: MaybeHeight


RaftVote: TypeAlias = Append | Ack | VoteRequest | Grant
RaftMessage: TypeAlias = (
    RaftVote
    | PreVoteRequest
    | PreVoteReply
    | Heartbeat
    | HeartbeatReply
    | TimeoutNow
    | Decision
    | ReadRequest
    | ReadReply
)


class TermRecord(Wire, frozen=True, tag=16):
    """Before anything is said in this term: we are in it, and voted for this candidate, if any."""

    height: Height
    term: U32
    ballot: MaybeKey


class AppendedRecord(Wire, frozen=True, tag=17):
    """Before APPEND: the one block that we send as leader of this term."""

    height: Height
    term: U32
    block_hash: Hash


class AckedRecord(Wire, frozen=True, tag=18):
    """Before ACK: the entry that we hold, and the only result that we ever sign for it."""

    height: Height
    term: U32
    block_hash: Hash
    result_hash: Hash


RaftRecord: TypeAlias = TermRecord | AppendedRecord | AckedRecord

BALLOT_PHASE: Final[U8] = 0
APPEND_PHASE: Final[U8] = 1
ACK_PHASE: Final[U8] = 2


def append_bytes(chain_id: bytes, height: int, term: int, block_hash: bytes) -> bytes:
    """What an APPEND signs."""
    return vote_bytes(VoteTag.PROPOSAL, chain_id, height, term, (block_hash,))


def ack_bytes(
    chain_id: bytes, height: int, term: int, block_hash: bytes, result_hash: bytes
) -> bytes:
    """What an ACK signs, in acks and in commit certificates."""
    return vote_bytes(VoteTag.ACK, chain_id, height, term, (block_hash, result_hash))


def ballot_bytes(chain_id: bytes, height: int, term: int, candidate: bytes) -> bytes:
    """What a ballot signs, one's own for oneself included."""
    return vote_bytes(VoteTag.ROUND_CHANGE, chain_id, height, term, (candidate,))


def raft_phase(vote: RaftVote) -> int:
    """The place of a vote among those of its signer in one term (docs/spec/raft.md, section 6)."""
    match vote:
        case VoteRequest() | Grant():
            return BALLOT_PHASE
        case Append():
            return APPEND_PHASE
        case Ack():
            return ACK_PHASE
        case _:
            assert_never(vote)


def raft_payload(vote: RaftVote) -> tuple[bytes, ...]:
    """What a vote says at its height and term."""
    match vote:
        case Append():
            return (vote.header.hash(),)
        case Ack():
            return (vote.block_hash, vote.result_hash)
        case VoteRequest():
            return (vote.signer,)
        case Grant():
            return (vote.candidate,)
        case _:
            assert_never(vote)


_TAGS: Final = (VoteTag.ROUND_CHANGE, VoteTag.PROPOSAL, VoteTag.ACK)
"""By phase."""


def raft_tag(vote: RaftVote) -> VoteTag:
    """What a vote's signature means."""
    return _TAGS[raft_phase(vote)]


def raft_position(vote: RaftVote) -> VotePosition:
    """Where a vote stands in its signer's order: the term plays the round."""
    payload = raft_payload(vote)
    return position_of(raft_tag(vote), vote.height, vote.term, raft_phase(vote), payload)
