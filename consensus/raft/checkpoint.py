"""The fewest records that stand for a whole log (docs/spec/raft.md, section 6).

Applied by recovery like any others, they give the state that the log gives: the term with what we
said in it, the entry acknowledged last, every result that binds us, and which votes of earlier
terms were ours. What is left out are the blocks of earlier terms, which make a log large.
"""

from __future__ import annotations

from collections.abc import Iterator

from consensus.checkpoints import CheckpointedRecord, ResultRecord, SaidRecord
from consensus.messages import BlockRecord, LogRecord, ReleasedRecord
from consensus.raft.core import Core
from consensus.raft.messages import Ack, AckedRecord, Append, AppendedRecord, TermRecord
from consensus.raft.state import HeightState


def checkpoint(core: Core) -> tuple[LogRecord, ...] | None:
    """Records that may replace the log; None while we do not vote, for then it does not grow."""
    if not core.votes:
        return None
    state = core.state
    sent = next((vote for vote in state.own if isinstance(vote, Append)), None)
    named = set() if state.acked is None else {state.acked.block_hash}
    if sent is not None:
        named.add(sent.header.hash())
    kept = named & state.blocks.logged & state.blocks.seen.keys()
    records = (*_said(state), *_blocks(state, kept), *_terms(state, sent), *_results(state))
    state.blocks.logged = kept
    return (*records, CheckpointedRecord(state.height))


def _said(state: HeightState) -> Iterator[LogRecord]:
    for term, phase in sorted(state.said):
        yield SaidRecord(state.height, term, phase, state.said[term, phase])


def _blocks(state: HeightState, kept: set[bytes]) -> Iterator[LogRecord]:
    for block_hash in sorted(kept):
        block = state.blocks.seen[block_hash]
        yield BlockRecord(state.height, block.header, block.body)


def _terms(state: HeightState, sent: Append | None) -> Iterator[LogRecord]:
    """The term of the entry acknowledged last, and the one that we are in."""
    acked = state.acked
    if acked is not None and acked.term < state.term:
        if acked.term > 0:
            yield TermRecord(state.height, acked.term, ())
        yield acked
        yield from _unbound(state, acked)
        acked = None
    if state.term > 0:
        ballot = () if state.ballot == b"" else (state.ballot,)
        yield TermRecord(state.height, state.term, ballot)
    if sent is not None:
        yield AppendedRecord(state.height, state.term, sent.header.hash())
    if acked is not None:
        yield acked
        yield from _unbound(state, acked)


def _unbound(state: HeightState, acked: AckedRecord) -> Iterator[LogRecord]:
    """If an operator has released what we acknowledged: it stays said, and binds us no more."""
    says_again = acked.term < state.term or any(isinstance(vote, Ack) for vote in state.own)
    if not says_again or acked.block_hash not in state.signed_results:
        yield ReleasedRecord(state.height)


def _results(state: HeightState) -> Iterator[LogRecord]:
    for block_hash in sorted(state.signed_results):
        yield ResultRecord(state.height, block_hash, state.signed_results[block_hash])
