"""From the log back to the state in which we last spoke (docs/spec/pbft.md, section 6).

Each record was durable before what it announces was said. Reading them in order gives every vote
that anybody can have seen of us; signing is deterministic, so we say them again in the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from consensus.checkpoints import CheckpointedRecord, KeptRecord, ResultRecord, SaidRecord
from consensus.errors import LogContradictionError
from consensus.held import Block
from consensus.messages import (
    AcceptedRecord,
    BlockRecord,
    Commit,
    CommittedRecord,
    EnteredRecord,
    HaltedRecord,
    LogRecord,
    PbftRecord,
    Prepare,
    Prepared,
    PreparedRecord,
    Proposal,
    ProposedRecord,
    ReleasedRecord,
    RoundChange,
    RoundChangedRecord,
    commit_bytes,
    prepare_bytes,
    proposal_bytes,
    round_change_bytes,
)
from consensus.pbft import voting
from consensus.pbft.core import Core
from consensus.pbft.proofs import signers_of
from medquorum.certificate import VoteTag


def restore(core: Core, records: Iterable[LogRecord]) -> None:
    """Apply the log. Raises LogContradictionError if no engine can have written it.

    Records of other heights are passed over, and all of them by who does not vote, except that a
    halt holds until it is released.
    """
    halted = ""
    is_member = core.me in core.state.members.position
    for record in records:
        if isinstance(record, HaltedRecord):
            halted = record.reason
        elif isinstance(record, ReleasedRecord):
            halted = ""
        if is_member and record.height == core.state.height:
            if not isinstance(record, PbftRecord | KeptRecord):
                raise LogContradictionError(type(record).__name__, "another engine wrote it")
            _apply(core, record)
            core.state.work = True
    core.halted = halted


def _apply(core: Core, record: PbftRecord | KeptRecord) -> None:
    match record:
        case BlockRecord():
            block = Block(record.header.hash(), record.header, record.body, b"")
            core.state.blocks.seen[block.hash] = block
            core.state.blocks.logged.add(block.hash)
        case EnteredRecord():
            _enter(core, record)
        case ProposedRecord():
            _propose(core, record)
        case AcceptedRecord():
            _accept(core, record)
        case PreparedRecord():
            _prepare(core, record)
        case CommittedRecord():
            _commit(core, record)
        case RoundChangedRecord():
            _change_round(core, record)
        case SaidRecord():
            core.know_said((record.round, record.phase), record.payload)
        case ResultRecord():
            core.state.signed_results[record.block_hash] = record.result_hash
        case HaltedRecord() | CheckpointedRecord():
            return
        case ReleasedRecord():
            # What we signed stays said; it neither binds us in later rounds nor is said again.
            core.state.signed_results.clear()
            core.state.own.pop(VoteTag.COMMIT, None)
        case _:
            assert_never(record)


def _check(record: LogRecord, *, fits: bool, detail: str) -> None:
    if not fits:
        raise LogContradictionError(type(record).__name__, detail)


def _enter(core: Core, record: EnteredRecord) -> None:
    state = core.state
    _check(record, fits=record.round > state.round, detail=f"from round {state.round}")
    state.round = record.round
    state.wanted = max(state.wanted, record.round)
    state.justification = record.justification
    for certificate in record.justification.certificate:
        state.book.add(certificate)
    state.candidate = None
    state.accepted = state.committed = b""
    state.prepares.clear()
    for tag in (VoteTag.PROPOSAL, VoteTag.PREPARE, VoteTag.COMMIT):
        state.own.pop(tag, None)
    if not state.fenced:
        state.own.pop(VoteTag.ROUND_CHANGE, None)


def _block(core: Core, record: LogRecord, block_hash: bytes, round_: int) -> Block:
    state = core.state
    _check(record, fits=round_ == state.round, detail=f"{round_} in round {state.round}")
    block = state.blocks.seen.get(block_hash)
    if block is None:
        raise LogContradictionError(type(record).__name__, "its block is not in the log")
    return block


def _propose(core: Core, record: ProposedRecord) -> None:
    state = core.state
    block = _block(core, record, record.block_hash, record.round)
    message = proposal_bytes(core.chain_id, state.height, state.round, block.hash)
    proposal = Proposal(
        state.height,
        state.round,
        core.me,
        block.header,
        block.body,
        state.justification,
        core.sign(message),
    )
    core.remember(proposal)
    state.candidate = proposal


def _accept(core: Core, record: AcceptedRecord) -> None:
    state = core.state
    block = _block(core, record, record.block_hash, record.round)
    _check(record, fits=state.accepted == b"", detail="a second block in one round")
    state.accepted = block.hash
    state.blocks.valid.add(block.hash)
    message = prepare_bytes(core.chain_id, state.height, state.round, block.hash)
    vote = Prepare(state.height, state.round, core.me, block.hash, core.sign(message))
    core.remember(vote)
    state.prepares.setdefault(state.round, {})[core.me] = vote


def _prepare(core: Core, record: PreparedRecord) -> None:
    """Restore the certificate, and its PREPAREs as votes: peers past them do not repeat them."""
    state, known = core.state, record.certificate
    block = _block(core, record, known.block_hash, known.round)
    _check(record, fits=state.accepted == block.hash, detail="prepared what was not accepted")
    state.prepared = known
    state.book.add(known)
    signers = signers_of(state.members, known.signers)
    votes = state.prepares.setdefault(known.round, {})
    for signer, signature in zip(signers, known.signatures, strict=True):
        votes[signer] = Prepare(state.height, known.round, signer, known.block_hash, signature)


def _commit(core: Core, record: CommittedRecord) -> None:
    state = core.state
    _block(core, record, record.block_hash, record.round)
    _check(record, fits=voting.is_prepared(state), detail="committed what was not prepared")
    signed = state.signed_results.setdefault(record.block_hash, record.result_hash)
    _check(record, fits=signed == record.result_hash, detail="a second result of one block")
    state.committed = record.result_hash
    message = commit_bytes(
        core.chain_id, state.height, state.round, record.block_hash, record.result_hash
    )
    signature = core.sign(message)
    core.remember(
        Commit(state.height, state.round, core.me, record.block_hash, record.result_hash, signature)
    )


def _change_round(core: Core, record: RoundChangedRecord) -> None:
    state = core.state
    _check(record, fits=record.round > state.wanted, detail=f"after {state.wanted}")
    state.wanted = record.round
    certificate = () if state.prepared is None else (state.prepared,)
    claims = tuple(Prepared(known.round, known.block_hash) for known in certificate)
    message = round_change_bytes(core.chain_id, state.height, record.round, claims)
    wish = RoundChange(state.height, record.round, core.me, claims, certificate, core.sign(message))
    core.remember(wish)
    state.round_changes[core.me] = wish


def count_own(core: Core) -> None:
    """Count our restored COMMIT; alone among one to three validators it may decide at once."""
    vote = core.state.own.get(VoteTag.COMMIT)
    if isinstance(vote, Commit) and core.halted == "":
        voting.count_commit(core, vote)


def tell_guard(core: Core) -> None:
    """Say a COMMIT that decided alone to ourselves: that reaches nobody but the guard (rule L6)."""
    vote = core.state.own.get(VoteTag.COMMIT)
    if vote is not None and core.state.decision is not None:
        core.say_again(vote, core.me)
