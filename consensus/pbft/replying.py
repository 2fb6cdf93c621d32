"""Answers to peers that are elsewhere (docs/spec/pbft.md, rules H1 to H4 and R8)."""

from __future__ import annotations

from consensus.messages import (
    BlockRequest,
    BlockResponse,
    Commit,
    DecidedMessage,
    PbftMessage,
    Prepare,
    RoundProof,
    Status,
    Vote,
    vote_phase,
)
from consensus.pbft import deciding, evidence
from consensus.pbft.core import Core


def show_round(core: Core, peer: bytes) -> None:
    """Show a peer in a lower round why ours is open (rule R8)."""
    state = core.state
    if state.round > 0:
        core.reply(peer, RoundProof(state.height, state.round, state.justification))


def on_lower_height(core: Core, peer: bytes, message: PbftMessage) -> None:
    """A peer is behind: show it the last decision, or where we are; blocks it fetches (H1)."""
    if isinstance(message, DecidedMessage | BlockResponse | RoundProof):
        core.drop("old_height")
        return
    last = core.last_decided
    if last is not None and last.height == message.height:
        if not _is_merely_late(core, message):
            core.reply(peer, last)
    else:
        core.reply(peer, Status(core.state.height, core.state.round))
    core.drop("old_height")


def _is_merely_late(core: Core, message: PbftMessage) -> bool:
    """Whether a vote on the height decided last is one that we had not heard yet.

    A quorum is enough to decide, so the other votes always come late. Who says a vote again, or
    anything else, has not decided.
    """
    if not isinstance(message, Prepare | Commit):
        return False
    place = (message.signer, vote_phase(message))
    if place in core.heard or message.signer not in core.state.members.position:
        return False
    core.heard.add(place)
    return True


def on_higher_height(core: Core, peer: bytes, message: PbftMessage) -> None:
    """A peer is ahead: keep its votes of the next height, or fetch the blocks between (H2, H3)."""
    state = core.state
    if isinstance(message, BlockRequest | BlockResponse):
        core.drop("future_height")
        return
    certified = message.height if isinstance(message, DecidedMessage) else message.height - 1
    if certified > state.height:
        core.catch_up(peer, certified)
        core.drop("future_height")
        return
    if state.lacks_block:
        state.ahead = peer
    if isinstance(message, Vote) and message.signer == peer and core.future.add(message):
        return
    core.drop("future_height")


def on_decided_height(core: Core, peer: bytes, message: PbftMessage) -> None:
    """We hold a certificate for this height: show it instead of going on (rule C8)."""
    core.drop("decided")
    if isinstance(message, Commit):
        deciding.name_diverging(core, (message,))
    if isinstance(message, Vote):
        evidence.check_heard(core, message)
    if isinstance(message, RoundProof | BlockResponse):
        return
    decided = deciding.decided_message(core)
    if decided is not None and not _is_merely_late(core, message):
        core.reply(peer, decided)


def on_status(core: Core, peer: bytes, status: Status) -> None:
    """A peer says where it is: if its round is below ours, show ours (rule R8)."""
    if status.round < core.state.round:
        show_round(core, peer)
