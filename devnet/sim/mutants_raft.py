"""Known bugs for the Raft engine. A simulator that does not find them proves nothing.

Terms belong to heights here (docs/spec/raft.md, section 2), so the classical mistakes look a little
different: a log entry is a block of the height that is being decided, and what lies below is
certified and cannot be deleted.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec.structs import replace

from consensus.raft import (
    deciding,
    elections,
    engine,
    following,
    leading,
    members,
    recovery,
    terms,
    timers,
)
from consensus.raft.core import Core
from consensus.raft.messages import Ack, AckedRecord, TermRecord, ack_bytes
from consensus.raft.state import HeightState
from devnet.sim.mutants_node import Mutant
from devnet.sim.patching import Patch
from medquorum.quorum import quorum


def majority_one_too_small(patch: Patch) -> None:
    """A certificate with an ack too few, a leader with a vote too few."""
    patch.set(members, "quorum", lambda name, n: max(1, quorum(name, n) - 1))


def half_is_a_majority(patch: Patch) -> None:
    """Right for odd numbers of validators only."""
    patch.set(members, "quorum", lambda _name, n: (n + 1) // 2)


def old_validators_decide(patch: Patch) -> None:
    """A change of validators counts a height too late."""
    true, sets = engine._new_height, {}

    def new_height(started: Any) -> HeightState:
        state = true(started)
        sets[started.height] = state.members
        state.members = sets.get(started.height - 1, state.members)
        state.leader = state.first_leader
        return state

    patch.set(engine, "_new_height", new_height)


# Elections.


def shorter_log_elected(patch: Patch) -> None:
    """Votes for candidates that lack what it has acknowledged."""
    patch.set(elections, "is_current", lambda *_: True)


def forced_vote_without_log_check(patch: Patch) -> None:
    """Votes for whomever the leader has told to take over, whatever that one lacks."""
    true, known = elections.on_vote_request, elections.is_current

    def on_vote_request(core: Any, peer: bytes, request: Any) -> None:
        elections.is_current = (lambda *_: True) if request.forced else known
        try:
            true(core, peer, request)
        finally:
            elections.is_current = known

    patch.set(elections, "on_vote_request", on_vote_request)


def _never_recorded(patch: Patch, drops: Any) -> None:
    true = Core.record

    def record(self: Core, one: Any) -> None:
        if not drops(one):
            true(self, one)

    patch.set(Core, "record", record)


def vote_not_recorded(patch: Patch) -> None:
    """Says its vote, and has nothing of it on the disk."""
    _never_recorded(patch, lambda one: isinstance(one, TermRecord) and len(one.ballot) > 0)


def term_not_recorded(patch: Patch) -> None:
    """Enters a term, and has nothing of it on the disk."""
    _never_recorded(patch, lambda one: isinstance(one, TermRecord) and len(one.ballot) == 0)


def vote_forgotten_on_restart(patch: Patch) -> None:
    """After a crash it may vote for another one in the same term."""
    true = recovery.restore_one

    def restore_one(core: Any, record: Any) -> None:
        if isinstance(record, TermRecord) and len(record.ballot) > 0:
            core.state.term = record.term
        else:
            true(core, record)

    patch.set(recovery, "restore_one", restore_one)


def two_votes_in_one_term(patch: Patch) -> None:
    """Votes for everybody who asks."""

    def vote_again(core: Any, peer: bytes, request: Any) -> None:
        state = core.state
        if request.term == state.term and state.ballot not in (b"", core.me):
            state.ballot = b""
        true(core, peer, request)

    true = elections.on_vote_request
    patch.set(elections, "on_vote_request", vote_again)


def pre_votes_elect(patch: Patch) -> None:
    """Takes the promise of votes for votes."""
    true = elections.campaign

    def campaign(core: Any, *, forced: bool) -> None:
        true(core, forced=forced)
        if not forced and core.state.leading is None:
            terms.lead(core)
            leading.assert_leadership(core)

    patch.set(elections, "campaign", campaign)


def no_pre_vote(patch: Patch) -> None:
    """Whoever hears nothing raises the term at once."""
    patch.set(elections, "seek_votes", lambda core: elections.campaign(core, forced=False))


def pre_vote_raises_the_term(patch: Patch) -> None:
    """Enters the term that it is merely asked about."""
    true = elections.on_pre_vote_request

    def on_pre_vote_request(core: Any, peer: bytes, request: Any) -> None:
        if request.term > core.state.term:
            terms.adopt(core, request.term)
        true(core, peer, request)

    patch.set(elections, "on_pre_vote_request", on_pre_vote_request)


def no_lease(patch: Patch) -> None:
    """Deserts a leader that it hears."""
    true = timers.renew_lease

    def renew_lease(core: Any) -> None:
        true(core)
        core.state.lease = False

    patch.set(timers, "renew_lease", renew_lease)


def heartbeat_does_not_reset_the_timer(patch: Patch) -> None:
    """Asks for votes although its leader is there."""
    patch.set(timers, "renew_lease", lambda _core: None)


def leadership_outlives_its_height(patch: Patch) -> None:
    """The bug of single-server changes: who was elected by one set leads under another."""
    true, seek = engine.RaftEngine._start_height, elections.seek_votes

    def start_height(self: Any, started: Any) -> None:
        elections.seek_votes = terms.lead
        try:
            true(self, started)
        finally:
            elections.seek_votes = seek

    patch.set(engine.RaftEngine, "_start_height", start_height)


# Leading.


def older_terms_counted(patch: Patch) -> None:
    """Figure 8: acks of any term count for the entry, if it is the same block."""
    true = leading.on_ack

    def on_ack(core: Any, ack: Any) -> None:
        lead, state = core.state.leading, core.state
        if lead is not None and ack.term < state.term and ack.block_hash == state.entry:
            leading.count_ack(core, replace(ack, term=state.term))
        true(core, ack)

    patch.set(leading, "on_ack", on_ack)


def old_entry_committed_by_counting(patch: Patch) -> None:
    """Takes a follower that holds the entry, from whichever term, for one that acknowledged it."""
    true = leading.on_heartbeat_reply

    def on_heartbeat_reply(core: Any, peer: bytes, message: Any) -> None:
        true(core, peer, message)
        lead, own = core.state.leading, core.state.acked
        if lead is not None and own is not None and message.entry == (own.block_hash,):
            said = (own.block_hash, own.result_hash)
            leading.count_ack(core, Ack(own.height, core.state.term, peer, *said, b"\x01" * 65))

    patch.set(leading, "on_heartbeat_reply", on_heartbeat_reply)


def own_ack_counted_before_fsync(patch: Patch) -> None:
    """Counts itself while its own ack is not even said."""
    true = leading.count_ack

    def count_ack(core: Any, ack: Any) -> None:
        true(core, ack)
        said = (ack.height, ack.term, ack.block_hash, ack.result_hash)
        own = Ack(*said[:2], core.me, *said[2:], core.sign(ack_bytes(core.chain_id, *said)))
        true(core, own)

    patch.set(leading, "count_ack", count_ack)


def inherited_entry_dropped(patch: Patch) -> None:
    """A new leader proposes afresh, whatever it has acknowledged."""
    true = leading.propose

    def propose(core: Any) -> bool:
        kept, core.state.acked = core.state.acked, None
        try:
            return true(core)
        finally:
            core.state.acked = kept

    rules = tuple(propose if rule is true else rule for rule in engine.RULES)
    patch.set(engine, "RULES", rules)


def no_check_of_the_quorum(patch: Patch) -> None:
    """Goes on leading although nobody answers."""
    patch.set(leading, "lost_quorum", lambda *_: False)


def entry_never_sent_again(patch: Patch) -> None:
    """What the network loses is lost."""
    patch.set(leading, "_append_again", lambda *_: None)


def holding_believed_for_ever(patch: Patch) -> None:
    """Does not send its entry again to a follower that crashed with it in memory."""
    true = leading.on_heartbeat_reply

    def on_heartbeat_reply(core: Any, peer: bytes, message: Any) -> None:
        lead = core.state.leading
        before = set() if lead is None else set(lead.holders)
        true(core, peer, message)
        if core.state.leading is not None:
            core.state.leading.holders |= before

    patch.set(leading, "on_heartbeat_reply", on_heartbeat_reply)


# Following.


def ack_not_recorded(patch: Patch) -> None:
    """Acknowledges what is not on its disk."""
    _never_recorded(patch, lambda one: isinstance(one, AckedRecord))


def acked_entry_forgotten_on_restart(patch: Patch) -> None:
    """After a crash its log is shorter than what it said."""
    true = recovery.restore_one

    def restore_one(core: Any, record: Any) -> None:
        if not isinstance(record, AckedRecord):
            true(core, record)

    patch.set(recovery, "restore_one", restore_one)


def conflicting_entry_kept(patch: Patch) -> None:
    """Acknowledges in the new term what it held, instead of what the leader sent."""
    true = following.on_append

    def on_append(core: Any, peer: bytes, message: Any) -> None:
        true(core, peer, message)
        state = core.state
        if state.acked is not None and state.acked.term < state.term and state.append is message:
            own = state.blocks.seen[state.acked.block_hash]
            state.append = replace(message, header=own.header, body=own.body)

    patch.set(following, "on_append", on_append)


def acknowledged_in_an_older_term(patch: Patch) -> None:
    """Follows whoever speaks, and says its ack in that one's term, higher or lower."""
    true = following.on_append

    def on_append(core: Any, peer: bytes, message: Any) -> None:
        state = core.state
        if message.term < state.term:
            terms.adopt(core, message.term)
        true(core, peer, message)

    patch.set(following, "on_append", on_append)


def certificates_not_verified(patch: Patch) -> None:
    """Believes any DECISION."""
    patch.set(deciding, "holds", lambda *_: True)


RAFT: Final = (
    Mutant("majority one too small", majority_one_too_small),
    Mutant("half is a majority", half_is_a_majority),
    Mutant("validators change a height too late", old_validators_decide),
    Mutant("vote for a shorter log", shorter_log_elected),
    Mutant("forced vote without a look at the log", forced_vote_without_log_check),
    Mutant("vote not recorded", vote_not_recorded),
    Mutant("term not recorded", term_not_recorded),
    Mutant("vote forgotten on restart", vote_forgotten_on_restart),
    Mutant("two votes in one term", two_votes_in_one_term),
    Mutant("pre-votes elect", pre_votes_elect),
    Mutant("no pre-vote", no_pre_vote),
    Mutant("a pre-vote raises the term", pre_vote_raises_the_term),
    Mutant("no lease", no_lease),
    Mutant("heartbeats do not reset the timer", heartbeat_does_not_reset_the_timer),
    Mutant("leadership outlives its height", leadership_outlives_its_height),
    Mutant("acks of older terms counted", older_terms_counted),
    Mutant("old entry committed by counting copies", old_entry_committed_by_counting),
    Mutant("own ack counted before its fsync", own_ack_counted_before_fsync),
    Mutant("inherited entry dropped", inherited_entry_dropped),
    Mutant("no check of the quorum", no_check_of_the_quorum),
    Mutant("entry never sent again", entry_never_sent_again),
    Mutant("holding believed for ever", holding_believed_for_ever),
    Mutant("ack not recorded", ack_not_recorded),
    Mutant("acknowledged entry forgotten on restart", acked_entry_forgotten_on_restart),
    Mutant("conflicting entry kept", conflicting_entry_kept),
    Mutant("acknowledged in an older term", acknowledged_in_an_older_term),
    Mutant("certificates not verified", certificates_not_verified),
)
