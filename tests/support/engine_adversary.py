"""A Byzantine player: holds the keys of up to f validators, hears everything, says what it likes.

Random noise does not find the bugs of justifications; a proposer that lies on purpose does. So each
trick here is aimed at one rule of docs/spec/pbft.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from consensus.engine import Build, HeightStarted, Send
from consensus.messages import (
    NO_JUSTIFICATION,
    BlockRequest,
    BlockResponse,
    Commit,
    DecidedMessage,
    Justification,
    Message,
    Prepare,
    Prepared,
    PreparedCertificate,
    Proposal,
    RoundChange,
    RoundChangeEntry,
    RoundProof,
    Status,
    commit_bytes,
    prepare_bytes,
    proposal_bytes,
    round_change_bytes,
)
from consensus.pbft.proofs import make_prepared
from consensus.pbft.turns import turns_of
from medquorum.block import Header
from medquorum.certificate import make_certificate, pack_signers
from tests.support.engine_world import CHAIN_ID, make_header, make_result, sign
from tests.support.engines import Cluster

Made = tuple[Header, bytes]


@dataclass(slots=True)
class Adversary:
    """Plays the puppets of a cluster. `zeal` is the probability of a trick per message heard."""

    cluster: Cluster
    keys: tuple[bytes, ...]
    zeal: float
    wishes: dict[tuple[int, int], dict[bytes, RoundChange]] = field(default_factory=dict)
    prepares: dict[tuple[int, int, bytes], dict[bytes, bytes]] = field(default_factory=dict)
    made: dict[bytes, Made] = field(default_factory=dict)
    count: int = 0

    def watch(self) -> None:
        """Start to listen."""
        self.cluster.watchers.append(self._hear)

    def _hear(self, _sender: bytes, send: Send) -> None:
        message = send.message
        match message:
            case RoundChange():
                wishes = self.wishes.setdefault((message.height, message.round), {})
                wishes[message.signer] = message
            case Prepare():
                place = (message.height, message.round, message.block_hash)
                self.prepares.setdefault(place, {})[message.signer] = message.signature
            case Proposal():
                self.made[message.header.hash()] = (message.header, message.body)
            case BlockRequest() if send.to in self.keys:
                self._answer(_sender, send.to, message)
            case _:
                pass
        if self.cluster.rng.random() < self.zeal:
            self._play(message)

    def _play(self, heard: Message) -> None:
        rng = self.cluster.rng
        puppet = rng.choice(self.keys)
        round_ = getattr(heard, "round", 0)
        started = self._started(heard.height)
        if started is None:
            return
        tricks: list[Callable[[bytes, HeightStarted, int], None]] = [
            self.split,
            self.lie,
            self.lie,
            self.lie,
            self.vote_for_all,
            self.wish,
            self.shout,
        ]
        rng.choice(tricks)(puppet, started, round_)

    def _started(self, height: int) -> HeightStarted | None:
        for host in self.cluster.correct:
            started = host.started()
            if started.height == height:
                return started
        return None

    def _some(self) -> list[bytes]:
        keys = [key for key in self.cluster.keys if key not in self.keys]
        return [key for key in keys if self.cluster.rng.random() < 0.6] or keys

    def _make(self, started: HeightStarted, proposer: bytes) -> bytes:
        self.count += 1
        request = Build(
            started.height,
            0,
            proposer,
            started.parent_hash,
            started.parent_result_hash,
            self.cluster.members.set_hash,
            started.parent_time_ms + 1,
        )
        body = f"made by the adversary, {self.count}".encode()
        header = make_header(request, body, 0)
        self.made[header.hash()] = (header, body)
        return header.hash()

    def _propose(
        self, key: bytes, height: int, round_: int, block: bytes, proof: Justification
    ) -> Proposal:
        header, body = self.made[block]
        signature = sign(key, proposal_bytes(CHAIN_ID, height, round_, block))
        return Proposal(height, round_, key, header, body, proof, signature)

    def back(self, height: int, round_: int, block: bytes, to: list[bytes]) -> None:
        """All puppets vote for a block, whatever it is."""
        rng = self.cluster.rng
        result = make_result(block, self.cluster.validators).hash()
        if rng.random() < 0.2:
            result = bytes(32)
        for key in self.keys:
            prepared = sign(key, prepare_bytes(CHAIN_ID, height, round_, block))
            committed = sign(key, commit_bytes(CHAIN_ID, height, round_, block, result))
            self.prepares.setdefault((height, round_, block), {})[key] = prepared
            for receiver in to:
                prepare = Prepare(height, round_, key, block, prepared)
                commit = Commit(height, round_, key, block, result, committed)
                self.cluster.transmit(key, receiver, prepare)
                self.cluster.transmit(key, receiver, commit)

    def split(self, puppet: bytes, started: HeightStarted, round_: int) -> None:
        """In its turn in round 0: one block for some, another for the rest."""
        height = started.height
        key = turns_of(started).proposer(0)
        if round_ != 0 or key not in self.keys:
            self.vote_for_all(puppet, started, round_)
            return
        for receivers in (self._some(), self._some()):
            block = self._make(started, key)
            proposal = self._propose(key, height, 0, block, NO_JUSTIFICATION)
            for receiver in receivers:
                self.cluster.transmit(key, receiver, proposal)
            self.back(height, 0, block, receivers)

    def lie(self, _puppet: bytes, started: HeightStarted, round_: int) -> None:
        """In its turn: a justification that hides, invents or repeats."""
        height, members, turns = started.height, self.cluster.members, turns_of(started)
        for later in range(max(1, round_), round_ + members.n + 1):
            key = turns.proposer(later)
            heard = self.wishes.get((height, later), {})
            if key in self.keys and len(heard) > 0:
                block, proof = self._false_proof(started, key, later, heard)
                receivers = self._some()
                for receiver in receivers:
                    proposal = self._propose(key, height, later, block, proof)
                    self.cluster.transmit(key, receiver, proposal)
                self.back(height, later, block, receivers)

    def _entry(
        self, key: bytes, height: int, round_: int, claims: tuple[Prepared, ...]
    ) -> RoundChangeEntry:
        message = round_change_bytes(CHAIN_ID, height, round_, claims)
        return RoundChangeEntry(key, claims, sign(key, message))

    def _false_proof(
        self, started: HeightStarted, key: bytes, round_: int, heard: dict[bytes, RoundChange]
    ) -> tuple[bytes, Justification]:
        rng, members, height = self.cluster.rng, self.cluster.members, started.height
        entries = {signer: wish.entry() for signer, wish in heard.items()}
        for mine in self.keys:
            entries[mine] = self._entry(mine, height, round_, ())
        certificates = [known for wish in heard.values() for known in wish.certificate]
        order = sorted(entries.values(), key=lambda entry: members.position[entry.signer])
        modest = sorted(order, key=lambda entry: [claim.round for claim in entry.prepared])
        fresh = self._make(started, key)
        trick = rng.choice(("hide", "repeat", "few", "lower", "invent", "drop", "honest"))
        if trick == "hide":
            kept = modest[: members.quorum]
            return fresh, self._proof(kept, ())
        if trick == "repeat":
            kept = [modest[0]] * (members.quorum - 1) + [modest[-1 if rng.random() < 0.3 else 0]]
            return fresh, Justification(tuple(kept), ())
        if trick == "few":
            return fresh, self._proof(modest[: max(1, members.quorum - 1)], ())
        if trick == "drop":
            return fresh, self._proof(order[: members.quorum], ())
        if trick == "invent":
            certificate = self._false_certificate(key, height, round_ - 1, fresh)
            claim = (Prepared(certificate.round, fresh),)
            entries[key] = self._entry(key, height, round_, claim)
            order = sorted(entries.values(), key=lambda entry: members.position[entry.signer])
            return fresh, self._proof(order, (certificate,))
        ordered = sorted(certificates, key=lambda known: known.round)
        if len(ordered) == 0:
            return fresh, self._proof(order, ())
        chosen = ordered[0] if trick == "lower" else ordered[-1]
        return chosen.block_hash, self._proof(order, (chosen,))

    def _proof(
        self, entries: list[RoundChangeEntry], certificate: tuple[PreparedCertificate, ...]
    ) -> Justification:
        position = self.cluster.members.position
        ordered = sorted(entries, key=lambda entry: position[entry.signer])
        return Justification(tuple(ordered), certificate)

    def _false_certificate(
        self, key: bytes, height: int, round_: int, block: bytes
    ) -> PreparedCertificate:
        """Our own signature, once for each member of a quorum."""
        members = self.cluster.members
        signature = sign(key, prepare_bytes(CHAIN_ID, height, round_, block))
        bitmap = pack_signers(range(members.quorum), members.n)
        return PreparedCertificate(round_, block, bitmap, (signature,) * members.quorum)

    def vote_for_all(self, _puppet: bytes, started: HeightStarted, round_: int) -> None:
        """PREPARE and COMMIT every block of the height."""
        for block, (header, _) in list(self.made.items())[-4:]:
            if header.height == started.height:
                self.back(started.height, round_, block, self._some())

    def wish(self, puppet: bytes, started: HeightStarted, round_: int) -> None:
        """Wish for a round: modestly, or with a certificate that nobody else has."""
        rng, height = self.cluster.rng, started.height
        later = round_ + rng.choice((1, 1, 1, 2, 7))
        claims: tuple[Prepared, ...] = ()
        certificates: tuple[PreparedCertificate, ...] = ()
        hidden = [
            (place, votes)
            for place, votes in self.prepares.items()
            if place[0] == height and place[1] < later and len(votes) >= self.cluster.members.quorum
        ]
        if len(hidden) > 0 and rng.random() < 0.7:
            (_, at, block), votes = rng.choice(hidden)
            claims = (Prepared(at, block),)
            certificates = (make_prepared(self.cluster.members, at, block, votes),)
        elif rng.random() < 0.2:
            block = self._make(started, puppet)
            claims = (Prepared(later - 1, block),)
            certificates = (self._false_certificate(puppet, height, later - 1, block),)
        entry = self._entry(puppet, height, later, claims)
        wish = RoundChange(height, later, puppet, claims, certificates, entry.signature)
        for receiver in self._some():
            self.cluster.transmit(puppet, receiver, wish)

    def shout(self, puppet: bytes, started: HeightStarted, round_: int) -> None:
        """Everything else that can be said falsely."""
        height = started.height
        block = self._make(started, puppet)
        header, body = self.made[block]
        signature = sign(puppet, commit_bytes(CHAIN_ID, height, round_, block, bytes(32)))
        certificate = make_certificate(
            engine="pbft",
            height=height,
            round_=round_,
            block_hash=block,
            result_hash=bytes(32),
            votes=dict.fromkeys(range(self.cluster.members.quorum), signature),
            n=self.cluster.members.n,
        )
        entries = (self._entry(puppet, height, round_ + 1, ()),)
        message: Message = self.cluster.rng.choice(
            (
                DecidedMessage(height, header, body, certificate),
                RoundProof(height, round_ + 1, Justification(entries, ())),
                RoundProof(height, round_ + 1, Justification(entries * 100, ())),
                Status(height + self.cluster.rng.randrange(3), round_ + 5),
                Status(max(0, height - 1), 0),
                BlockRequest(height, block),
                BlockResponse(height, header, b"another body"),
            )
        )
        for receiver in self._some():
            self.cluster.transmit(puppet, receiver, message)

    def _answer(self, asker: bytes, puppet: bytes, request: BlockRequest) -> None:
        """Keep back a block, or send one whose body is not its own."""
        known = self.made.get(request.block_hash)
        if known is not None and self.cluster.rng.random() < 0.5:
            response = BlockResponse(request.height, known[0], known[1])
            if self.cluster.rng.random() < 0.5:
                response = replace_body(response)
            self.cluster.transmit(puppet, asker, response)


def replace_body(response: BlockResponse) -> BlockResponse:
    """The same header with a body that is not its own."""
    return BlockResponse(response.height, response.header, b"another body")
