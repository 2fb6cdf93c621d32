"""Leaving a round and entering another (docs/spec/pbft.md, rules R1 to R7)."""

from __future__ import annotations

from consensus.messages import (
    EnteredRecord,
    Justification,
    Prepared,
    RoundChange,
    RoundChangedRecord,
    RoundProof,
    round_change_bytes,
)
from consensus.pbft import blocks, evidence, replying, timers, twin
from consensus.pbft.core import Core
from consensus.pbft.proofs import highest_claim, justification_fault
from consensus.pbft.state import HeightState
from medquorum.certificate import VoteTag


def on_round_timer(core: Core, round_: int) -> None:
    """The round lasted too long: wish for the next one, and stay until a quorum does (R1)."""
    state = core.state
    if round_ != state.round or state.fenced or state.decision is not None:
        core.drop("timer_outdated")
        return
    if core.votes:
        wish_for(core, state.round + 1)


def wish_for(core: Core, round_: int) -> None:
    """Say ROUND_CHANGE. From now on the fence stands: nothing new in earlier rounds (R6)."""
    state = core.state
    state.wanted = round_
    certificate = () if state.prepared is None else (state.prepared,)
    claims = tuple(Prepared(known.round, known.block_hash) for known in certificate)
    message = round_change_bytes(core.chain_id, state.height, round_, claims)
    wish = RoundChange(state.height, round_, core.me, claims, certificate, core.sign(message))
    core.say(wish, RoundChangedRecord(state.height, round_))
    state.round_changes[core.me] = wish


def on_round_change(core: Core, peer: bytes, wish: RoundChange) -> None:
    """Keep the newest wish of each validator, if its claim is proven (rule R7)."""
    state = core.state
    evidence.check_round_change(core, wish)
    known = state.round_changes.get(wish.signer)
    if known is not None and wish.round == known.round and evidence.contradicts(known, wish):
        evidence.report(core, evidence.EQUIVOCATION, known, wish)
        core.drop("equivocation")
        return
    if wish.round <= state.round:
        # Whoever wishes for the round that we are in is below it: the test is <=, not <.
        replying.show_round(core, peer)
        core.drop("old_round")
        return
    if known is not None and wish.round <= known.round:
        core.drop("duplicate")
        return
    proven = _proven(core, wish)
    if proven is None:
        core.blame(peer, "round_change_claim")
        return
    state.round_changes[wish.signer] = proven
    for claim in proven.prepared:
        blocks.ask_for(core, peer, claim.block_hash)
    timers.note_work(core, proven)


def _proven(core: Core, wish: RoundChange) -> RoundChange | None:
    """The wish with a certificate that was verified, or None if its claim does not hold."""
    claim = next(iter(wish.prepared), None)
    certificate = next(iter(wish.certificate), None)
    if claim is None or certificate is None:
        return wish if claim is None and certificate is None else None
    if claim.round >= wish.round:
        return None
    if (certificate.round, certificate.block_hash) != (claim.round, claim.block_hash):
        return None
    learnt = core.state.book.learn(certificate)
    if learnt is None:
        return None
    twin.check_prepared(core, learnt)
    evidence.check_prepared(core, learnt)
    return RoundChange(
        wish.height, wish.round, wish.signer, wish.prepared, (learnt,), wish.signature
    )


def skip(core: Core) -> bool:
    """Join a round that f + 1 validators want: one of them is correct (rule R2)."""
    state = core.state
    if not core.votes or state.decision is not None:
        return False
    rounds = sorted((wish.round for wish in state.round_changes.values()), reverse=True)
    if len(rounds) <= state.members.f or rounds[state.members.f] <= state.wanted:
        return False
    wish_for(core, rounds[state.members.f])
    return True


def counts(state: HeightState, wish: RoundChange) -> bool:
    """A claim counts only with the checked block in hand, so that it can be proposed (R7)."""
    return all(claim.block_hash in state.blocks.valid for claim in wish.prepared)


def enter_by_quorum(core: Core) -> bool:
    """Enter the highest round that a quorum wants (rule R3)."""
    state = core.state
    if state.decision is not None or len(state.round_changes) < state.members.quorum:
        return False
    wishes: dict[int, list[RoundChange]] = {}
    for wish in state.round_changes.values():
        if wish.round > state.round and counts(state, wish):
            wishes.setdefault(wish.round, []).append(wish)
    open_rounds = [round_ for round_, given in wishes.items() if len(given) >= state.members.quorum]
    if len(open_rounds) == 0:
        return False
    round_ = max(open_rounds)
    enter(core, round_, justify(state, wishes[round_]))
    return True


def justify(state: HeightState, wishes: list[RoundChange]) -> Justification:
    """The proof that a quorum wants a round, with the certificate of the highest claim."""
    ordered = sorted(wishes, key=lambda wish: state.members.position[wish.signer])
    certificates = [certificate for wish in ordered for certificate in wish.certificate]
    highest = sorted(certificates, key=lambda known: known.round)[-1:]
    return Justification(tuple(wish.entry() for wish in ordered), tuple(highest))


def on_round_proof(core: Core, peer: bytes, proof: RoundProof) -> None:
    """A peer shows why a round is open (rule R4)."""
    state = core.state
    if proof.round <= state.round:
        core.drop("old_round")
        return
    fault = justification_fault(state.book, proof.round, proof.justification, state.round_changes)
    if fault != "":
        core.blame(peer, fault)
        return
    evidence.check_justification(core, proof.round, proof.justification)
    # The newest one counts: a proof whose block is kept back must not shut out the next.
    state.pending_proof = proof
    timers.note_work(core)
    claim = highest_claim(proof.justification)
    if claim is not None:
        blocks.ask_for(core, peer, claim.block_hash)


def enter_by_proof(core: Core) -> bool:
    """Enter by a proof that holds, once we have the block that must be proposed (R4, R7)."""
    state, proof = core.state, core.state.pending_proof
    if proof is None or state.decision is not None:
        return False
    claim = highest_claim(proof.justification)
    if claim is not None and claim.block_hash not in state.blocks.valid:
        return False
    enter(core, proof.round, proof.justification)
    return True


def enter(core: Core, round_: int, justification: Justification) -> None:
    """Start a round with a clean slate; what is prepared and signed stays (rule R5)."""
    state = core.state
    certificates = [state.book.learn(known) for known in justification.certificate]
    known = tuple(certificate for certificate in certificates if certificate is not None)
    state.justification = Justification(justification.entries, known)
    state.round = round_
    state.wanted = max(state.wanted, round_)
    state.candidate = None
    state.accepted = b""
    state.committed = b""
    state.building = False
    state.validations = 0
    if state.pending_proof is not None and state.pending_proof.round <= round_:
        state.pending_proof = None
    for tag in (VoteTag.PROPOSAL, VoteTag.PREPARE, VoteTag.COMMIT):
        state.own.pop(tag, None)
    if not state.fenced:
        state.own.pop(VoteTag.ROUND_CHANGE, None)
    state.prepares = {r: votes for r, votes in state.prepares.items() if r >= round_}
    state.proposals_seen = {r: seen for r, seen in state.proposals_seen.items() if r >= round_}
    if core.votes:
        claim = highest_claim(state.justification)
        if claim is not None and claim.block_hash in state.blocks.valid:
            core.log_block(state.blocks.seen[claim.block_hash])
        core.out.persist.append(EnteredRecord(state.height, round_, state.justification))
    twin.check_justification(core, round_, justification)
    timers.arm_round(core)
