"""Moving between terms and roles (docs/spec/raft.md, rules T0 and V6 to V8)."""

from __future__ import annotations

from consensus.messages import Status
from consensus.raft import reads, timers
from consensus.raft.core import Core
from consensus.raft.messages import TermRecord
from consensus.raft.state import Leading, Role


def adopt(core: Core, term: int, ballot: bytes = b"") -> None:
    """Enter a higher term as a follower. From now on nothing new is said in lower ones (V6)."""
    state = core.state
    resign(core)
    state.term = term
    state.ballot = ballot
    state.leader = b""
    state.append = None
    state.refused = state.building = state.campaigning = False
    state.validations = 0
    state.supporters.clear()
    state.grants.clear()
    state.own.clear()
    core.record(TermRecord(state.height, term, () if ballot == b"" else (ballot,)))
    timers.arm_election(core)


def vote_for(core: Core, candidate: bytes) -> None:
    """Spend the vote of this term. Durable before anybody hears of it (rule V4)."""
    core.state.ballot = candidate
    core.record(TermRecord(core.state.height, core.state.term, (candidate,)))


def resign(core: Core) -> None:
    """Be a follower, whatever we were."""
    state = core.state
    if state.leading is not None:
        state.leading = None
        state.leader = b""
        core.transfer_to = b""
        reads.fail_all(core)
    state.role = Role.FOLLOWER


def lead(core: Core, *, resumed: bool = False) -> None:
    """Lead this term: we won it, or it is term 0 and the chain names us (rules T0, V5)."""
    state = core.state
    state.role = Role.LEADER
    state.leader = core.me
    state.lease = True
    state.campaigning = False
    state.supporters.clear()
    inherited = state.acked is not None and state.acked.term < state.term
    state.leading = Leading(reads_wait=inherited or resumed)
    timers.arm_heartbeat(core)


def follow(core: Core, leader: bytes) -> bool:
    """Take `leader` for the leader of this term. False, and a halt, if it has another (X5)."""
    state = core.state
    if state.leader not in (b"", leader) or state.appended == state.term:
        core.halt(
            "two_leaders",
            f"height {state.height}, term {state.term}: led by {state.leader.hex()}"
            f" and by {leader.hex()}",
        )
        return False
    state.leader = leader
    state.role = Role.FOLLOWER
    state.attempts = 0
    state.supporters.clear()
    if not state.refused:
        timers.renew_lease(core)
    return True


def may_lead(core: Core, peer: bytes, term: int) -> bool:
    """Whether `peer` can be the leader of a term: term 0 has the one that the chain names."""
    state = core.state
    if term == 0 and peer != state.first_leader:
        core.blame(peer, "not_the_leader")
        return False
    return True


def show_term(core: Core, peer: bytes) -> None:
    """Tell a peer in a lower term where we are (rule V8)."""
    core.drop("old_term")
    core.reply(peer, Status(core.state.height, core.state.term))
