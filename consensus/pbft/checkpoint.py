"""The fewest records that stand for a whole log (docs/spec/pbft.md, section 6).

Applied by recovery like any others, they give the state that the log gives: the round with what we
said in it, what is prepared, every result that binds us, and which votes of earlier rounds were
ours. What is left out are the blocks of earlier rounds, which make a log large.
"""

from __future__ import annotations

from collections.abc import Iterator

from consensus.checkpoints import CheckpointedRecord, ResultRecord, SaidRecord
from consensus.messages import (
    NO_JUSTIFICATION,
    AcceptedRecord,
    BlockRecord,
    Commit,
    CommittedRecord,
    EnteredRecord,
    LogRecord,
    PreparedRecord,
    Proposal,
    ProposedRecord,
    ReleasedRecord,
    RoundChangedRecord,
)
from consensus.pbft.core import Core
from consensus.pbft.proofs import highest_claim
from consensus.pbft.state import HeightState
from medquorum.certificate import VoteTag


def checkpoint(core: Core) -> tuple[LogRecord, ...] | None:
    """Records that may replace the log; None while we do not vote, for then it does not grow."""
    if not core.votes:
        return None
    state = core.state
    kept = _blocks(state)
    records = (*_said(state), *_blocks_of(state, kept), *_prepared(state), *_round(state))
    state.blocks.logged = kept
    return (*records, *_results(state), CheckpointedRecord(state.height))


def _blocks(state: HeightState) -> set[bytes]:
    """Blocks that we must have after a crash: to say our votes, and to prove what is prepared."""
    named = {state.accepted}
    claim = highest_claim(state.justification)
    proposal = state.own.get(VoteTag.PROPOSAL)
    if state.prepared is not None:
        named.add(state.prepared.block_hash)
    if claim is not None:
        named.add(claim.block_hash)
    if isinstance(proposal, Proposal):
        named.add(proposal.header.hash())
    return named & state.blocks.logged & state.blocks.seen.keys()


def _blocks_of(state: HeightState, kept: set[bytes]) -> Iterator[LogRecord]:
    for block_hash in sorted(kept):
        block = state.blocks.seen[block_hash]
        yield BlockRecord(state.height, block.header, block.body)


def _said(state: HeightState) -> Iterator[LogRecord]:
    for round_, phase in sorted(state.said):
        yield SaidRecord(state.height, round_, phase, state.said[round_, phase])


def _prepared(state: HeightState) -> Iterator[LogRecord]:
    """What is prepared since an earlier round, in that round, in which we had accepted it."""
    known = state.prepared
    if known is None or known.round == state.round:
        return
    if known.round > 0:
        yield EnteredRecord(state.height, known.round, NO_JUSTIFICATION)
    yield AcceptedRecord(state.height, known.round, known.block_hash)
    yield PreparedRecord(state.height, known)


def _round(state: HeightState) -> Iterator[LogRecord]:
    """The round that we are in, in the order in which its rules were followed."""
    height, round_, known = state.height, state.round, state.prepared
    if round_ > 0:
        yield EnteredRecord(height, round_, state.justification)
    proposal = state.own.get(VoteTag.PROPOSAL)
    if isinstance(proposal, Proposal):
        yield ProposedRecord(height, round_, proposal.header.hash())
    if state.accepted != b"":
        yield AcceptedRecord(height, round_, state.accepted)
    if known is not None and known.round == round_:
        yield PreparedRecord(height, known)
    if state.committed != b"":
        yield CommittedRecord(height, round_, state.accepted, state.committed)
        if not isinstance(state.own.get(VoteTag.COMMIT), Commit):
            # An operator has released it: it stays said, and is not said again.
            yield ReleasedRecord(height)
    if state.fenced:
        yield RoundChangedRecord(height, state.wanted)


def _results(state: HeightState) -> Iterator[LogRecord]:
    for block_hash in sorted(state.signed_results):
        yield ResultRecord(state.height, block_hash, state.signed_results[block_hash])
