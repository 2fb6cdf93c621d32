"""Byzantine validators that lie about PBFT's rules on purpose, together, knowing all that is said.

Random noise does not find the bugs of justifications; a proposer that hides what was prepared does.
Each trick is aimed at one rule of docs/spec/pbft.md. The adversary has real keys, real blocks and
the real results of executing them: whatever an honest node lets pass, it can exploit.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

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
    decode_message,
    encode_message,
    prepare_bytes,
    proposal_bytes,
    round_change_bytes,
)
from consensus.pbft.members import Members
from consensus.pbft.proofs import make_prepared
from consensus.pbft.turns import turns_of
from devnet.sim.machine import Machine
from devnet.sim.network import Net
from devnet.sim.scene import Scene, justification, kept
from medquorum import merkle
from medquorum.block import Header
from medquorum.certificate import make_certificate, pack_signers
from medquorum.codec import encode
from medquorum.keys import SigningKey
from node.ledger.errors import UnservedCodeError
from node.ledger.limits import BLOCK_BYTES_MAX, BLOCK_OPERATIONS_MAX
from node.wire import BlockBody, FrameKind, decode_body
from p2p.model import Lane

TXS_MAX: Final = 20
"""Transactions in a block of the adversary's."""
FALSE_TURNS: Final = 0.5
"""Of its turns in later rounds those that it uses: another proposal would come too late."""


@dataclass(slots=True)
class Adversary:
    """Implements network.Tap. `zeal` is the probability of a trick per vote heard."""

    net: Net[Machine]
    keys: dict[bytes, SigningKey]
    zeal: float
    wishes: OrderedDict[tuple[int, int], dict[bytes, RoundChange]] = field(
        default_factory=OrderedDict
    )
    prepares: OrderedDict[tuple[int, int, bytes], dict[bytes, bytes]] = field(
        default_factory=OrderedDict
    )
    made: OrderedDict[bytes, tuple[Header, bytes]] = field(default_factory=OrderedDict)
    results: OrderedDict[bytes, bytes] = field(default_factory=OrderedDict)
    count: int = 0
    _last: bytes = b""
    _speaks_instead: bool = False

    def outgoing(
        self, sender: Machine, key: bytes, kind: int, payload: bytes
    ) -> list[tuple[bytes, int, bytes]] | None:
        """See Tap. Its own nodes go on as if nothing were: that keeps it in the know."""
        del key
        if kind == FrameKind.CONSENSUS and payload is not self._last:
            self._last = payload
            message = decode_message(payload)
            # Not inside the call of the node that is speaking: it has more to say first.
            self.net.world.later(1, lambda: self._hear(sender, message))
            self._speaks_instead = self._takes_turn(message)
        return [] if kind == FrameKind.CONSENSUS and self._speaks_instead else None

    def _takes_turn(self, message: Message) -> bool:
        """Whether one of ours is about to propose in a later round, and lies instead."""
        match message:
            case Proposal(signer=key, round=round_) if round_ > 0 and key in self.keys:
                scene = self._scene(message.height)
                if scene is not None and self.net.world.rng.chance(FALSE_TURNS):
                    self.net.world.later(2, lambda: self.lie(key, scene, round_))
                    return True
        return False

    @property
    def chain_id(self) -> bytes:
        """Of the chain that is attacked."""
        return self.net.machines[0].genesis.chain_id()

    def _hear(self, sender: Machine, message: Message) -> None:
        match message:
            case RoundChange():
                wishes = kept(self.wishes, (message.height, message.round), {})
                wishes[message.signer] = message
            case Prepare():
                place = (message.height, message.round, message.block_hash)
                kept(self.prepares, place, {})[message.signer] = message.signature
            case Proposal():
                kept(self.made, message.header.hash(), (message.header, message.body))
            case BlockRequest():
                self._answer(sender, message)
            case _:
                pass
        if self.net.world.rng.chance(self.zeal):
            self._play(message)

    def _play(self, heard: Message) -> None:
        rng = self.net.world.rng
        scene = self._scene(heard.height)
        mine = [] if scene is None else [k for k in scene.members.keys if k in self.keys]
        if scene is None or len(mine) == 0:
            return
        tricks: tuple[Callable[[bytes, Scene, int], None], ...] = (
            self.split,
            self.lie,
            self.lie,
            self.lie,
            self.vote_for_all,
            self.wish,
            self.shout,
            self.impersonate,
        )
        rng.choice(tricks)(rng.choice(mine), scene, getattr(heard, "round", 0))

    def _scene(self, height: int) -> Scene | None:
        for machine in self.net.machines:
            node = machine.node
            if node is not None and node.chain.tip.height + 1 == height:
                tip, turns = node.chain.tip, turns_of(node.work.height_started())
                return Scene(node, tip, Members.of(tip.validators), turns)
        return None

    def _some(self, scene: Scene) -> list[bytes]:
        keys = [key for key in scene.members.keys if key not in self.keys]
        return [key for key in keys if self.net.world.rng.chance(0.6)] or keys

    def _say(self, scene: Scene, key: bytes, receiver: bytes, message: Message) -> None:
        """Put a message on the wire, from the machine that has this vote key."""
        nodes = {v.key: v.node_key for v in scene.tip.validators.validators}
        payload = encode_message(message)
        for machine in self.net.machines:
            if machine.validator is not None and machine.validator.public == key:
                self.net.transmit(
                    machine, nodes[receiver], Lane.CONSENSUS, FrameKind.CONSENSUS, payload
                )

    def _sign(self, key: bytes, message: bytes) -> bytes:
        return self.keys[key].sign(message)

    def _make(self, scene: Scene, proposer: bytes) -> bytes:
        """A block that honest nodes find valid, unlike any other."""
        self.count += 1
        rng, tip = self.net.world.rng, scene.tip
        pending = scene.node.pool.candidates(
            txs_max=TXS_MAX, bytes_max=BLOCK_BYTES_MAX, operations_max=BLOCK_OPERATIONS_MAX
        )
        pooled = [tx.id for tx in pending if rng.chance(0.5)]
        time_ms = max(tip.time_ms + 1, scene.node.now_ms()) + self.count % 1_000
        header = Header(
            version=1,
            chain_id=self.chain_id,
            height=scene.height,
            time_ms=time_ms,
            proposer=proposer,
            parent=tip.block_hash,
            parent_result=tip.result_hash,
            validators_hash=scene.members.set_hash,
            txs_root=merkle.root(pooled),
            tx_count=len(pooled),
        )
        kept(self.made, header.hash(), (header, encode(BlockBody(tuple(pooled)))))
        return header.hash()

    def _result(self, scene: Scene, block: bytes) -> bytes:
        """What executing a block gives: the truth, so that honest votes join the false ones."""
        if block not in self.made:
            return bytes(32)
        if block not in self.results:
            header, body = self.made[block]
            found = [scene.node.bodies.find(tx_id) for tx_id in decode_body(body).tx_ids]
            known = [tx for tx in found if tx is not None]
            # Its state may be a height ahead of its tip: written, and not yet told to anyone.
            chain = scene.node.chain
            if len(known) < len(found) or header.height != chain.state.height() + 1:
                return bytes(32)
            if chain.state.height() != chain.tip.height:
                return bytes(32)
            try:
                executed = chain.execute(header, known)
            except UnservedCodeError:
                return bytes(32)
            kept(self.results, block, executed.result.hash())
        return self.results[block]

    def _propose(
        self, scene: Scene, key: bytes, round_: int, block: bytes, proof: Justification
    ) -> Proposal:
        header, body = self.made[block]
        signature = self._sign(key, proposal_bytes(self.chain_id, scene.height, round_, block))
        return Proposal(scene.height, round_, key, header, body, proof, signature)

    def back(self, scene: Scene, round_: int, block: bytes, to: list[bytes]) -> None:
        """All of ours vote for a block, whatever it is."""
        rng, height = self.net.world.rng, scene.height
        result = bytes(32) if rng.chance(0.2) else self._result(scene, block)
        for key in scene.members.keys:
            if key not in self.keys:
                continue
            prepared = self._sign(key, prepare_bytes(self.chain_id, height, round_, block))
            committed = self._sign(key, commit_bytes(self.chain_id, height, round_, block, result))
            kept(self.prepares, (height, round_, block), {})[key] = prepared
            for receiver in to:
                self._say(scene, key, receiver, Prepare(height, round_, key, block, prepared))
                vote = Commit(height, round_, key, block, result, committed)
                self._say(scene, key, receiver, vote)

    def impersonate(self, puppet: bytes, scene: Scene, round_: int) -> None:
        """Votes of everybody for a block of ours, with signatures that are not theirs."""
        block, height = self._make(scene, puppet), scene.height
        header, body = self.made[block]
        result, signature = self._result(scene, block), self._sign(puppet, block)
        proposer = scene.turns.proposer(round_)
        if round_ == 0 and proposer in self.keys:
            proposal = self._propose(scene, proposer, 0, block, NO_JUSTIFICATION)
        else:
            proposal = Proposal(height, round_, proposer, header, body, NO_JUSTIFICATION, signature)
        for receiver in self._some(scene):
            self._say(scene, puppet, receiver, proposal)
            for key in scene.members.keys:
                if key != receiver:
                    vote = Commit(height, round_, key, block, result, signature)
                    self._say(scene, puppet, receiver, vote)

    def split(self, puppet: bytes, scene: Scene, round_: int) -> None:
        """In its turn in round 0: one block for some, another for the rest."""
        key = scene.turns.proposer(0)
        if round_ != 0 or key not in self.keys:
            self.vote_for_all(puppet, scene, round_)
            return
        for receivers in (self._some(scene), self._some(scene)):
            block = self._make(scene, key)
            proposal = self._propose(scene, key, 0, block, NO_JUSTIFICATION)
            for receiver in receivers:
                self._say(scene, key, receiver, proposal)
            self.back(scene, 0, block, receivers)

    def lie(self, _puppet: bytes, scene: Scene, round_: int) -> None:
        """In its turn: a justification that hides, invents or repeats."""
        members = scene.members
        for later in range(max(1, round_), round_ + members.n + 1):
            key = scene.turns.proposer(later)
            heard = self.wishes.get((scene.height, later), {})
            if key in self.keys and len(heard) > 0:
                block, proof = self._false_proof(scene, key, later, heard)
                if block not in self.made:
                    # Making a fresh one for the proof may have pushed an old one out of memory.
                    continue
                receivers = self._some(scene)
                proposal = self._propose(scene, key, later, block, proof)
                for receiver in receivers:
                    self._say(scene, key, receiver, proposal)
                self.back(scene, later, block, receivers)

    def _entry(
        self, key: bytes, height: int, round_: int, claims: tuple[Prepared, ...]
    ) -> RoundChangeEntry:
        message = round_change_bytes(self.chain_id, height, round_, claims)
        return RoundChangeEntry(key, claims, self._sign(key, message))

    def _false_proof(
        self, scene: Scene, key: bytes, round_: int, heard: dict[bytes, RoundChange]
    ) -> tuple[bytes, Justification]:
        rng, members, height = self.net.world.rng, scene.members, scene.height
        entries = {s: wish.entry() for s, wish in heard.items() if s in members.position}
        for mine in members.keys:
            if mine in self.keys:
                entries[mine] = self._entry(mine, height, round_, ())
        certificates = [known for wish in heard.values() for known in wish.certificate]
        certificates = [known for known in certificates if known.block_hash in self.made]
        order = sorted(entries.values(), key=lambda entry: members.position[entry.signer])
        modest = sorted(order, key=lambda entry: [claim.round for claim in entry.prepared])
        fresh = self._make(scene, key)
        match rng.choice(("hide", "repeat", "few", "lower", "invent", "drop", "honest")):
            case "hide":
                return fresh, justification(members, modest[: members.quorum], ())
            case "repeat":
                last = modest[-1 if rng.chance(0.3) else 0]
                return fresh, Justification((modest[0],) * (members.quorum - 1) + (last,), ())
            case "few":
                return fresh, justification(members, modest[: max(1, members.quorum - 1)], ())
            case "drop":
                return fresh, justification(members, order[: members.quorum], ())
            case "invent":
                certificate = self._false_certificate(members, key, height, round_ - 1, fresh)
                entries[key] = self._entry(
                    key, height, round_, (Prepared(certificate.round, fresh),)
                )
                return fresh, justification(members, list(entries.values()), (certificate,))
            case trick:
                ordered = sorted(certificates, key=lambda known: known.round)
                if len(ordered) == 0:
                    return fresh, justification(members, order, ())
                chosen = ordered[0] if trick == "lower" else ordered[-1]
                return chosen.block_hash, justification(members, order, (chosen,))

    def _false_certificate(
        self, members: Members, key: bytes, height: int, round_: int, block: bytes
    ) -> PreparedCertificate:
        """Our own signature, once for each member of a quorum."""
        signature = self._sign(key, prepare_bytes(self.chain_id, height, round_, block))
        bitmap = pack_signers(range(members.quorum), members.n)
        return PreparedCertificate(round_, block, bitmap, (signature,) * members.quorum)

    def vote_for_all(self, _puppet: bytes, scene: Scene, round_: int) -> None:
        """PREPARE and COMMIT every block of the height."""
        for block, (header, _) in list(self.made.items())[-4:]:
            if header.height == scene.height:
                self.back(scene, round_, block, self._some(scene))

    def wish(self, puppet: bytes, scene: Scene, round_: int) -> None:
        """Wish for a round: modestly, or with a certificate that nobody else has."""
        rng, height, members = self.net.world.rng, scene.height, scene.members
        later = round_ + rng.choice((1, 1, 1, 2, 7))
        claims: tuple[Prepared, ...] = ()
        certificates: tuple[PreparedCertificate, ...] = ()
        hidden = [
            (place, votes)
            for place, votes in self.prepares.items()
            if place[0] == height and place[1] < later and len(votes) >= members.quorum
        ]
        if len(hidden) > 0 and rng.chance(0.7):
            (_, at, block), votes = rng.choice(hidden)
            claims = (Prepared(at, block),)
            certificates = (make_prepared(members, at, block, votes),)
        elif rng.chance(0.2):
            block = self._make(scene, puppet)
            claims = (Prepared(later - 1, block),)
            certificates = (self._false_certificate(members, puppet, height, later - 1, block),)
        entry = self._entry(puppet, height, later, claims)
        message = RoundChange(height, later, puppet, claims, certificates, entry.signature)
        for receiver in self._some(scene):
            self._say(scene, puppet, receiver, message)

    def shout(self, puppet: bytes, scene: Scene, round_: int) -> None:
        """Everything else that can be said falsely."""
        rng, height, members = self.net.world.rng, scene.height, scene.members
        block = self._make(scene, puppet)
        header, body = self.made[block]
        message = commit_bytes(self.chain_id, height, round_, block, bytes(32))
        certificate = make_certificate(
            engine="pbft",
            height=height,
            round_=round_,
            block_hash=block,
            result_hash=bytes(32),
            votes=dict.fromkeys(range(members.quorum), self._sign(puppet, message)),
            n=members.n,
        )
        entries = (self._entry(puppet, height, round_ + 1, ()),)
        lies: tuple[Message, ...] = (
            DecidedMessage(height, header, body, certificate),
            RoundProof(height, round_ + 1, Justification(entries, ())),
            RoundProof(height, round_ + 1, Justification(entries * 100, ())),
            Status(height + rng.randrange(3), round_ + 5),
            Status(max(0, height - 1), 0),
            BlockRequest(height, block),
            BlockResponse(height, header, b"another body"),
        )
        said = rng.choice(lies)
        for receiver in self._some(scene):
            self._say(scene, puppet, receiver, said)

    def _answer(self, asker: Machine, request: BlockRequest) -> None:
        """Send a block whose body is not its own to somebody who needs it."""
        scene, known = self._scene(request.height), self.made.get(request.block_hash)
        if scene is None or known is None or asker.validator is None:
            return
        key = asker.validator.public
        mine = [k for k in scene.members.keys if k in self.keys]
        if len(mine) > 0 and key in scene.members.position and self.net.world.rng.chance(0.5):
            response = BlockResponse(request.height, known[0], b"another body")
            self._say(scene, mine[0], key, response)
