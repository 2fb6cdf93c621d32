"""Proposals: making, judging and accepting them (docs/spec/pbft.md, rules P1 to P6)."""

from __future__ import annotations

from consensus.engine import BlockBuilt, Build
from consensus.headers import misplaced
from consensus.held import Block
from consensus.messages import (
    AcceptedRecord,
    Justification,
    Prepare,
    Proposal,
    ProposedRecord,
    prepare_bytes,
    proposal_bytes,
)
from consensus.pbft import blocks, evidence, replying, rounds, timers, voting
from consensus.pbft.core import Core
from consensus.pbft.proofs import highest_claim, justification_fault, signers_of
from medquorum.block import Header
from medquorum.certificate import VoteTag
from medquorum.invariants import require


def propose(core: Core) -> bool:
    """Propose when it is our turn: what a quorum prepared, else a new block (rule P1)."""
    state = core.state
    if not _may_propose(core):
        return False
    claim = highest_claim(state.justification)
    if claim is not None:
        block = state.blocks.seen.get(claim.block_hash)
        if block is None or claim.block_hash not in state.blocks.valid:
            return False
        _announce(core, block)
        return True
    if state.building or (state.round == 0 and not state.own_work):
        return False
    state.building = True
    started = state.started
    core.out.requests.append(
        Build(
            height=state.height,
            round=state.round,
            proposer=core.me,
            parent_hash=started.parent_hash,
            parent_result_hash=started.parent_result_hash,
            validators_hash=state.members.set_hash,
            not_before_ms=started.parent_time_ms + max(1, core.timing.block_interval_ms),
        )
    )
    return True


def _may_propose(core: Core) -> bool:
    state = core.state
    return (
        core.votes
        and state.decision is None
        and not voting.is_fenced(state)
        and VoteTag.PROPOSAL not in state.own
        and state.turns.proposer(state.round) == core.me
    )


def on_block_built(core: Core, built: BlockBuilt) -> None:
    """Propose what was built, if its round is still ours."""
    state = core.state
    if (built.height, built.round) != (state.height, state.round) or not state.building:
        core.drop("build_outdated")
        return
    state.building = False
    if not _may_propose(core):
        core.drop("build_outdated")
        return
    fault = header_fault(core, built.header, fresh_in=built.round)
    require(fault == "", f"our own block: {fault}")
    block = Block(built.header.hash(), built.header, built.body, b"")
    blocks.keep(core, block)
    _announce(core, block)


def _announce(core: Core, block: Block) -> None:
    state = core.state
    core.log_block(block)
    proposal = Proposal(
        state.height,
        state.round,
        core.me,
        block.header,
        block.body,
        state.justification,
        core.sign(proposal_bytes(core.chain_id, state.height, state.round, block.hash)),
    )
    core.say(proposal, ProposedRecord(state.height, state.round, block.hash))
    state.candidate = proposal


def on_proposal(core: Core, peer: bytes, proposal: Proposal) -> None:
    """Look at a proposal: whose it is, whether its round is open to it, its header (rule P2)."""
    state = core.state
    if proposal.signer != state.turns.proposer(proposal.round):
        core.blame(peer, "not_the_proposer")
        return
    if proposal.round < state.round:
        replying.show_round(core, peer)
        core.drop("old_round")
        return
    known = state.proposals_seen.get(proposal.round)
    if known is not None and evidence.contradicts(known, proposal):
        evidence.report(core, evidence.EQUIVOCATION, known, proposal)
        core.drop("equivocation")
        return
    if proposal.round < state.wanted:
        core.drop("fenced")
        return
    if proposal.round == state.round and (state.accepted != b"" or state.candidate is not None):
        core.drop("duplicate")
        return
    fault = _proposal_fault(core, proposal)
    if fault != "":
        core.blame(peer, fault)
        return
    evidence.check_justification(core, proposal.round, proposal.justification)
    if proposal.round > state.round:
        rounds.enter(core, proposal.round, proposal.justification)  # rule R4
    state.proposals_seen[proposal.round] = proposal if known is None else known
    block = Block(proposal.header.hash(), proposal.header, proposal.body, peer)
    state.candidate = proposal
    blocks.keep(core, block)
    timers.note_work(core)


def _proposal_fault(core: Core, proposal: Proposal) -> str:
    state, justification = core.state, proposal.justification
    if proposal.round == 0:
        if len(justification.entries) + len(justification.certificate) > 0:
            return "justification_of_round_0"
        return header_fault(core, proposal.header, fresh_in=0)
    fault = justification_fault(state.book, proposal.round, justification, state.round_changes)
    if fault != "":
        return fault
    claim = highest_claim(justification)
    if claim is None:
        return header_fault(core, proposal.header, fresh_in=proposal.round)
    if claim.block_hash != proposal.header.hash():
        return "not_the_highest_prepared"
    return header_fault(core, proposal.header, fresh_in=None)


def header_fault(core: Core, header: Header, *, fresh_in: int | None) -> str:
    """Why a header does not belong to this height; empty if it does (rule P4).

    `fresh_in`: the round in which the block was made, None for one that a quorum had prepared: that
    one keeps the name of its first proposer.
    """
    state = core.state
    fault = misplaced(header, core.chain_id, state.started, state.members.set_hash)
    if fault != "":
        return fault
    if fresh_in is not None and header.proposer != state.turns.proposer(fresh_in):
        return "header_proposer"
    return ""


def accept(core: Core) -> bool:
    """Accept the proposal once its block is checked and its transactions durable (P5, P6)."""
    state, proposal = core.state, core.state.candidate
    if proposal is None or state.decision is not None:
        return False
    if len(state.accepted) > 0 or voting.is_fenced(state):
        return False
    block_hash = proposal.header.hash()
    if block_hash not in state.blocks.valid:
        certified = len(proposal.justification.certificate) > 0
        return blocks.request_validation(
            core, state.blocks.seen[block_hash], _holders(core, proposal), certified=certified
        )
    state.accepted = block_hash
    if core.votes:
        core.log_block(state.blocks.seen[block_hash])
        prepare = Prepare(
            state.height,
            state.round,
            core.me,
            block_hash,
            core.sign(prepare_bytes(core.chain_id, state.height, state.round, block_hash)),
        )
        core.say(prepare, AcceptedRecord(state.height, state.round, block_hash))
        state.prepares.setdefault(state.round, {})[core.me] = prepare
    return True


def _holders(core: Core, proposal: Proposal) -> tuple[bytes, ...]:
    """Who should have the transactions: the proposer, and whoever prepared the block."""
    return (proposal.signer, *_preparers(core, proposal.justification))


def _preparers(core: Core, justification: Justification) -> tuple[bytes, ...]:
    return tuple(
        signer
        for certificate in justification.certificate
        for signer in signers_of(core.state.members, certificate.signers)
    )
