"""What must hold of every run (design invariants S1 to S7, L1 to L3), seen from outside the nodes.

The checkers have their own arithmetic and keep their own books; they ask no replica's opinion.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from consensus.engine import Effects, Event, HeightStarted
from consensus.messages import (
    Commit,
    LogRecord,
    Message,
    SignedMessage,
    Vote,
    decode_message,
    vote_payload,
    vote_phase,
    vote_position,
)
from consensus.raft.messages import ACK_PHASE, Ack, AckedRecord, RaftVote, raft_payload
from devnet.sim.allowed import Allowed
from devnet.sim.checks_evidence import EvidenceChecks
from devnet.sim.checks_raft import RaftChecks
from devnet.sim.checks_turns import TurnsChecks
from devnet.sim.machine import Machine
from devnet.sim.world import World
from medquorum.block import Result, ValidatorSet
from medquorum.certificate import CommitCertificate, VoteTag, unpack_signers, vote_bytes
from medquorum.errors import DecodeError
from medquorum.genesis import Genesis
from medquorum.keys import verify
from node.limits import FETCHED_TXS_KEPT, INBOX_EVENTS_MAX, INTAKE_TXS_MAX
from node.wire import FrameKind
from storage.chain import CommittedBlock

CONTRADICTIONS_MIN: Final = 6
"""So many contradictions are not all lost, late, or by somebody who votes no more."""

SLACK_EVENTS: Final = 1_000
"""How far the inbox may exceed its limit: own answers are never dropped, and they are few."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What a height is, for everybody and for ever."""

    block_hash: bytes
    result_hash: bytes
    by: str


class Checker:
    """Sees what every machine says, commits and dies of. Implements machine.Observer.

    `byzantine` are the vote keys that lie; everything is demanded of all the others.
    """

    def __init__(self, world: World, genesis: Genesis, byzantine: frozenset[bytes]) -> None:
        self.world = world
        self.genesis = genesis
        self.byzantine = byzantine
        self.allowed = Allowed()
        self.settled: dict[int, Settled] = {}
        self.sets: dict[int, ValidatorSet] = {1: genesis.validator_set()}
        self.where: dict[bytes, tuple[int, int, str]] = {}
        """Height, place and outcome of every transaction that an honest node committed."""
        self.evidence: Counter[str] = Counter()
        self.proofs = EvidenceChecks(world.fail, genesis, byzantine)
        self.reasons: Counter[str] = Counter()
        self.stops: Counter[str] = Counter()
        self.rounds: dict[int, int] = {}
        """The round in which a height was decided, by the first certificate that was seen."""
        self.votes = 0
        self.height = 0
        """The highest height that an honest node has committed."""
        self._tips: dict[str, int] = {}
        self._said: dict[tuple[bytes, int, int, int], tuple[bytes | int, ...]] = {}
        self._results: dict[tuple[bytes, int, bytes], bytes] = {}
        self._commits: dict[tuple[int, int, bytes, bytes], set[bytes]] = {}
        self._bad_nodes = {v.node_key for v in genesis.validators if v.key in byzantine}
        self._shown: dict[
            tuple[str, bytes, int, int, int], tuple[tuple[bytes | int, ...], int]
        ] = {}
        self._last: tuple[bytes, Message] | None = None
        self._kept: dict[str, list[Ack]] = {}
        """Acks of leaders for themselves that are perhaps not on their disks yet, by machine."""
        self.turns = TurnsChecks(world.fail)
        self.raft = RaftChecks(world.fail, self._could_settle, self.sets.get, genesis.chain_id())

    def is_honest(self, machine: Machine) -> bool:
        """Whether everything is demanded of this machine."""
        return machine.validator is None or machine.validator.public not in self.byzantine

    @property
    def rounds_max(self) -> int:
        """The highest round in which anything was decided."""
        return max(self.rounds.values(), default=0)

    def said(self, key: bytes) -> set[tuple[int, int, int]]:
        """Height, round and phase of every vote that an honest validator has let out."""
        return {place[1:] for place in self._said if place[0] == key}

    def _tip_is(self, machine: Machine, height: int) -> None:
        self._tips[machine.name] = height
        self.height = max(self._tips.values())

    # S1, S3, S4: what is committed.

    def committed(self, machine: Machine, block: CommittedBlock) -> None:
        """An honest node's chain has grown."""
        header, certificate = block.header, block.certificate
        self.world.mix(machine.name.encode() + certificate.block_hash + certificate.result_hash)
        if not self.is_honest(machine):
            return
        self._count_kept(machine)
        self.turns.committed(header)
        self._tip_is(machine, header.height)
        self.rounds.setdefault(header.height, certificate.round)
        new = header.height not in self.settled
        self._settles(header.height, header.hash(), block.result.hash(), machine.name)
        if not new and header.height + 1 in self.sets:
            return
        self._check_certificate(header.hash(), header.height, block.result, certificate)
        if self.genesis.engine == "raft":
            self.raft.committed(header, certificate)
        self.sets[header.height + 1] = block.next_validators
        self.world.note(
            f"{machine.name}: height {header.height} round {certificate.round}"
            f" txs {header.tx_count} {header.hash().hex()[:12]}"
        )
        for outcome in block.outcomes:
            place = (header.height, outcome.index, outcome.code)
            if self.where.setdefault(outcome.tx_id, place) != place:
                self.world.fail(f"S4: {outcome.tx_id.hex()[:16]} was executed twice")

    def _settles(self, height: int, block_hash: bytes, result_hash: bytes, by: str) -> None:
        known = self.settled.setdefault(height, Settled(block_hash, result_hash, by))
        if known.block_hash != block_hash:
            self.world.fail(f"S1: height {height}: {by} has another block than {known.by}")
        elif known.result_hash != result_hash:
            self.world.fail(f"S3: height {height}: {by} has another result than {known.by}")

    def _could_settle(self, height: int, block_hash: bytes, result_hash: bytes) -> None:
        self._settles(height, block_hash, result_hash, "a possible certificate")

    def _check_certificate(
        self, block_hash: bytes, height: int, result: Result, certificate: CommitCertificate
    ) -> None:
        members = self.sets[height].validators
        signers = unpack_signers(certificate.signers, len(members))
        tag = VoteTag.COMMIT if self.genesis.engine == "pbft" else VoteTag.ACK
        message = vote_bytes(
            tag,
            self.genesis.chain_id(),
            height,
            certificate.round,
            (block_hash, result.hash()),
        )
        pairs = zip(signers, certificate.signatures, strict=True)
        if len(set(signers)) < self.quorum(len(members)) or not all(
            verify(members[place].key, message, signature) for place, signature in pairs
        ):
            self.world.fail(f"S1: the certificate of height {height} does not hold")

    def quorum(self, n: int) -> int:
        """How many of n must sign: written down a second time, not borrowed from the engine."""
        return -(-2 * n // 3) if self.genesis.engine == "pbft" else n // 2 + 1

    # S2: what is said.

    def sent(self, machine: Machine, kind: int, payload: bytes) -> None:
        """A frame leaves a machine."""
        self.world.mix(payload[:64])
        if kind != FrameKind.CONSENSUS or not self.is_honest(machine):
            return
        if self._last is None or self._last[0] is not payload:
            self._last = (payload, decode_message(payload))
            message = self._last[1]
            if machine.validator is None:
                return
            if isinstance(message, SignedMessage):
                self._voted(machine, machine.validator.public, message)
            else:
                # A decision may be the first that others hear of the leader's own ack.
                self._count_kept(machine)
                self.raft.told(machine.name, machine.validator.public, message)

    def _voted(self, machine: Machine, key: bytes, vote: SignedMessage) -> None:
        position = vote_position(vote)
        if vote.signer != key or machine.node is None or position is None:
            return
        self._count_kept(machine)
        self.votes += 1
        place = (position.height, position.round, position.phase)
        payload = raft_payload(vote) if isinstance(vote, RaftVote) else vote_payload(vote)
        said = self._said.setdefault((key, *place), payload)
        if said != payload:
            self.world.fail(f"S2: {machine.name} said two things at {place}")
        disk, home, guard = machine.disk, machine.home, machine.node.stores.guard
        if not (disk.is_synced(home.consensus_log) and disk.is_synced(home.sign_state)):
            self.world.fail(f"S2: {machine.name} voted at {place} before it was durable")
        if guard is None or guard.last is None or guard.last < place:
            self.world.fail(f"S2: {machine.name} voted at {place} past its sign state")
        if isinstance(vote, Commit | Ack):
            self._one_result(machine, key, vote)
        if isinstance(vote, Commit):
            self._commit_said(key, vote)
        elif isinstance(vote, RaftVote):
            self.raft.said(machine.name, vote)

    def _count_kept(self, machine: Machine) -> None:
        """A leader's ack counts as soon as it is on its own disk, which the sign state shows."""
        kept = self._kept.get(machine.name)
        if not kept or machine.node is None:
            return
        guard = machine.node.stores.guard
        last = (0, 0, 0) if guard is None or guard.last is None else guard.last
        self._kept[machine.name] = []
        for ack in kept:
            if last >= (ack.height, ack.term, ACK_PHASE):
                self._voted(machine, ack.signer, ack)
            else:
                self._kept[machine.name].append(ack)

    def _forget_unkept(self, machine: Machine, records: Sequence[LogRecord]) -> None:
        """A leader's ack that was not in its log when it died was never said."""
        self._count_kept(machine)
        logged = {(r.height, r.term, r.block_hash) for r in records if isinstance(r, AckedRecord)}
        self._kept[machine.name] = [
            ack
            for ack in self._kept.get(machine.name, [])
            if (ack.height, ack.term, ack.block_hash) in logged
        ]

    def _one_result(self, machine: Machine, key: bytes, vote: Commit | Ack) -> None:
        signed = self._results.setdefault((key, vote.height, vote.block_hash), vote.result_hash)
        if signed != vote.result_hash:
            self.world.fail(f"S2: {machine.name} signed two results of one block")

    def _commit_said(self, key: bytes, vote: Commit) -> None:
        members = self.sets.get(vote.height)
        if members is None:
            return
        keys = {validator.key for validator in members.validators}
        choice = (vote.height, vote.round, vote.block_hash, vote.result_hash)
        signers = self._commits.setdefault(choice, set())
        signers.add(key)
        # A certificate that could exist counts as one: Byzantine validators sign anything.
        if len(signers & keys) + len(self.byzantine & keys) >= self.quorum(len(keys)):
            self._could_settle(vote.height, vote.block_hash, vote.result_hash)

    def received(self, machine: Machine, peer: bytes, kind: int, payload: bytes) -> None:
        """Note where an honest node is shown a contradiction: it must not keep that to itself."""
        if kind != FrameKind.CONSENSUS or peer not in self._bad_nodes or machine.node is None:
            return
        if not self.is_honest(machine):
            return
        try:
            vote = decode_message(payload)
        except DecodeError:
            return
        status = machine.node.driver.engine.status()
        if not isinstance(vote, Vote) or (vote.height, vote.round) != (status.height, status.round):
            return
        if not verify(vote.signer, vote.signed_bytes(self.genesis.chain_id()), vote.signature):
            # A forged vote convicts nobody.
            return
        place = (machine.name, vote.signer, vote.height, vote.round, vote_phase(vote))
        shown = self._shown.setdefault(place, (vote_payload(vote), 1))
        if shown[0] != vote_payload(vote):
            self._shown[place] = (shown[0], 2)

    def check_evidence(self) -> None:
        """Contradictions that honest nodes saw were reported by some of them."""
        contradictions = sum(times > 1 for _, times in self._shown.values())
        if contradictions >= CONTRADICTIONS_MIN and sum(self.evidence.values()) == 0:
            self.world.fail(f"{contradictions} contradictions were shown, and nobody has evidence")

    def stepped(self, machine: Machine, event: Event, effects: Effects) -> None:
        """No honest validator is convicted, blamed, or made to halt; all know the same turns."""
        self._keep_acks(machine, effects)
        for evidence in effects.evidence:
            self.evidence[evidence.kind] += 1
            if self.is_honest(machine):
                self.proofs.found(machine, evidence)
            if evidence.validator not in self.byzantine:
                self.world.fail(f"{machine.name} convicts an honest validator: {evidence.kind}")
        self.reasons.update(effects.dropped)
        if not self.is_honest(machine):
            return
        if isinstance(event, HeightStarted) and machine.node and self.genesis.engine == "pbft":
            self.turns.started(machine.name, event, machine.node.driver.engine.status())
        for fault in effects.faults:
            self.reasons[fault.reason] += 1
            if fault.peer not in self.byzantine | self.allowed.forgers:
                self.world.fail(f"{machine.name} blames an honest validator: {fault.reason}")
        if effects.halt is not None and effects.halt.reason not in self.allowed.halts:
            self.world.fail(f"{machine.name} halts: {effects.halt.reason} {effects.halt.detail}")

    def _keep_acks(self, machine: Machine, effects: Effects) -> None:
        """What a leader says to itself does not pass the network."""
        self._count_kept(machine)
        key = None if machine.validator is None else machine.validator.public
        for send in effects.send:
            if send.to == key and isinstance(send.message, Ack):
                self._kept.setdefault(machine.name, []).append(send.message)

    # S5, S7: what survives, and what ends.

    def booted(self, machine: Machine) -> None:
        """What was durable before is still there."""
        if machine.node is None or not self.is_honest(machine):
            return
        chain = machine.node.chain
        known = min(self._tips.get(machine.name, 0), machine.durable)
        if machine.amnesiac:
            machine.amnesiac = False
            self._kept.pop(machine.name, None)
            self._tip_is(machine, chain.tip.height)
        elif chain.tip.height < known:
            self.world.fail(f"S5: {machine.name} had {known} and came back at {chain.tip.height}")
        self._forget_unkept(machine, machine.node.stores.records)
        # A height may have become durable in the very moment in which the node died.
        for height in range(self._tips.get(machine.name, 0) + 1, chain.tip.height + 1):
            block = chain.blocks.block(height)
            if block is None:
                self.world.fail(f"S5: {machine.name} lacks height {height} below its tip")
                return
            self.committed(machine, block)
        settled = self.settled.get(chain.tip.height)
        if settled is not None and settled.result_hash != chain.tip.result_hash:
            self.world.fail(f"S3: {machine.name} came back with another result")

    def stopped(self, machine: Machine, error: BaseException) -> None:
        """A node ended by itself: only for a reason that this run has given it."""
        for cause in _leaves(error):
            self.stops[type(cause).__name__] += 1
            if not self.is_honest(machine) or self.allowed.stops(machine.name, cause):
                continue
            self.world.fail(f"S7: {machine.name} stopped: {type(cause).__name__}: {cause}", cause)

    def check_bounds(self, machines: list[Machine]) -> None:
        """Nothing that a peer or a client can fill exceeds its limit (S7)."""
        for machine in machines:
            node = machine.node
            if node is None:
                continue
            if len(node.inbox) > INBOX_EVENTS_MAX + SLACK_EVENTS:
                self.world.fail(f"S7: the inbox of {machine.name} holds {len(node.inbox)}")
            if len(node.intake) > INTAKE_TXS_MAX or len(node.bodies) > FETCHED_TXS_KEPT:
                self.world.fail(f"S7: the intake of {machine.name} is beyond its limit")
            if len(node.pool) > machine.config.mempool.txs_max:
                self.world.fail(f"S7: the mempool of {machine.name} is beyond its limit")
            node.pool.check_invariants()
            patience = node.driver.engine.status().round_timeout_ms
            if patience > machine.config.consensus.round_ms_max:
                self.world.fail(f"L3: a round of {machine.name} lasts {patience} ms")


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for part in error.exceptions for leaf in _leaves(part)]
    return [error]
