"""What a follower does for its leader (docs/spec/raft.md, rules A1 to A6)."""

from __future__ import annotations

from consensus.held import Block
from consensus.limits import VALIDATIONS_PER_ROUND_MAX
from consensus.raft import blocks, evidence, leading, terms, timers
from consensus.raft.core import Core
from consensus.raft.messages import Ack, AckedRecord, Append, Heartbeat, HeartbeatReply, ack_bytes
from consensus.raft.state import Role
from medquorum.invariants import require


def on_append(core: Core, peer: bytes, message: Append) -> None:
    """The leader's entry: whose it is, of which term, its header (rules A1, A2)."""
    state, header_hash = core.state, message.header.hash()
    if message.term < state.term:
        terms.show_term(core, peer)
        return
    if not terms.may_lead(core, message.signer, message.term):
        return
    fault = blocks.header_fault(core, message.header)
    if fault != "":
        core.blame(peer, fault)
        return
    if message.term > state.term:
        terms.adopt(core, message.term)
    known, acked = state.append, state.acked
    if (
        known is not None
        and known.signer == message.signer
        and evidence.contradicts(known, message)
    ):
        evidence.report(core, evidence.EQUIVOCATION, known, message)
        core.halt("changed_entry", f"height {state.height}, term {state.term}: two entries")
        return
    if acked is not None and acked.term == message.term and acked.block_hash != header_hash:
        core.halt("changed_entry", f"height {state.height}, term {state.term}: two entries")
        return
    if not terms.follow(core, message.signer):
        return
    if state.validations < VALIDATIONS_PER_ROUND_MAX:
        state.refused = False  # It is looked at once more: a clock may have moved on.
    if known is None:
        state.append = message
        timers.note_work(core)
    blocks.keep(core, Block(header_hash, message.header, message.body, peer))
    if not ack_again(core) and known is not None:
        reply(core, 0)


def on_heartbeat(core: Core, peer: bytes, message: Heartbeat) -> None:
    """The leader is there: say so, and what we hold (rules A1, A6)."""
    state = core.state
    if message.term < state.term:
        terms.show_term(core, peer)
        return
    if not terms.may_lead(core, peer, message.term):
        return
    if message.term > state.term:
        terms.adopt(core, message.term)
    if not terms.follow(core, peer):
        return
    if state.refused:
        core.drop("leader_refused")
        return
    reply(core, message.beat)
    if len(message.entry) > 0:
        ack_again(core)


def reply(core: Core, beat: int) -> None:
    """Tell the leader that we follow it, and whether it need not send its entry again."""
    state = core.state
    entry = () if state.append is None else (state.entry,)
    core.send(state.leader, HeartbeatReply(state.height, state.term, beat, entry))


def ack_again(core: Core) -> bool:
    """Repeat the ack of this term, if there is one: the leader lacks it."""
    for vote in core.state.own:
        if isinstance(vote, Ack):
            core.say_again(vote, core.state.leader)
            return True
    return False


def ack(core: Core) -> bool:
    """Acknowledge the entry of this term: valid, executed, on the disk (rules A3, A4)."""
    state, entry = core.state, core.state.entry
    if not core.votes or state.decision is not None or entry == b"" or state.leader == b"":
        return False
    if state.acked is not None and state.acked.term == state.term:
        return False
    result = state.blocks.results.get(entry)
    if entry not in state.blocks.valid or result is None:
        return False
    result_hash = result.hash()
    signed = state.signed_results.setdefault(entry, result_hash)
    require(signed == result_hash, "two results of one block are about to be signed")
    core.log_block(state.blocks.seen[entry])
    state.acked = AckedRecord(state.height, state.term, entry, result_hash)
    core.record(state.acked)
    message = ack_bytes(core.chain_id, state.height, state.term, entry, result_hash)
    vote = Ack(state.height, state.term, core.me, entry, result_hash, core.sign(message))
    # Nobody hears what we say to ourselves, but the guard of the sign state does.
    core.say(vote, state.leader)
    if state.role is Role.LEADER:
        leading.count_ack(core, vote)
    return True
