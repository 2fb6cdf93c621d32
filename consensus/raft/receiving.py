"""What becomes of a message: by its height first, then by who says it, then by its kind."""

from __future__ import annotations

from typing import TypeAlias, assert_never

from consensus.messages import DecidedMessage, Message, Status
from consensus.raft import deciding, elections, following, leading, reads, replying, twin
from consensus.raft.core import Core
from consensus.raft.messages import (
    Ack,
    Append,
    Decision,
    Grant,
    Heartbeat,
    HeartbeatReply,
    PreVoteReply,
    PreVoteRequest,
    RaftMessage,
    RaftVote,
    ReadReply,
    ReadRequest,
    TimeoutNow,
    VoteRequest,
)

Ordinary: TypeAlias = (
    RaftVote | Heartbeat | HeartbeatReply | PreVoteRequest | PreVoteReply | TimeoutNow | Status
)
"""What validators say to each other at one height, before anybody knows how it ends."""


def receive(core: Core, peer: bytes, message: Message) -> None:
    """Handle a message of a validator."""
    state = core.state
    if not isinstance(message, RaftMessage | Status | DecidedMessage):
        core.blame(peer, "message_of_another_engine")
    elif isinstance(message, ReadReply):
        reads.on_read_reply(core, message)
    elif isinstance(message, ReadRequest):
        reads.on_read_request(core, peer, message)
    elif message.height < state.height:
        replying.on_lower_height(core, peer, message)
    elif message.height > state.height:
        replying.on_higher_height(core, peer, message)
    elif isinstance(message, RaftVote) and message.signer == core.me:
        twin.check_vote(core, message)
    elif isinstance(message, RaftVote) and message.signer != peer:
        core.blame(peer, "not_the_signer")
    elif core.halted != "":
        _receive_halted(core, peer, message)
    elif isinstance(message, DecidedMessage):
        deciding.on_decided(core, peer, message)
    elif isinstance(message, Decision):
        deciding.on_decision(core, peer, message)
    elif peer not in state.members.position:
        core.drop("not_a_validator")
    elif state.decision is not None:
        replying.on_decided_height(core, peer, message)
    elif not core.votes:
        core.drop("observing")
    else:
        _dispatch(core, peer, message)


def _receive_halted(
    core: Core, peer: bytes, message: RaftMessage | Status | DecidedMessage
) -> None:
    """A halted engine still shows what it knows to be decided (section 8)."""
    if core.state.decision is not None:
        replying.on_decided_height(core, peer, message)
    else:
        core.drop("halted")


def _dispatch(core: Core, peer: bytes, message: Ordinary) -> None:
    match message:
        case Append():
            following.on_append(core, peer, message)
        case Heartbeat():
            following.on_heartbeat(core, peer, message)
        case Ack():
            leading.on_ack(core, message)
        case HeartbeatReply():
            leading.on_heartbeat_reply(core, peer, message)
        case PreVoteRequest():
            elections.on_pre_vote_request(core, peer, message)
        case PreVoteReply():
            elections.on_pre_vote_reply(core, peer, message)
        case VoteRequest():
            elections.on_vote_request(core, peer, message)
        case Grant():
            elections.on_grant(core, message)
        case TimeoutNow():
            elections.on_timeout_now(core, peer, message)
        case Status():
            elections.on_status(core, peer, message)
        case _:
            assert_never(message)
