"""Puts messages and records of the Raft engine into words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import assert_never

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
    RaftMessage,
    RaftRecord,
    ReadReply,
    ReadRequest,
    TermRecord,
    TimeoutNow,
    VoteRequest,
)

Name = Callable[[bytes], str]


def _place(height: int, term: int) -> str:
    return f"{height}/{term}"


def _last(accepted: Sequence[int]) -> str:
    return f" with an entry of {accepted[0]}" if len(accepted) > 0 else ""


def _entry(name: Name, entry: Sequence[bytes]) -> str:
    return f" {name(entry[0])}" if len(entry) > 0 else ""


def message_text(name: Name, message: RaftMessage, signers: Callable[[bytes], str]) -> str:
    """A message in one line."""
    match message:
        case Append(height, term):
            return f"APPEND {_place(height, term)} {name(message.header.hash())}"
        case Ack(height, term):
            block, result = name(message.block_hash), name(message.result_hash)
            return f"ACK {_place(height, term)} {block} {result}"
        case VoteRequest(height, term):
            forced = " forced" if message.forced else ""
            return f"VOTE? {_place(height, term)}{_last(message.accepted)}{forced}"
        case Grant(height, term):
            return f"VOTE {_place(height, term)} {name(message.candidate)}"
        case PreVoteRequest(height, term):
            return f"PREVOTE? {_place(height, term)}{_last(message.accepted)}"
        case PreVoteReply(height, term):
            return f"PREVOTE {_place(height, term)} {'yes' if message.granted else 'no'}"
        case Heartbeat(height, term):
            entry = _entry(name, message.entry)
            return f"HEARTBEAT {_place(height, term)} #{message.beat}{entry}"
        case HeartbeatReply(height, term):
            entry = _entry(name, message.entry)
            return f"FOLLOWS {_place(height, term)} #{message.beat}{entry}"
        case TimeoutNow(height, term):
            return f"TIMEOUT_NOW {_place(height, term)}"
        case Decision(height, known):
            block, result = name(known.block_hash), name(known.result_hash)
            return (
                f"DECISION {height} {block} {result} in {known.round} by {signers(known.signers)}"
            )
        case ReadRequest():
            return f"READ? #{message.context}"
        case ReadReply():
            return f"READ #{message.context} {next(iter(message.read), 'refused')}"
        case _:
            assert_never(message)


def record_text(name: Name, record: RaftRecord) -> str:
    """A log record in one line."""
    match record:
        case TermRecord():
            ballot = f" for {name(record.ballot[0])}" if len(record.ballot) > 0 else ""
            return f"term {_place(record.height, record.term)}{ballot}"
        case AppendedRecord():
            return f"appended {_place(record.height, record.term)} {name(record.block_hash)}"
        case AckedRecord():
            block, result = name(record.block_hash), name(record.result_hash)
            return f"acked {_place(record.height, record.term)} {block} {result}"
        case _:
            assert_never(record)
