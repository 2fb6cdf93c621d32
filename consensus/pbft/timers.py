"""How long rounds last, and saying things again (docs/spec/pbft.md, rules T1 to T4)."""

from __future__ import annotations

from typing import Final

from consensus.engine import Send, SetTimer, Timer, TimerKind, Timing
from consensus.limits import IDLE_RESEND_FACTOR, WISHES_BEHIND_COMMIT_MAX
from consensus.messages import Proposal, Status, Vote
from consensus.pbft import blocks
from consensus.pbft.core import Core
from consensus.pbft.state import HeightState
from medquorum.certificate import VoteTag

DOUBLINGS_MAX: Final = 40
"""More doublings of a millisecond pass every cap; the shift stays small."""

STREAK_MAX: Final = 2
"""Ticks in a row with a peer one height ahead before its blocks are fetched (rule H2)."""


def round_ms(timing: Timing, base_ms: int, round_: int) -> int:
    """How long a round lasts: twice the one before, up to a cap (rule T2)."""
    return min(timing.round_ms_max, base_ms << min(round_, DOUBLINGS_MAX))


def base_after(timing: Timing, base_ms: int, decided_round: int) -> int:
    """How long round 0 of the next height lasts, after one that took so many rounds (rule T3)."""
    needed = round_ms(timing, base_ms, decided_round) // 2
    return min(timing.round_ms_max, max(timing.round_ms, needed))


def arm_round(core: Core) -> None:
    """Start the timer of the round. Only voters act on it."""
    state = core.state
    if not core.votes:
        return
    delay_ms = round_ms(core.timing, state.base_ms, state.round)
    if state.round == 0:
        # The proposer may have to wait for the block interval first.
        delay_ms += core.timing.block_interval_ms
    timer = Timer(TimerKind.ROUND, state.height, state.round)
    core.out.timers.append(SetTimer(timer, delay_ms))


def note_work(core: Core, because_of: Vote | None = None) -> None:
    """Somebody has something to decide: the timer of round 0 starts, once (rule T1).

    If a vote shows it, the proposer is shown the vote, or a liar could start all timers but its.
    """
    state = core.state
    if state.work:
        return
    state.work = True
    if state.round == 0:
        arm_round(core)
        proposer = state.turns.proposer(0)
        if because_of is not None and core.votes and proposer not in (core.me, because_of.signer):
            core.out.send.append(Send(proposer, because_of, passed_on=True))
    arm_resend(core)


def arm_resend(core: Core) -> None:
    """Start the timer after which we say things again; slower while there is nothing to do."""
    delay_ms = core.timing.resend_ms * (1 if core.state.work else IDLE_RESEND_FACTOR)
    timer = Timer(TimerKind.RESEND, core.state.height, 0)
    core.out.timers.append(SetTimer(timer, delay_ms))


def on_resend_timer(core: Core) -> None:
    """Say again what has not had its effect (rule T4)."""
    core.replies.refill()
    if core.halted == "":
        # Others have work and none has come to us. If it is our turn, an empty block shows that we
        # are there (rule P1); silence would cost a round, and our next turns.
        core.state.own_work |= core.state.work
        _follow_neighbour(core)
        blocks.seek(core)
        say_again(core)
    arm_resend(core)


def _follow_neighbour(core: Core) -> None:
    """Ask a peer one height ahead for the decision, then have its blocks fetched (rule H2)."""
    state = core.state
    behind = state.ahead != b"" and state.lacks_block
    state.behind_streak = state.behind_streak + 1 if behind else 0
    if behind:
        core.reply(state.ahead, Status(state.height, state.round))
    if state.behind_streak >= STREAK_MAX:
        core.catch_up(state.ahead, state.height)
    state.ahead = b""


def say_again(core: Core) -> None:
    """Our votes that still matter; a status if there are none."""
    state = core.state
    if not core.votes or state.decision is not None:
        core.broadcast(Status(state.height, state.round))
        return
    proposal = state.own.get(VoteTag.PROPOSAL)
    if isinstance(proposal, Proposal) and not state.fenced:
        _propose_again(core, proposal)
    votes = [state.own[tag] for tag in _still_said(state) if tag in state.own]
    for vote in votes:
        core.say_again(vote)
    if len(votes) == 0:
        core.broadcast(Status(state.height, state.round))


def _still_said(state: HeightState) -> tuple[VoteTag, ...]:
    """Behind the fence, what was prepared is in the wish; a COMMIT may still decide."""
    if not state.fenced:
        return (VoteTag.PREPARE, VoteTag.COMMIT, VoteTag.ROUND_CHANGE)
    wishes = sum(round_ > state.round for round_, _ in state.said)
    if wishes > WISHES_BEHIND_COMMIT_MAX:
        return (VoteTag.ROUND_CHANGE,)
    return (VoteTag.COMMIT, VoteTag.ROUND_CHANGE)


def _propose_again(core: Core, proposal: Proposal) -> None:
    """A proposal may be large: it goes to those who have not answered it."""
    prepared = core.state.prepares.get(proposal.round, {})
    for key in core.state.members.keys:
        if key != core.me and key not in prepared:
            core.say_again(proposal, to=key)
