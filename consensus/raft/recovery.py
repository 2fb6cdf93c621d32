"""From the log back to the state in which we last spoke (docs/spec/raft.md, section 6).

Leadership is not restored, except that of term 0, which the chain gives. Signing is deterministic,
so what was said can be said again in the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from consensus.checkpoints import CheckpointedRecord, ResultRecord, SaidRecord
from consensus.errors import LogContradictionError
from consensus.held import Block
from consensus.messages import BlockRecord, HaltedRecord, LogRecord, ReleasedRecord
from consensus.raft import leading
from consensus.raft.core import Core
from consensus.raft.messages import (
    Ack,
    AckedRecord,
    AppendedRecord,
    Grant,
    RaftRecord,
    TermRecord,
    VoteRequest,
    ack_bytes,
    ballot_bytes,
)


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
            _apply(core, record)
            core.state.work = True
    core.halted = halted


def _apply(core: Core, record: LogRecord) -> None:
    match record:
        case BlockRecord():
            block = Block(record.header.hash(), record.header, record.body, b"")
            core.state.blocks.seen[block.hash] = block
            core.state.blocks.logged.add(block.hash)
        case SaidRecord():
            core.know_said((record.round, record.phase), record.payload)
        case ResultRecord():
            core.state.signed_results[record.block_hash] = record.result_hash
        case HaltedRecord() | CheckpointedRecord():
            return
        case ReleasedRecord():
            # What we signed stays said; it neither binds us in later terms nor is said again.
            core.state.signed_results.clear()
            core.state.own = [vote for vote in core.state.own if not isinstance(vote, Ack)]
        case TermRecord() | AppendedRecord() | AckedRecord():
            restore_one(core, record)
        case _:
            raise LogContradictionError(type(record).__name__, "another engine wrote it")


def restore_one(core: Core, record: RaftRecord) -> None:
    """Apply what only a Raft log has."""
    match record:
        case TermRecord():
            _enter(core, record)
        case AppendedRecord():
            _append(core, record)
        case AckedRecord():
            _ack(core, record)
        case _:
            assert_never(record)


def _check(record: LogRecord, *, fits: bool, detail: str) -> None:
    if not fits:
        raise LogContradictionError(type(record).__name__, detail)


def _enter(core: Core, record: TermRecord) -> None:
    """A higher term, or the vote of this one; the vote of a term does not change."""
    state = core.state
    ballot = record.ballot[0] if len(record.ballot) > 0 else b""
    if record.term == state.term:
        fits = ballot != b"" and state.ballot in (b"", ballot)
        _check(record, fits=fits, detail="a second vote in one term")
    else:
        _check(record, fits=record.term > state.term, detail=f"after term {state.term}")
        state.term = record.term
        state.append = None
        state.leader = b""
        state.own.clear()
    state.ballot = ballot
    if ballot == b"":
        return
    signature = core.sign(ballot_bytes(core.chain_id, state.height, state.term, ballot))
    if ballot == core.me:
        accepted = () if state.acked is None else (state.acked.term,)
        core.remember(VoteRequest(state.height, state.term, core.me, accepted, 0, signature))
    else:
        core.remember(Grant(state.height, state.term, core.me, ballot, signature))


def _block(core: Core, record: AppendedRecord | AckedRecord) -> Block:
    state = core.state
    _check(record, fits=record.term == state.term, detail=f"{record.term} in term {state.term}")
    block = state.blocks.seen.get(record.block_hash)
    if block is None:
        raise LogContradictionError(type(record).__name__, "its block is not in the log")
    return block


def _append(core: Core, record: AppendedRecord) -> None:
    state, block = core.state, _block(core, record)
    _check(record, fits=state.appended < state.term, detail="a second entry in one term")
    state.appended = state.term
    entry = leading.make_append(core, block)
    core.remember(entry)
    if state.term == 0:
        state.append = entry


def _ack(core: Core, record: AckedRecord) -> None:
    state, block = core.state, _block(core, record)
    fits = state.acked is None or state.acked.term < record.term
    _check(record, fits=fits, detail="a second ack in one term")
    signed = state.signed_results.setdefault(record.block_hash, record.result_hash)
    _check(record, fits=signed == record.result_hash, detail="a second result of one block")
    state.acked = record
    state.blocks.valid.add(block.hash)
    payload = (core.chain_id, state.height, state.term, record.block_hash, record.result_hash)
    signature = core.sign(ack_bytes(*payload))
    core.remember(Ack(state.height, state.term, core.me, *payload[3:], signature))
