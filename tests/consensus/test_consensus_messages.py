"""Messages and log records: one encoding each, bounded, and nothing but typed errors."""

from __future__ import annotations

from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus.checkpoints import CheckpointedRecord, ResultRecord, SaidRecord
from consensus.limits import MESSAGE_BYTES_MAX
from consensus.messages import (
    NO_JUSTIFICATION,
    AcceptedRecord,
    BlockRecord,
    BlockRequest,
    BlockResponse,
    Commit,
    CommittedRecord,
    DecidedMessage,
    EnteredRecord,
    HaltedRecord,
    Justification,
    LogRecord,
    Message,
    Prepare,
    Prepared,
    PreparedCertificate,
    PreparedRecord,
    Proposal,
    ProposedRecord,
    ReleasedRecord,
    RoundChange,
    RoundChangedRecord,
    RoundChangeEntry,
    RoundProof,
    SignedMessage,
    Status,
    Vote,
    decode_message,
    decode_record,
    encode_message,
    encode_record,
    vote_position,
)
from consensus.raft.messages import (
    Ack,
    AckedRecord,
    Append,
    AppendedRecord,
    Decision,
    Grant,
    Heartbeat,
    HeartbeatReply,
    PreVoteReply,
    PreVoteRequest,
    RaftVote,
    ReadReply,
    ReadRequest,
    TermRecord,
    TimeoutNow,
    VoteRequest,
)
from medquorum.block import Header
from medquorum.certificate import CommitCertificate
from medquorum.errors import DecodeError, OversizedError

KEY, SIGNATURE, HASH = b"\x01" + bytes(32), b"\x01" + bytes(64), b"h" * 32
CHAIN = b"c" * 32
HEADER = Header(1, CHAIN, 3, 5, KEY, HASH, HASH, HASH, HASH, 1)
PREPARED = PreparedCertificate(2, HASH, b"\x07", (SIGNATURE,) * 3)
PROOF = Justification((RoundChangeEntry(KEY, (Prepared(2, HASH),), SIGNATURE),), (PREPARED,))
CERTIFICATE = CommitCertificate("pbft", 3, 1, HASH, HASH, b"\x07", (SIGNATURE,) * 3)

MESSAGES: tuple[Message, ...] = (
    Proposal(3, 1, KEY, HEADER, b"body", PROOF, SIGNATURE),
    Proposal(3, 0, KEY, HEADER, b"", NO_JUSTIFICATION, SIGNATURE),
    Prepare(3, 1, KEY, HASH, SIGNATURE),
    Commit(3, 1, KEY, HASH, HASH, SIGNATURE),
    RoundChange(3, 4, KEY, (Prepared(2, HASH),), (PREPARED,), SIGNATURE),
    RoundChange(3, 4, KEY, (), (), SIGNATURE),
    RoundProof(3, 4, PROOF),
    Status(3, 4),
    DecidedMessage(3, HEADER, b"body", CERTIFICATE),
    BlockRequest(3, HASH),
    BlockResponse(3, HEADER, b"body"),
    Append(3, 1, KEY, HEADER, b"body", SIGNATURE),
    Ack(3, 1, KEY, HASH, HASH, SIGNATURE),
    VoteRequest(3, 2, KEY, (1,), 1, SIGNATURE),
    Grant(3, 2, KEY, b"\x01" + b"k" * 32, SIGNATURE),
    PreVoteRequest(3, 2, ()),
    PreVoteReply(3, 2, 1),
    Heartbeat(3, 1, 7, (HASH,)),
    HeartbeatReply(3, 1, 7, ()),
    TimeoutNow(3, 1),
    Decision(3, CERTIFICATE),
    ReadRequest(3, 9),
    ReadReply(3, 9, (2,)),
)
RECORDS: tuple[LogRecord, ...] = (
    BlockRecord(3, HEADER, b"body"),
    ProposedRecord(3, 1, HASH),
    AcceptedRecord(3, 1, HASH),
    PreparedRecord(3, PREPARED),
    CommittedRecord(3, 1, HASH, HASH),
    RoundChangedRecord(3, 2),
    EnteredRecord(3, 2, PROOF),
    HaltedRecord(3, "divergence", "which"),
    ReleasedRecord(3),
    TermRecord(3, 2, (KEY,)),
    AppendedRecord(3, 2, HASH),
    AckedRecord(3, 2, HASH, HASH),
    SaidRecord(3, 1, 2, (HASH, HASH)),
    SaidRecord(3, 1, 0, (7, HASH)),
    SaidRecord(3, 1, 0, ()),
    ResultRecord(3, HASH, HASH),
    CheckpointedRecord(3),
)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_messages_come_back_as_they_were(message: Message) -> None:
    data = encode_message(message)
    assert decode_message(data) == message
    assert msgspec.msgpack.decode(data)[0] in range(1, 28)
    for damaged in (data + b"\0", data[:-1], b"\xdc\x00" + data):
        with pytest.raises(DecodeError):
            decode_message(damaged)


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_records_come_back_as_they_were(record: LogRecord) -> None:
    assert decode_record(encode_record(record)) == record
    with pytest.raises(DecodeError):
        decode_record(encode_record(record)[:-1])


@given(st.binary(max_size=200) | st.sampled_from(MESSAGES).map(encode_message))
def test_what_decodes_has_exactly_these_bytes(data: bytes) -> None:
    with suppress(DecodeError):
        assert encode_message(decode_message(data)) == data
    with suppress(DecodeError):
        assert encode_record(decode_record(data)) == data


def test_integers_have_one_form() -> None:
    data = encode_message(Status(3, 4))
    assert data == b"\x93\x06\x03\x04"
    with pytest.raises(DecodeError):
        decode_message(b"\x93\x06\x03\xcc\x04")


def test_size_is_checked_before_anything_is_decoded() -> None:
    with pytest.raises(OversizedError):
        decode_message(bytes(MESSAGE_BYTES_MAX + 1))


def test_vote_positions_follow_the_order_of_speaking() -> None:
    spoken: list[Vote] = [
        Proposal(3, 0, KEY, HEADER, b"", NO_JUSTIFICATION, SIGNATURE),
        Prepare(3, 0, KEY, HASH, SIGNATURE),
        Commit(3, 0, KEY, HASH, HASH, SIGNATURE),
        RoundChange(3, 1, KEY, (), (), SIGNATURE),
        Proposal(3, 1, KEY, HEADER, b"", PROOF, SIGNATURE),
        Prepare(3, 1, KEY, HASH, SIGNATURE),
        RoundChange(3, 9, KEY, (), (), SIGNATURE),
        Prepare(4, 0, KEY, HASH, SIGNATURE),
    ]
    positions = [vote_position(vote) for vote in spoken]
    places = [position[:3] for position in positions if position is not None]
    assert places == sorted(set(places))
    assert len(places) == len(spoken)
    assert vote_position(Status(3, 1)) is None


def test_votes_of_raft_follow_the_order_of_speaking() -> None:
    spoken: list[RaftVote] = [
        Append(3, 0, KEY, HEADER, b"", SIGNATURE),
        Ack(3, 0, KEY, HASH, HASH, SIGNATURE),
        Grant(3, 1, KEY, KEY, SIGNATURE),
        Ack(3, 1, KEY, HASH, HASH, SIGNATURE),
        VoteRequest(3, 2, KEY, (1,), 0, SIGNATURE),
        Append(3, 2, KEY, HEADER, b"", SIGNATURE),
        Ack(3, 2, KEY, HASH, HASH, SIGNATURE),
        Append(4, 0, KEY, HEADER, b"", SIGNATURE),
    ]
    places = [known[:3] for vote in spoken if (known := vote_position(vote)) is not None]
    assert places == sorted(set(places))
    assert len(places) == len(spoken)
    assert vote_position(Heartbeat(3, 1, 7, ())) is None


def test_digests_are_equal_exactly_when_the_signed_bytes_are() -> None:
    votes = [message for message in MESSAGES if isinstance(message, SignedMessage)]
    votes.append(Proposal(3, 1, KEY, HEADER, b"another body", NO_JUSTIFICATION, SIGNATURE))
    votes.append(RoundChange(3, 4, KEY, (Prepared(2, HASH),), (), SIGNATURE))
    votes.append(Commit(3, 1, KEY, HASH, b"r" * 32, SIGNATURE))
    for one in votes:
        for other in votes:
            known, new = vote_position(one), vote_position(other)
            assert known is not None and new is not None
            same = one.signed_bytes(CHAIN) == other.signed_bytes(CHAIN)
            assert (known.digest == new.digest) is same
