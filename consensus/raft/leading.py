"""What a leader does (docs/spec/raft.md, rules L1 to L8)."""

from __future__ import annotations

from consensus.engine import BlockBuilt, Build
from consensus.held import Block
from consensus.raft import blocks, deciding, evidence, reads, terms, timers
from consensus.raft.core import Core
from consensus.raft.messages import (
    Ack,
    Append,
    AppendedRecord,
    Decision,
    Heartbeat,
    HeartbeatReply,
    TimeoutNow,
    append_bytes,
)
from consensus.raft.state import Leading, Role
from medquorum.certificate import make_certificate
from medquorum.invariants import require


def _of(core: Core) -> Leading:
    """What we know as the leader that we are."""
    leading = core.state.leading
    require(leading is not None, "a follower does what only leaders do")
    return Leading(reads_wait=True) if leading is None else leading


def assert_leadership(core: Core) -> None:
    """Let everybody know that this term has a leader (rule L4)."""
    state = core.state
    entry = () if state.append is None else (state.entry,)
    core.send(None, Heartbeat(state.height, state.term, _of(core).beat, entry))


def resume(core: Core) -> None:
    """After a restart as the leader of term 0: say again what was said, count our own ack (F4)."""
    own = tuple(core.state.own)
    for entry in [vote for vote in own if isinstance(vote, Append)]:
        core.say_again(entry, None)
    for ack in [vote for vote in own if isinstance(vote, Ack)]:
        count_ack(core, ack)


def propose(core: Core) -> bool:
    """Send the one entry of this term: what we acknowledged before, else a new block (L1, L2)."""
    state = core.state
    if not _may_propose(core):
        return False
    if state.acked is not None:
        _announce(core, state.blocks.seen[state.acked.block_hash])
        return True
    if state.building or not state.own_work or core.transfer_to != b"":
        return False
    state.building = True
    started = state.started
    core.out.requests.append(
        Build(
            height=state.height,
            round=state.term,
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
        and state.role is Role.LEADER
        and state.decision is None
        and state.append is None
        and state.appended < state.term
    )


def on_block_built(core: Core, built: BlockBuilt) -> None:
    """Send what was built, if its term is still ours."""
    state = core.state
    if (built.height, built.round) != (state.height, state.term) or not state.building:
        core.drop("build_outdated")
        return
    state.building = False
    if not _may_propose(core) or core.transfer_to != b"":
        core.drop("build_outdated")
        return
    fault = blocks.header_fault(core, built.header)
    require(fault == "", f"our own block: {fault}")
    block = Block(built.header.hash(), built.header, built.body, b"")
    blocks.keep(core, block)
    _announce(core, block)


def _announce(core: Core, block: Block) -> None:
    state = core.state
    core.log_block(block)
    core.record(AppendedRecord(state.height, state.term, block.hash))
    state.appended = state.term
    state.append = make_append(core, block)
    core.say(state.append, None)
    timers.note_work(core)
    _of(core).fresh = True
    reads.cover(core)


def make_append(core: Core, block: Block) -> Append:
    """Our entry of this term."""
    state = core.state
    message = append_bytes(core.chain_id, state.height, state.term, block.hash)
    return Append(state.height, state.term, core.me, block.header, block.body, core.sign(message))


def on_ack(core: Core, ack: Ack) -> None:
    """An ack of the term that we lead; of any other term it proves nothing to us (rule L3)."""
    state, leading = core.state, core.state.leading
    if ack.term > state.term:
        core.drop("ack_of_another_leader")
        return
    if not evidence.check_ack(core, ack):
        core.drop("equivocation")
        return
    if leading is None or ack.term != state.term or ack.block_hash != state.entry:
        core.drop("ack_outdated")
        return
    leading.active.add(ack.signer)
    count_ack(core, ack)


def count_ack(core: Core, ack: Ack) -> None:
    """Keep one ack a signer: none counts twice."""
    leading = _of(core)
    leading.holders.add(ack.signer)
    leading.acks.setdefault(ack.signer, ack)


def certify(core: Core) -> bool:
    """A majority acknowledged the entry of our own term, with one result: decided (rule L3)."""
    state, leading = core.state, core.state.leading
    if leading is None or state.decision is not None:
        return False
    for signatures in votes_by_result(leading).values():
        if len(signatures) >= state.members.quorum:
            break
    else:
        return False
    some = leading.acks[min(signatures)]
    certificate = make_certificate(
        engine="raft",
        height=state.height,
        round_=state.term,
        block_hash=some.block_hash,
        result_hash=some.result_hash,
        votes={state.members.position[key]: signature for key, signature in signatures.items()},
        n=state.members.n,
    )
    reads.answer_covered(core)
    deciding.decide(core, certificate)
    core.send(None, Decision(state.height, certificate))
    return True


def votes_by_result(leading: Leading) -> dict[bytes, dict[bytes, bytes]]:
    """Signatures of this term's acks by signer, by result: those of one result decide."""
    found: dict[bytes, dict[bytes, bytes]] = {}
    for key in sorted(leading.acks):
        ack = leading.acks[key]
        found.setdefault(ack.result_hash, {})[key] = ack.signature
    return found


def is_divergent(core: Core, leading: Leading) -> bool:
    """Whether no result can get a majority, whatever the others find (rule L3)."""
    sizes = [len(signatures) for signatures in votes_by_result(leading).values()]
    missing = core.state.members.n - sum(sizes)
    return max(sizes, default=0) + missing < core.state.members.quorum


def on_heartbeat_reply(core: Core, peer: bytes, message: HeartbeatReply) -> None:
    """A follower is there (rule L5), and perhaps has the entry."""
    state, leading = core.state, core.state.leading
    if leading is None or message.term != state.term:
        core.drop("reply_outdated")
        return
    leading.active.add(peer)
    leading.echoes[peer] = max(leading.echoes.get(peer, 0), message.beat)
    if state.entry != b"" and message.entry == (state.entry,):
        leading.holders.add(peer)
    elif peer not in leading.acks:
        # It may have crashed since it said so: only what it acknowledged is on its disk.
        leading.holders.discard(peer)


def on_tick(core: Core, leading: Leading) -> None:
    """Every heartbeat of a leader (rules L4, L5, L8)."""
    state = core.state
    if state.decision is not None:
        core.send(None, Decision(state.height, state.decision))
    elif lost_quorum(core, leading):
        terms.resign(core)
        timers.arm_election(core)
        return
    elif lacks_own_entry(core, leading):
        core.drop("own_entry_incomplete")
        blocks.refuse_entry(core)
        return
    else:
        leading.beat += 1
        assert_leadership(core)
        _append_again(core, leading)
        _offer_leadership(core, leading)
    timers.arm_heartbeat(core)


def lost_quorum(core: Core, leading: Leading) -> bool:
    """Whether less than a majority answered for an election timeout (rule L5)."""
    leading.ticks += 1
    if leading.ticks % timers.ticks_per_timeout(core.timing) != 0:
        return False
    lost = len(leading.active | {core.me}) < core.state.members.quorum
    leading.active.clear()
    return lost


def lacks_own_entry(core: Core, leading: Leading) -> bool:
    """Whether our own entry could not be validated for an election timeout (rule L8).

    We have sent it, and do not hold its transactions: we died before they were on our disk, or had
    to give them back. Perhaps nobody holds them; then nobody can acknowledge it, and as long as we
    are heard nobody proposes anything else.
    """
    state = core.state
    waits = state.entry != b"" and state.entry not in state.blocks.valid
    leading.incomplete_ticks = leading.incomplete_ticks + 1 if waits else 0
    return leading.incomplete_ticks > timers.ticks_per_timeout(core.timing)


def _append_again(core: Core, leading: Leading) -> None:
    """An entry may be large: it goes to those who have not shown that they have it."""
    entry, fresh = core.state.append, leading.fresh
    leading.fresh = False
    if entry is None or fresh:
        return
    for key in core.state.members.keys:
        if key != core.me and key not in leading.holders:
            core.say_again(entry, key)


def on_transfer(core: Core, to: bytes) -> None:
    """An operator wants another leader: stop proposing, and offer it (rule L6)."""
    state, leading = core.state, core.state.leading
    if to == b"":
        core.transfer_to = b""
        return
    if leading is None or to == core.me or to not in state.members.position:
        core.drop("transfer_refused")
        return
    core.transfer_to = to
    begin_transfer(core)


def begin_transfer(core: Core) -> None:
    """Offer the leadership for one election timeout, from the first moment it can be taken."""
    leading = core.state.leading
    if leading is not None and core.transfer_to in core.state.members.position:
        leading.transfer_ticks = 1 + timers.ticks_per_timeout(core.timing)
        _offer_leadership(core, leading)
    else:
        core.transfer_to = b""


def _offer_leadership(core: Core, leading: Leading) -> None:
    """Not with an entry under way: the block would keep our name, and lead back to us (T0)."""
    state = core.state
    if core.transfer_to == b"" or state.append is not None:
        return
    leading.transfer_ticks -= 1
    if leading.transfer_ticks < 0:
        core.transfer_to = b""
        core.drop("transfer_failed")
        return
    core.send(core.transfer_to, TimeoutNow(state.height, state.term))
