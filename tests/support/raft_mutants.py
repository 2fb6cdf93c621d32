"""Raft engines with one known bug each. A campaign that does not find them proves nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import pytest

from consensus.engine import HeightStarted
from consensus.messages import LogRecord
from consensus.raft import deciding, elections, engine, leading, reads, recovery, terms
from consensus.raft.core import Core
from consensus.raft.messages import (
    Ack,
    AckedRecord,
    HeartbeatReply,
    RaftRecord,
    TermRecord,
    VoteRequest,
    ack_bytes,
)
from consensus.raft.state import HeightState, Leading, Role
from medquorum.block import ValidatorSet
from medquorum.quorum import quorum

Mutation: TypeAlias = Callable[[pytest.MonkeyPatch], None]

QUORUM = "consensus.raft.members.quorum"


def quorum_one_too_small(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(QUORUM, lambda name, n: max(1, quorum(name, n) - 1))


def half_is_a_quorum(patch: pytest.MonkeyPatch) -> None:
    """Right for odd n only."""
    patch.setattr(QUORUM, lambda _name, n: (n + 1) // 2)


def _never_recorded(patch: pytest.MonkeyPatch, kind: type) -> None:
    true = Core.record

    def record(self: Core, one: LogRecord) -> None:
        if not isinstance(one, kind):
            true(self, one)

    patch.setattr(Core, "record", record)


def vote_not_persisted(patch: pytest.MonkeyPatch) -> None:
    _never_recorded(patch, TermRecord)


def ack_before_fsync(patch: pytest.MonkeyPatch) -> None:
    _never_recorded(patch, AckedRecord)


def _forget(patch: pytest.MonkeyPatch, kind: type) -> None:
    true = recovery.restore_one

    def restore_one(core: Core, record: RaftRecord) -> None:
        if not isinstance(record, kind):
            true(core, record)

    patch.setattr(recovery, "restore_one", restore_one)


def vote_forgotten_on_restart(patch: pytest.MonkeyPatch) -> None:
    def restore_one(core: Core, record: RaftRecord) -> None:
        if isinstance(record, TermRecord) and len(record.ballot) > 0:
            core.state.term = record.term
        else:
            true(core, record)

    true = recovery.restore_one
    patch.setattr(recovery, "restore_one", restore_one)


def acked_entry_forgotten_on_restart(patch: pytest.MonkeyPatch) -> None:
    _forget(patch, AckedRecord)


def vote_granted_to_a_shorter_log(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(elections, "is_current", lambda *_: True)


def two_votes_in_one_term(patch: pytest.MonkeyPatch) -> None:
    true = elections.on_vote_request

    def on_vote_request(core: Core, peer: bytes, request: VoteRequest) -> None:
        if core.state.role is Role.FOLLOWER:
            core.state.ballot = b""
        true(core, peer, request)

    patch.setattr(elections, "on_vote_request", on_vote_request)


def inherited_entry_dropped(patch: pytest.MonkeyPatch) -> None:
    true = leading.propose

    def propose(core: Core) -> bool:
        kept, core.state.acked = core.state.acked, None
        try:
            return true(core)
        finally:
            core.state.acked = kept

    patch.setattr(engine, "RULES", (deciding.finish, propose, *engine.RULES[2:]))


def older_terms_counted(patch: pytest.MonkeyPatch) -> None:
    """The rule of figure 8: an entry on a majority of disks is taken for decided."""
    true = leading.on_ack

    def on_ack(core: Core, ack: Ack) -> None:
        lead = core.state.leading
        if lead is not None and ack.term < core.state.term and ack.block_hash == core.state.entry:
            payload = (core.chain_id, ack.height, core.state.term, ack.block_hash, ack.result_hash)
            ack = Ack(*payload[1:3], ack.signer, *payload[3:], ack.signature)
        true(core, ack)

    def holders_count(core: Core, peer: bytes, message: HeartbeatReply) -> None:
        lead, own = core.state.leading, core.state.acked
        if lead is not None and own is not None and message.entry == (own.block_hash,):
            count = Ack(own.height, own.term, peer, own.block_hash, own.result_hash, b"\x01" * 65)
            lead.acks.setdefault(
                peer, Ack(count.height, core.state.term, peer, *_said(count), count.signature)
            )
        known(core, peer, message)

    known = leading.on_heartbeat_reply
    patch.setattr(leading, "on_ack", on_ack)
    patch.setattr(leading, "on_heartbeat_reply", holders_count)


def _said(ack: Ack) -> tuple[bytes, bytes]:
    return ack.block_hash, ack.result_hash


def own_unsynced_ack_counted(patch: pytest.MonkeyPatch) -> None:
    true = leading.count_ack

    def count_ack(core: Core, ack: Ack) -> None:
        true(core, ack)
        payload = (ack.height, ack.term, ack.block_hash, ack.result_hash)
        signature = core.sign(ack_bytes(core.chain_id, *payload))
        true(core, Ack(ack.height, ack.term, core.me, *_said(ack), signature))

    patch.setattr(leading, "count_ack", count_ack)


def acks_counted_without_their_result(patch: pytest.MonkeyPatch) -> None:
    def votes_by_result(lead: Leading) -> dict[bytes, dict[bytes, bytes]]:
        return {b"": {key: lead.acks[key].signature for key in sorted(lead.acks)}}

    patch.setattr(leading, "votes_by_result", votes_by_result)


def stale_validator_set(patch: pytest.MonkeyPatch) -> None:
    true, sets = engine._new_height, dict[int, ValidatorSet]()

    def new_height(started: HeightStarted) -> HeightState:
        state = true(started)
        sets[started.height] = started.validators
        before = sets.get(started.height - 1, started.validators)
        state.members = true(HeightStarted(started.height, before, b"", b"", 0, 0)).members
        return state

    patch.setattr(engine, "_new_height", new_height)


def leadership_outlives_its_height(patch: pytest.MonkeyPatch) -> None:
    """The single-server bug: who was elected by one set leads under another."""

    def seek_votes(core: Core) -> None:
        if core.state.attempts == 0 and core.state.term == 0 and len(core.out.dropped) == 0:
            terms.lead(core)
        else:
            true(core)

    true = elections.seek_votes
    patch.setattr(elections, "seek_votes", seek_votes)


def holding_is_believed_for_ever(patch: pytest.MonkeyPatch) -> None:
    true = leading.on_heartbeat_reply

    def on_heartbeat_reply(core: Core, peer: bytes, message: HeartbeatReply) -> None:
        before = set() if core.state.leading is None else set(core.state.leading.holders)
        true(core, peer, message)
        if core.state.leading is not None:
            core.state.leading.holders |= before

    patch.setattr(leading, "on_heartbeat_reply", on_heartbeat_reply)


def reads_without_a_majority(patch: pytest.MonkeyPatch) -> None:
    def answer(core: Core) -> bool:
        lead, found = core.state.leading, list(core.reads.values())
        if lead is None or core.state.decision is not None:
            return False
        reads._answer_all(core, found, -1)
        return len(found) > 0

    patch.setattr(engine, "RULES", (*engine.RULES[:4], answer, *engine.RULES[5:]))


def reads_of_an_inherited_height(patch: pytest.MonkeyPatch) -> None:
    true = terms.lead

    def lead(core: Core, *, resumed: bool = False) -> None:
        true(core, resumed=resumed)
        if core.state.leading is not None:
            core.state.leading.reads_wait = False

    patch.setattr(terms, "lead", lead)


def no_pre_vote(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(elections, "seek_votes", lambda core: elections.campaign(core, forced=False))


def no_lease(patch: pytest.MonkeyPatch) -> None:
    for name in ("on_pre_vote_request", "on_vote_request"):
        true = getattr(elections, name)

        def without(
            core: Core,
            *rest: object,
            true: Callable[..., None] = true,
        ) -> None:
            core.state.lease = False
            true(core, *rest)

        patch.setattr(elections, name, without)


def no_check_of_the_quorum(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(leading, "lost_quorum", lambda *_: False)


def certificates_not_verified(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(deciding, "holds", lambda *_: True)


def certificate_of_another_term_accepted(patch: pytest.MonkeyPatch) -> None:
    true = ack_bytes

    def any_term(chain_id: bytes, height: int, _term: int, *rest: bytes) -> bytes:
        return true(chain_id, height, 0, *rest)

    patch.setattr(deciding, "ack_bytes", any_term)


SAFETY: tuple[Mutation, ...] = (
    quorum_one_too_small,
    half_is_a_quorum,
    vote_not_persisted,
    ack_before_fsync,
    vote_forgotten_on_restart,
    acked_entry_forgotten_on_restart,
    vote_granted_to_a_shorter_log,
    two_votes_in_one_term,
    inherited_entry_dropped,
    older_terms_counted,
    own_unsynced_ack_counted,
    acks_counted_without_their_result,
    stale_validator_set,
    leadership_outlives_its_height,
    holding_is_believed_for_ever,
    reads_without_a_majority,
    reads_of_an_inherited_height,
)
"""Found by campaigns."""

DIRECTED: tuple[Mutation, ...] = (
    no_pre_vote,
    no_lease,
    no_check_of_the_quorum,
    certificates_not_verified,
    certificate_of_another_term_accepted,
)
"""Found by the runs made for them in raft_directed.py: crashes alone do not show them."""
