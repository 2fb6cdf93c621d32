"""Answers to peers that are elsewhere (docs/spec/raft.md, rules H1 to H4)."""

from __future__ import annotations

from typing import Final

from consensus.held import Block
from consensus.messages import DecidedMessage, Message, Status
from consensus.raft import blocks, deciding, reads, timers
from consensus.raft.core import Core
from consensus.raft.messages import (
    Ack,
    Append,
    Decision,
    Grant,
    Heartbeat,
    HeartbeatReply,
    PreVoteReply,
)

STREAK_MAX: Final = 2
"""Ticks in a row with a peer one height ahead before its blocks are fetched (rule H2)."""

_ANSWERS: Final = (Ack, Grant, PreVoteReply, HeartbeatReply, Decision, DecidedMessage)
"""What says nothing of where its sender stands now: it was an answer, or a notice."""


def on_lower_height(core: Core, peer: bytes, message: Message) -> None:
    """A peer is behind: show it the last decision, or where we are; blocks it fetches (H1)."""
    core.drop("old_height")
    if isinstance(message, _ANSWERS):
        return
    last = core.last_decided
    if last is not None and last.height == message.height:
        core.reply(peer, last)
    else:
        core.reply(peer, Status(core.state.height, core.state.term))


def on_higher_height(core: Core, peer: bytes, message: Message) -> None:
    """A peer is ahead: wait for what it is about to tell, or fetch the blocks between (H2, H3)."""
    state = core.state
    is_next = message.height == state.height + 1
    if is_next and isinstance(message, Append | Decision) and core.early.add(peer, message):
        if state.lacks_block:
            state.ahead = peer
        return
    core.drop("future_height")
    decided = isinstance(message, Decision | DecidedMessage)
    certified = message.height if decided else message.height - 1
    if certified > state.height:
        # There is something to do: what is lost on the way is asked for again soon.
        timers.note_work(core)
        core.catch_up(peer, certified)
    elif state.lacks_block:
        state.ahead = peer
        if isinstance(message, Heartbeat):
            core.reply(peer, Status(state.height, state.term))


def on_decided_height(core: Core, peer: bytes, message: Message) -> None:
    """We hold a certificate for this height: show it instead of going on (rule D2)."""
    core.drop("decided")
    if isinstance(message, _ANSWERS):
        return
    state = core.state
    if isinstance(message, Append) and state.decision is not None:
        block = Block(message.header.hash(), message.header, message.body, peer)
        if block.hash == state.decision.block_hash:
            blocks.keep(core, block)
            return
    decided = deciding.decided_message(core)
    if decided is not None:
        core.reply(peer, decided)


def on_resend_timer(core: Core) -> None:
    """Answers are free again; what we lack is asked for (rules H2, D3)."""
    core.replies.refill()
    reads.age_forwarded(core)
    if core.halted == "":
        _follow_neighbour(core)
        blocks.seek(core)
        if not core.state.lease:
            # Nobody leads us: whoever is elsewhere should know where we are (rule H1).
            core.send(None, Status(core.state.height, core.state.term))
    timers.arm_resend(core)


def _follow_neighbour(core: Core) -> None:
    """Ask a peer one height ahead for the decision, then have its blocks fetched (rule H2)."""
    state = core.state
    behind = state.ahead != b"" and state.lacks_block
    state.behind_streak = state.behind_streak + 1 if behind else 0
    if behind:
        core.reply(state.ahead, Status(state.height, state.term))
    if state.behind_streak >= STREAK_MAX:
        core.catch_up(state.ahead, state.height)
    state.ahead = b""
