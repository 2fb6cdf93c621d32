"""PREPARE and COMMIT (docs/spec/pbft.md, rules P7, C2, C3, C6)."""

from __future__ import annotations

from consensus.messages import (
    Commit,
    CommittedRecord,
    Prepare,
    PreparedRecord,
    commit_bytes,
)
from consensus.pbft import deciding, evidence, replying, timers, twin
from consensus.pbft.core import Core
from consensus.pbft.proofs import make_prepared
from consensus.pbft.state import HeightState
from medquorum.certificate import make_certificate
from medquorum.invariants import require


def is_fenced(state: HeightState) -> bool:
    """Whether we wished for a later round: nothing new is said in this one (rule R6)."""
    return state.fenced


def on_prepare(core: Core, peer: bytes, vote: Prepare) -> None:
    """Count a PREPARE of this round, or keep one of the next."""
    state = core.state
    if vote.round < state.round:
        replying.show_round(core, peer)
        core.drop("old_round")
        return
    if vote.round > state.round + 1:
        core.drop("future_round")
        return
    votes = state.prepares.setdefault(vote.round, {})
    known = votes.setdefault(vote.signer, vote)
    if known is not vote:
        if evidence.contradicts(known, vote):
            evidence.report(core, evidence.EQUIVOCATION, known, vote)
        core.drop("duplicate")
        return
    timers.note_work(core, vote)


def prepare_quorum(core: Core) -> bool:
    """Remember that a quorum prepared what we accepted, in this round (rule P7)."""
    state = core.state
    if len(state.accepted) == 0 or is_fenced(state) or state.decision is not None:
        return False
    if not core.votes or is_prepared(state):
        return False
    votes = state.prepares.get(state.round, {})
    if len(votes) < state.members.quorum:
        return False
    signatures = {
        signer: vote.signature
        for signer, vote in votes.items()
        if vote.block_hash == state.accepted
    }
    if len(signatures) < state.members.quorum:
        return False
    state.prepared = make_prepared(state.members, state.round, state.accepted, signatures)
    state.book.add(state.prepared)
    core.out.persist.append(PreparedRecord(state.height, state.prepared))
    return True


def is_prepared(state: HeightState) -> bool:
    """Whether what we accepted in this round is prepared in this round."""
    prepared = state.prepared
    return prepared is not None and (prepared.round, prepared.block_hash) == (
        state.round,
        state.accepted,
    )


def result_to_sign(core: Core) -> bytes:
    """The result that our own execution of the accepted block gave; empty before it ended."""
    result = core.state.blocks.results.get(core.state.accepted)
    return b"" if result is None else result.hash()


def commit(core: Core) -> bool:
    """COMMIT what is prepared in this round and executed, under one result for ever (C2, C6)."""
    state = core.state
    if not core.votes or is_fenced(state) or state.decision is not None:
        return False
    if len(state.committed) > 0 or not is_prepared(state):
        return False
    result_hash = result_to_sign(core)
    if len(result_hash) == 0:
        return False
    signed = state.signed_results.setdefault(state.accepted, result_hash)
    require(signed == result_hash, "two results of one block are about to be signed")
    state.committed = result_hash
    payload = (core.chain_id, state.height, state.round, state.accepted, result_hash)
    vote = Commit(
        state.height,
        state.round,
        core.me,
        state.accepted,
        result_hash,
        core.sign(commit_bytes(*payload)),
    )
    core.say(vote, CommittedRecord(state.height, state.round, state.accepted, result_hash))
    count_commit(core, vote)
    return True


def on_commit(core: Core, vote: Commit) -> None:
    """Count a COMMIT, of whatever round (rule C3)."""
    state = core.state
    known = state.commits.find(vote.signer, vote.round)
    if known is not None:
        if evidence.contradicts(known, vote):
            evidence.report(core, evidence.EQUIVOCATION, known, vote)
        core.drop("duplicate")
        return
    evidence.check_commit(core, vote)
    timers.note_work(core, vote)
    count_commit(core, vote)


def count_commit(core: Core, vote: Commit) -> None:
    """A quorum of COMMITs of one round on one block and result decides (rule C3)."""
    state = core.state
    if not state.commits.add(vote):
        core.drop("commit_of_old_round")
        return
    signatures = state.commits.signatures(vote.round, vote.block_hash, vote.result_hash)
    if len(signatures) < state.members.quorum:
        return
    certificate = make_certificate(
        engine="pbft",
        height=state.height,
        round_=vote.round,
        block_hash=vote.block_hash,
        result_hash=vote.result_hash,
        votes={state.members.position[key]: signature for key, signature in signatures.items()},
        n=state.members.n,
    )
    twin.check_decision(core, certificate)
    deciding.decide(core, certificate)
