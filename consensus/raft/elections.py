"""Who leads after term 0: pre-votes, votes, takeovers (docs/spec/raft.md, rules V1 to V8)."""

from __future__ import annotations

from consensus.engine import Timer
from consensus.limits import TERM_MAX
from consensus.messages import Status
from consensus.raft import evidence, leading, terms, timers
from consensus.raft.core import Core
from consensus.raft.messages import (
    Grant,
    MaybeTerm,
    PreVoteReply,
    PreVoteRequest,
    TimeoutNow,
    VoteRequest,
    ballot_bytes,
)
from consensus.raft.state import HeightState, Role


def accepted_term(state: HeightState) -> MaybeTerm:
    """The term of the last entry that we acknowledged at this height."""
    return () if state.acked is None else (state.acked.term,)


def is_current(state: HeightState, accepted: MaybeTerm) -> bool:
    """Whether a candidate has all that we may have helped to decide (rule V2).

    It is at our height, so it has every block below; nothing acknowledged, an empty tuple, is less
    than any term.
    """
    return accepted >= accepted_term(state)


def on_election_timer(core: Core, timer: Timer) -> None:
    """The leader is silent for too long (rules T1, T2)."""
    state = core.state
    if timer.round != state.term or state.role is Role.LEADER:
        core.drop("timer_outdated")
    elif state.decision is not None:
        core.drop("decided")
    elif state.lease:
        timers.end_lease(core)
    else:
        seek_votes(core)


def seek_votes(core: Core) -> None:
    """Ask whether a majority would vote for us, before anybody's term grows (rule V1)."""
    state = core.state
    if not core.votes or state.term >= TERM_MAX:
        core.drop("terms_exhausted")
        return
    state.attempts += 1
    state.role = Role.PRE_CANDIDATE
    state.leader = b""
    timers.arm_election(core)
    timers.arm_heartbeat(core)
    core.send(None, PreVoteRequest(state.height, state.term + 1, accepted_term(state)))
    _count_supporters(core)


def on_pre_vote_request(core: Core, peer: bytes, request: PreVoteRequest) -> None:
    """Answer honestly; nothing is promised by it (rule V2)."""
    state = core.state
    if state.lease:
        core.drop("lease")
        return
    granted = request.term > state.term and is_current(state, request.accepted)
    term = request.term if granted else state.term
    core.send(peer, PreVoteReply(state.height, term, int(granted)))


def on_pre_vote_reply(core: Core, peer: bytes, reply: PreVoteReply) -> None:
    """Count a yes; learn of a higher term from a no."""
    state = core.state
    if reply.granted == 0:
        if reply.term > state.term and not state.lease:
            terms.adopt(core, reply.term)
        else:
            core.drop("pre_vote_denied")
        return
    if state.role is not Role.PRE_CANDIDATE or reply.term != state.term + 1:
        core.drop("pre_vote_outdated")
        return
    state.supporters.add(peer)
    _count_supporters(core)


def _count_supporters(core: Core) -> None:
    if len(core.state.supporters | {core.me}) >= core.state.members.quorum:
        campaign(core, forced=False)


def campaign(core: Core, *, forced: bool) -> None:
    """Enter the next term, vote for ourselves, ask for the others' votes (rule V3)."""
    state = core.state
    terms.adopt(core, state.term + 1, core.me)
    state.role = Role.CANDIDATE
    state.campaigning = True
    timers.arm_heartbeat(core)
    message = ballot_bytes(core.chain_id, state.height, state.term, core.me)
    request = VoteRequest(
        state.height, state.term, core.me, accepted_term(state), int(forced), core.sign(message)
    )
    core.say(request, None)
    _count_grants(core)


def on_vote_request(core: Core, peer: bytes, request: VoteRequest) -> None:
    """Vote once a term, for a candidate that has what we have (rule V4)."""
    state = core.state
    if request.term == 0:
        core.blame(peer, "election_of_term_0")
        return
    if not evidence.check_ballot(core, request):
        core.drop("equivocation")
        return
    if request.term < state.term:
        terms.show_term(core, peer)
        return
    if state.lease and request.forced == 0:
        core.drop("lease")
        return
    if request.term > state.term:
        terms.adopt(core, request.term)
    if not may_vote(state, request.signer):
        core.drop("vote_spent")
        return
    if not is_current(state, request.accepted):
        core.drop("candidate_behind")
        return
    if state.ballot == b"":
        terms.vote_for(core, request.signer)
        message = ballot_bytes(core.chain_id, state.height, state.term, request.signer)
        grant = Grant(state.height, state.term, core.me, request.signer, core.sign(message))
        core.say(grant, request.signer)
        timers.arm_election(core)
        return
    for vote in [vote for vote in state.own if isinstance(vote, Grant)]:
        core.say_again(vote, request.signer)


def may_vote(state: HeightState, candidate: bytes) -> bool:
    """Whether our vote of this term can still go to `candidate`.

    Once the term has a leader it is of no use, and it would come after what we said to that leader.
    """
    if state.leader != b"" or state.appended == state.term:
        return False
    if state.acked is not None and state.acked.term == state.term:
        return False
    return state.ballot in (b"", candidate)


def on_grant(core: Core, grant: Grant) -> None:
    """Count a vote for us, whoever else we may ask for pre-votes meanwhile (rule V5)."""
    state = core.state
    if not evidence.check_ballot(core, grant):
        core.drop("equivocation")
        return
    if grant.term != state.term or grant.candidate != core.me or not state.campaigning:
        core.drop("grant_outdated")
        return
    if state.role not in (Role.CANDIDATE, Role.PRE_CANDIDATE):
        core.drop("grant_late")
        return
    state.grants[grant.signer] = grant
    _count_grants(core)


def _count_grants(core: Core) -> None:
    state = core.state
    if len(state.grants.keys() | {core.me}) >= state.members.quorum:
        terms.lead(core)
        leading.assert_leadership(core)


def on_tick(core: Core) -> None:
    """Repeat our requests to those who have not answered (rule T3)."""
    state = core.state
    timers.arm_heartbeat(core)
    if state.role is Role.PRE_CANDIDATE:
        request = PreVoteRequest(state.height, state.term + 1, accepted_term(state))
        for key in state.members.keys:
            if key not in state.supporters and key != core.me:
                core.send(key, request)
    for vote in state.own:
        if isinstance(vote, VoteRequest):
            for key in state.members.keys:
                if key not in state.grants and key != core.me:
                    core.say_again(vote, key)


def on_timeout_now(core: Core, peer: bytes, message: TimeoutNow) -> None:
    """The leader hands over: no pre-vote, and nobody stands by it any more (rule V9)."""
    state = core.state
    if message.term != state.term or peer != state.leader or state.term >= TERM_MAX:
        core.drop("takeover_outdated")
        return
    campaign(core, forced=True)


def on_status(core: Core, peer: bytes, status: Status) -> None:
    """A peer in a higher term cannot follow us: we have to meet it there (rule V8)."""
    state = core.state
    if status.round > state.term and (state.role is Role.LEADER or not state.lease):
        terms.adopt(core, status.round)
    elif status.round < state.term:
        terms.show_term(core, peer)
