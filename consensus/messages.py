"""What validators say to each other, and what an engine writes down before it speaks.

A message is an array whose first element, an integer, says which one it is; so is a log record.
Those that only Raft has are in consensus/raft/messages.py; a chain has one engine, and what belongs
to the other is refused by name.
Encodings are canonical (medquorum.codec) and bounded (consensus/limits.py). Field ranges are
checked by decoding, a vote's own signature (over `signed_bytes`) by whoever hands it to an engine,
everything else by the engine.

Votes (Proposal, Prepare, Commit, RoundChange) carry their signer's signature: they count towards
quorums, are passed on inside certificates, and convict a signer who contradicts itself. The rest
is unsigned. A RoundProof, a DecidedMessage and a BlockResponse prove themselves by the signatures
and hashes inside; a Status or BlockRequest only ever costs its receiver a bounded answer to the
peer that the transport has authenticated, so nobody gains by forging one.

The proposal's justification and a round change's certificate are outside the signature: they prove
themselves, and more than one proof may fit one claim (docs/spec/pbft.md, section 3).
"""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias, TypeVar, assert_never

import msgspec
from msgspec import Meta

from consensus.checkpoints import KeptRecord
from consensus.limits import (
    BODY_BYTES_MAX,
    DETAIL_CHARS_MAX,
    MESSAGE_BYTES_MAX,
    REASON_CHARS_MAX,
    RECORD_BYTES_MAX,
)
from consensus.positions import VotePosition, position_of
from consensus.raft.messages import RaftMessage, RaftRecord, RaftVote, raft_position
from medquorum.block import Header
from medquorum.certificate import CommitCertificate, VoteTag, vote_bytes
from medquorum.codec import U32, Hash, Height, Wire, encode
from medquorum.errors import MalformedError, NonCanonicalError, OversizedError
from medquorum.keys import PublicKey, Signature
from medquorum.quorum import VALIDATORS_MAX

Body = Annotated[bytes, Meta(max_length=BODY_BYTES_MAX)]
"""Which transactions, in which order: opaque here, bound to the header by its txs_root."""


class Prepared(Wire, frozen=True):
    """The claim to hold a prepared certificate for `block_hash` of `round`."""

    round: U32
    block_hash: Hash


class PreparedCertificate(Wire, frozen=True):
    """A quorum of PREPARE signatures of one (height, round, hash); the height is the message's.

    `signers` is a bitmap over the validator set, as in a commit certificate.
    """

    round: U32
    block_hash: Hash
    signers: Annotated[bytes, Meta(min_length=1, max_length=(VALIDATORS_MAX + 7) // 8)]
    signatures: Annotated[tuple[Signature, ...], Meta(min_length=1, max_length=VALIDATORS_MAX)]


MaybePrepared = Annotated[tuple[Prepared, ...], Meta(max_length=1)]
MaybeCertificate = Annotated[tuple[PreparedCertificate, ...], Meta(max_length=1)]


class RoundChangeEntry(Wire, frozen=True):
    """One validator's signed wish to leave for a round, as others pass it on."""

    signer: PublicKey
    prepared: MaybePrepared
    signature: Signature


class Justification(Wire, frozen=True):
    """Why a round may be entered and what it may decide: both fields are empty in round 0.

    `entries` are round changes for the round, ascending by the signer's place in the validator
    set; `certificate` proves the highest prepared claim among them, if there is one.
    """

    entries: Annotated[tuple[RoundChangeEntry, ...], Meta(max_length=VALIDATORS_MAX)]
    certificate: MaybeCertificate


NO_JUSTIFICATION: Final = Justification((), ())


class Proposal(Wire, frozen=True, tag=1):
    """The proposer's block for (height, round), which are not repeated: new or prepared before."""

    height: Height
    round: U32
    signer: PublicKey
    header: Header
    body: Body
    justification: Justification
    signature: Signature

    def signed_bytes(self, chain_id: bytes) -> bytes:
        """What `signature` signs."""
        return proposal_bytes(chain_id, self.height, self.round, self.header.hash())


class Prepare(Wire, frozen=True, tag=2):
    """`signer` holds the block, found it valid, and accepts no other in this round."""

    height: Height
    round: U32
    signer: PublicKey
    block_hash: Hash
    signature: Signature

    def signed_bytes(self, chain_id: bytes) -> bytes:
        """What `signature` signs."""
        return prepare_bytes(chain_id, self.height, self.round, self.block_hash)


class Commit(Wire, frozen=True, tag=3):
    """`signer` saw a quorum prepare the block in this round, and executing it gave this result."""

    height: Height
    round: U32
    signer: PublicKey
    block_hash: Hash
    result_hash: Hash
    signature: Signature

    def signed_bytes(self, chain_id: bytes) -> bytes:
        """What `signature` signs."""
        return commit_bytes(chain_id, self.height, self.round, self.block_hash, self.result_hash)


class RoundChange(Wire, frozen=True, tag=4):
    """`signer` wants to enter `round`, votes in no earlier one, and last prepared this."""

    height: Height
    round: U32
    signer: PublicKey
    prepared: MaybePrepared
    certificate: MaybeCertificate
    signature: Signature

    def signed_bytes(self, chain_id: bytes) -> bytes:
        """What `signature` signs: the claim; the certificate proves itself."""
        return round_change_bytes(chain_id, self.height, self.round, self.prepared)

    def entry(self) -> RoundChangeEntry:
        """The part that goes into a justification."""
        return RoundChangeEntry(self.signer, self.prepared, self.signature)


class RoundProof(Wire, frozen=True, tag=5):
    """A quorum wanted this round: whoever is below may enter it."""

    height: Height
    round: U32
    justification: Justification


class Status(Wire, frozen=True, tag=6):
    """Where the sender stands. A hint: nothing but bounded answers may follow from it."""

    height: Height
    round: U32


class DecidedMessage(Wire, frozen=True, tag=7):
    """A decided block with the certificate that finalises it and its result."""

    height: Height
    header: Header
    body: Body
    certificate: CommitCertificate


class BlockRequest(Wire, frozen=True, tag=8):
    """The sender knows that a block of this hash was prepared or decided, and lacks it."""

    height: Height
    block_hash: Hash


class BlockResponse(Wire, frozen=True, tag=9):
    """A block, because it was asked for. Its hash says which; it is no proposal."""

    height: Height
    header: Header
    body: Body


Vote: TypeAlias = Proposal | Prepare | Commit | RoundChange
PbftMessage: TypeAlias = Vote | RoundProof | Status | DecidedMessage | BlockRequest | BlockResponse
Message: TypeAlias = PbftMessage | RaftMessage
"""What either engine says. Status and DecidedMessage belong to both."""

SignedMessage: TypeAlias = Vote | RaftVote
"""What carries its signer's signature, on a chain of either engine."""


class BlockRecord(Wire, frozen=True, tag=1):
    """A block that a later record of this height names by its hash."""

    height: Height
    header: Header
    body: Body


class ProposedRecord(Wire, frozen=True, tag=2):
    """Before PROPOSAL: what we propose in this round."""

    height: Height
    round: U32
    block_hash: Hash


class AcceptedRecord(Wire, frozen=True, tag=3):
    """Before PREPARE: the one block that we accept in this round."""

    height: Height
    round: U32
    block_hash: Hash


class PreparedRecord(Wire, frozen=True, tag=4):
    """Before COMMIT: a quorum prepared this. Every later round change of ours says so."""

    height: Height
    certificate: PreparedCertificate


class CommittedRecord(Wire, frozen=True, tag=5):
    """Before COMMIT: the only result that we ever sign for this block at this height."""

    height: Height
    round: U32
    block_hash: Hash
    result_hash: Hash


class RoundChangedRecord(Wire, frozen=True, tag=6):
    """Before ROUND_CHANGE: from now on we say nothing new in earlier rounds."""

    height: Height
    round: U32


class EnteredRecord(Wire, frozen=True, tag=7):
    """We are in this round, and this is why."""

    height: Height
    round: U32
    justification: Justification


class HaltedRecord(Wire, frozen=True, tag=8):
    """We vote no more, restarts included. `height` is where; `block_hash` is the block, if one."""

    height: Height
    reason: Annotated[str, Meta(max_length=REASON_CHARS_MAX)]
    detail: Annotated[str, Meta(max_length=DETAIL_CHARS_MAX)]


class ReleasedRecord(Wire, frozen=True, tag=9):
    """An operator's decision: the halt is over, and results signed at `height` do not bind us."""

    height: Height


PbftRecord: TypeAlias = (
    BlockRecord
    | ProposedRecord
    | AcceptedRecord
    | PreparedRecord
    | CommittedRecord
    | RoundChangedRecord
    | EnteredRecord
    | HaltedRecord
    | ReleasedRecord
)


LogRecord: TypeAlias = PbftRecord | RaftRecord | KeptRecord

_TAGS: Final = {
    RoundChange: VoteTag.ROUND_CHANGE,
    Proposal: VoteTag.PROPOSAL,
    Prepare: VoteTag.PREPARE,
    Commit: VoteTag.COMMIT,
}
_PHASES: Final = {tag: place for place, tag in enumerate(_TAGS.values())}

T = TypeVar("T")

_message_decoder: Final[msgspec.msgpack.Decoder[Message]] = msgspec.msgpack.Decoder(Message)
_record_decoder: Final[msgspec.msgpack.Decoder[LogRecord]] = msgspec.msgpack.Decoder(LogRecord)


def encode_message(message: Message) -> bytes:
    """The canonical bytes of a message."""
    return encode(message)


def decode_message(data: bytes) -> Message:
    """The message in `data`. Raises OversizedError, MalformedError or NonCanonicalError."""
    return _decode(_message_decoder, data, MESSAGE_BYTES_MAX, "message")


def encode_record(record: LogRecord) -> bytes:
    """The canonical bytes of a log record."""
    return encode(record)


def decode_record(data: bytes) -> LogRecord:
    """The record in `data`. Raises OversizedError, MalformedError or NonCanonicalError."""
    return _decode(_record_decoder, data, RECORD_BYTES_MAX, "log record")


def _decode(decoder: msgspec.msgpack.Decoder[T], data: bytes, size_max: int, what: str) -> T:
    if len(data) > size_max:
        raise OversizedError(size=len(data), size_max=size_max)
    try:
        value = decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedError(str(error)) from None
    if encode(value) != data:
        raise NonCanonicalError(what)
    return value


def proposal_bytes(chain_id: bytes, height: int, round_: int, block_hash: bytes) -> bytes:
    """What a PROPOSAL signs."""
    return vote_bytes(VoteTag.PROPOSAL, chain_id, height, round_, (block_hash,))


def prepare_bytes(chain_id: bytes, height: int, round_: int, block_hash: bytes) -> bytes:
    """What a PREPARE signs."""
    return vote_bytes(VoteTag.PREPARE, chain_id, height, round_, (block_hash,))


def commit_bytes(
    chain_id: bytes, height: int, round_: int, block_hash: bytes, result_hash: bytes
) -> bytes:
    """What a COMMIT signs, in votes and in commit certificates."""
    return vote_bytes(VoteTag.COMMIT, chain_id, height, round_, (block_hash, result_hash))


def round_change_bytes(
    chain_id: bytes, height: int, round_: int, prepared: tuple[Prepared, ...]
) -> bytes:
    """What a ROUND_CHANGE signs: no payload, or the round and the hash that were prepared."""
    return vote_bytes(VoteTag.ROUND_CHANGE, chain_id, height, round_, _claim(prepared))


def vote_tag(vote: Vote) -> VoteTag:
    """What a vote's signature means."""
    return _TAGS[type(vote)]


def vote_phase(vote: Vote) -> int:
    """The place of a vote among those of its signer in one round."""
    return _PHASES[vote_tag(vote)]


def vote_payload(vote: Vote) -> tuple[bytes | int, ...]:
    """What a vote says at its height and round."""
    match vote:
        case Proposal():
            return (vote.header.hash(),)
        case Prepare():
            return (vote.block_hash,)
        case Commit():
            return (vote.block_hash, vote.result_hash)
        case RoundChange():
            return _claim(vote.prepared)
        case _:
            assert_never(vote)


def vote_position(message: Message) -> VotePosition | None:
    """Where a vote stands in its signer's order; None for what nobody signs.

    Within a height the order is (round, phase): the wish for a round, the proposal, PREPARE,
    COMMIT. docs/spec/pbft.md, section 6, proves that an engine first says its votes in this order,
    each at a higher position than the one before; what it says again, it marks (`Send.again`).
    """
    if isinstance(message, RaftVote):
        return raft_position(message)
    if not isinstance(message, Vote):
        return None
    tag, payload = vote_tag(message), vote_payload(message)
    return position_of(tag, message.height, message.round, vote_phase(message), payload)


def _claim(prepared: tuple[Prepared, ...]) -> tuple[bytes | int, ...]:
    return tuple(part for claim in prepared for part in (claim.round, claim.block_hash))
