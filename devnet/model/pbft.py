"""PBFT: three validators that obey the rules, one that says what it likes."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from itertools import combinations
from typing import Final

from typing_extensions import override

from consensus.engine import Build, TimerKind
from consensus.messages import (
    NO_JUSTIFICATION,
    BlockResponse,
    Commit,
    Justification,
    Message,
    Prepare,
    Prepared,
    PreparedCertificate,
    Proposal,
    RoundChange,
    RoundChangeEntry,
    commit_bytes,
    prepare_bytes,
    proposal_bytes,
    round_change_bytes,
)
from consensus.pbft.members import Members
from consensus.pbft.proofs import CertificateBook, highest_claim, make_prepared
from consensus.pbft.state import HeightState
from devnet.model.automaton import TIMERS, Automaton, Local, Parcel, Setting, core_of
from devnet.model.scope import Scope
from devnet.model.world import CHAIN_ID, key_of, make_header, make_result, sign, verify
from medquorum.block import Header
from medquorum.certificate import pack_signers

N: Final = 4
QUORUM: Final = 3
FALSE_RESULT: Final = bytes(32)

Made = tuple[Header, bytes]
Trick = tuple[object, ...]


@dataclass(slots=True)
class PbftScope(Scope):
    """One height of four validators, one of whom is a liar with a bounded repertoire.

    It proposes two blocks in its turn, votes for everything, wishes with and without a claim, hides
    what is prepared or invents it, and repeats signers. It tells everybody what it likes: whether,
    when and to whom, the search decides.
    """

    liar: int = 1
    _offers: dict[int, int] = field(default_factory=dict)

    @property
    @override
    def needed(self) -> int:
        """The liar signs anything."""
        return QUORUM - 1

    @property
    @override
    def timer(self) -> int:
        """The timer of the round."""
        return TIMERS[TimerKind.ROUND]

    @override
    def group(self, message: Message) -> str:
        """COMMITs change nothing but the decision, which `explore` looks at apart."""
        match message:
            case Proposal():
                return "proposal"
            case Prepare():
                return "prepare"
            case RoundChange() | BlockResponse():
                return "wish"
            case _:
                return ""

    @override
    def essence(self, message: Message) -> Hashable:
        """Proofs in short."""
        match message:
            case Proposal():
                return _trick(message)
            case RoundChange():
                known = next(iter(message.certificate), None)
                proof = 0 if known is None else len(set(known.signatures))
                return ("wish", message.round, message.prepared, proof)
            case BlockResponse():
                return message.header
            case _:
                return message

    @override
    def may_fire(self, local: Local) -> bool:
        """R1, up to the last round of the scope."""
        state = core_of(local).state
        return getattr(state, "wanted", 0) < self.rounds - 1

    @override
    def outline(self, local: Local) -> Hashable:
        """What a validator has said, and what it says next depends on."""
        state = core_of(local).state
        prepared = getattr(state, "prepared", None)
        claim = highest_claim(getattr(state, "justification", NO_JUSTIFICATION))
        return (
            frozenset(local.ledger.said.items()),
            getattr(state, "round", 0),
            getattr(state, "wanted", 0),
            getattr(state, "accepted", b""),
            None if prepared is None else (prepared.round, prepared.block_hash),
            None if claim is None else (claim.round, claim.block_hash),
            frozenset(known.header.hash() for known in local.running),
            frozenset(state.blocks.results),
            TimerKind.ROUND in local.timers,
            local.crashes,
        )

    @override
    def forget(self, local: Local) -> None:
        """What is accepted, prepared, claimed and said stays."""
        state = core_of(local).state
        if not isinstance(state, HeightState):
            return
        me = self.automaton.setting.keys[local.number]
        state.prepares = {
            round_: {me: votes[me]} for round_, votes in state.prepares.items() if me in votes
        }
        state.round_changes = {key: wish for key, wish in state.round_changes.items() if key == me}
        state.proposals_seen.clear()
        state.pending_proof = None
        fresh = CertificateBook(CHAIN_ID, state.height, state.members, verify)
        for known in (*state.justification.certificate, *filter(None, [state.prepared])):
            fresh.add(known)
        state.book = fresh

    @override
    def offers(self, said: int) -> int:
        """Everything in its repertoire that it can make of what was said."""
        known = self._offers.get(said)
        if known is None:
            messages = [parcel.message for parcel in self.automaton.parcels_in(said)]
            known = 0
            for message in self._repertoire(messages):
                parcel = Parcel(self.liar, None, message)
                known |= 1 << self.automaton.number_of(parcel)
            known = self._offers[said] = self.keep(known)
        return known

    def _repertoire(self, heard: list[Message]) -> Iterator[Message]:
        made = {
            message.header.hash(): (message.header, message.body)
            for message in heard
            if isinstance(message, Proposal)
        }
        own: dict[bytes, Made] = {}
        for round_ in range(self.rounds):
            if self._proposer(round_) == self.liar:
                fresh = [self._make(round_, variant) for variant in (b"one", b"two")]
                own |= {header.hash(): (header, body) for header, body in fresh}
        made |= own
        certificates = list(self._certificates(heard, made))
        for round_ in range(self.rounds):
            if self._proposer(round_) == self.liar:
                yield from self._proposals(round_, heard, made, certificates)
            for block in made:
                yield self._prepare(round_, block)
                for result in (self._result(block), FALSE_RESULT):
                    yield self._commit(round_, block, result)
            if round_ > 0:
                yield self._wish(round_, ())
                for known in certificates:
                    if known.round < round_:
                        yield self._wish(round_, (known,))
        for header, body in made.values():
            # Whoever has a block hands it out.
            yield BlockResponse(1, header, body)

    def _proposer(self, round_: int) -> int:
        """P1, by an arithmetic of its own."""
        return (1 + round_) % N

    def _key(self) -> bytes:
        return self.automaton.setting.keys[self.liar]

    def _members(self) -> Members:
        return Members.of(self.automaton.validators)

    def _make(self, round_: int, variant: bytes) -> Made:
        started, members = self.automaton.started, self._members()
        request = Build(
            *(1, round_, self._key(), started.parent_hash, started.parent_result_hash),
            *(members.set_hash, started.parent_time_ms + 1),
        )
        body = b"%s, by the liar in %d" % (variant, round_)
        return make_header(request, body), body

    def _result(self, block: bytes) -> bytes:
        return make_result(block, self.automaton.validators.hash()).hash()

    def _prepare(self, round_: int, block: bytes) -> Prepare:
        signature = sign(self._key(), prepare_bytes(CHAIN_ID, 1, round_, block))
        return Prepare(1, round_, self._key(), block, signature)

    def _commit(self, round_: int, block: bytes, result: bytes) -> Commit:
        signature = sign(self._key(), commit_bytes(CHAIN_ID, 1, round_, block, result))
        return Commit(1, round_, self._key(), block, result, signature)

    def _certificates(
        self, heard: list[Message], made: dict[bytes, Made]
    ) -> Iterator[PreparedCertificate]:
        """Those that hold, with our own vote in them; and some that do not."""
        for round_ in range(self.rounds - 1):
            for block in made:
                votes = {
                    message.signer: message.signature
                    for message in heard
                    if isinstance(message, Prepare)
                    and (message.round, message.block_hash) == (round_, block)
                }
                mine = self._prepare(round_, block)
                votes = dict(sorted(votes.items())[: QUORUM - 1])
                votes[self._key()] = mine.signature
                if len(votes) == QUORUM:
                    yield make_prepared(self._members(), round_, block, votes)
                else:
                    bitmap = pack_signers(range(QUORUM), N)
                    yield PreparedCertificate(round_, block, bitmap, (mine.signature,) * QUORUM)

    def _wish(self, round_: int, certificates: tuple[PreparedCertificate, ...]) -> RoundChange:
        claims = tuple(Prepared(known.round, known.block_hash) for known in certificates)
        signature = sign(self._key(), round_change_bytes(CHAIN_ID, 1, round_, claims))
        return RoundChange(1, round_, self._key(), claims, certificates, signature)

    def _proposals(
        self,
        round_: int,
        heard: list[Message],
        made: dict[bytes, Made],
        certificates: list[PreparedCertificate],
    ) -> Iterator[Proposal]:
        fresh = [
            header.hash()
            for header, body in made.values()
            if body.endswith(b"by the liar in %d" % round_)
        ]
        if round_ == 0:
            for block in fresh:
                yield self._proposal(0, made[block], NO_JUSTIFICATION)
            return
        wishes = {
            message.signer: message
            for message in heard
            if isinstance(message, RoundChange) and message.round == round_
        }
        usable = [known for known in certificates if known.round < round_]
        usable += [known for wish in wishes.values() for known in wish.certificate]
        mine = [self._wish(round_, ()), *(self._wish(round_, (known,)) for known in usable)]
        said: set[Trick] = set()
        for own in {wish.prepared: wish for wish in mine}.values():
            for entries in self._entries(own, wishes):
                for proposal in self._with_each_proof(round_, made, fresh[0], entries, usable):
                    # One of each kind: who signed what, nobody looks at once it holds or does not.
                    trick = _trick(proposal)
                    if trick not in said:
                        said.add(trick)
                        yield proposal

    def _with_each_proof(
        self,
        round_: int,
        made: dict[bytes, Made],
        fresh: bytes,
        entries: tuple[RoundChangeEntry, ...],
        usable: list[PreparedCertificate],
    ) -> Iterator[Proposal]:
        yield self._proposal(round_, made[fresh], Justification(entries, ()))
        for known in usable:
            proof = Justification(entries, (known,))
            yield self._proposal(round_, made[known.block_hash], proof)

    def _entries(
        self, own: RoundChange, wishes: dict[bytes, RoundChange]
    ) -> Iterator[tuple[RoundChangeEntry, ...]]:
        """Enough wishes, too few, and one of them over and over."""
        yield (own.entry(),) * QUORUM
        for size in (QUORUM - 2, QUORUM - 1, QUORUM):
            for others in combinations(sorted(wishes), size):
                chosen = {self._key(): own, **{key: wishes[key] for key in others}}
                order = sorted(chosen, key=self.automaton.setting.keys.index)
                yield tuple(chosen[key].entry() for key in order)

    def _proposal(self, round_: int, made: Made, proof: Justification) -> Proposal:
        header, body = made
        message = proposal_bytes(CHAIN_ID, 1, round_, header.hash())
        return Proposal(1, round_, self._key(), header, body, proof, sign(self._key(), message))


def _trick(proposal: Proposal) -> Trick:
    """What distinguishes one justification from another for whoever has to judge it."""
    proof = proposal.justification
    signers = {entry.signer for entry in proof.entries}
    claims = {claim for entry in proof.entries for claim in entry.prepared}
    known = next(iter(proof.certificate), None)
    return (
        proposal.header.hash(),
        len(signers) == len(proof.entries),
        len(signers) >= QUORUM,
        frozenset((claim.round, claim.block_hash) for claim in claims),
        None if known is None else (known.round, known.block_hash, len(set(known.signatures))),
    )


def pbft_scope(
    liar: int, *, rounds: int = 2, slow_execution: bool = False, crashes: int = 0
) -> PbftScope:
    """The search with this liar. Validator 1 proposes in round 0, validator 2 in round 1."""
    setting = Setting(
        engine="pbft",
        keys=tuple(key_of(number) for number in range(N)),
        byzantine=frozenset({liar}),
        slow_execution=slow_execution,
        endless_replies=True,
        with_log=crashes > 0,
    )
    speed = ", slow execution" if slow_execution else ""
    broken = f", {crashes} crash" if crashes > 0 else ""
    name = f"pbft, validator {liar} lies, {rounds} rounds{speed}{broken}"
    return PbftScope(name, Automaton(setting), rounds, crashes, liar=liar)
