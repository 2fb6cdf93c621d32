"""The consortium changes its own rules while everything else goes wrong.

Every decision is one transaction that all organisations with a validator sign: proposal, votes and
execution together. What follows from it outside the chain (a new machine, an old one switched off)
happens once an honest node has committed it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from devnet.sim.checks import Checker
from devnet.sim.clients import Office
from devnet.sim.cluster import NEW_SOFTWARE, Cluster, key_of
from devnet.sim.extra import CODE_HASH, NAME, Mark
from devnet.sim.machine import Machine
from medquorum.block import Validator
from medquorum.codec import Wire, encode
from medquorum.evidence import Evidence
from medquorum.keys import SigningKey, possession_bytes
from medquorum.quorum import faulty, quorum
from medquorum.transaction import SIGNERS_MAX, Transaction
from node.ledger.codes import OK
from node.ledger.decisions import APPROVE, Draft, proposal_id
from node.ledger.params import ROTA_CYCLES, ROTA_CYCLES_MAX, TX_WINDOW
from node.ledger.proposals import (
    VALIDATOR_CHANGES,
    VALIDATORS_FLOOR,
    Activate,
    Content,
    ParamSet,
    ProposalKind,
    ValidatorAdd,
    ValidatorRemove,
    ValidatorReplace,
    ValidatorSuspend,
)
from node.ledger.types.governance.bodies import CastVote, Execute, Override, Propose

WINDOW: Final = 10
BEHIND_MAX: Final = 3
"""Heights that a validator may be behind and still count as one that votes."""
ACTIVATED_AFTER: Final = 8
SIZE_MAX: Final = 10
REASON: Final = "council.judged"
"""For overriding what nodes see of a change: the council looks at all machines (_may_change), and
boots a new one only once the chain has decided.
"""


@dataclass(frozen=True, slots=True)
class Motion:
    """What is decided, and what follows from it."""

    kind: ProposalKind
    content: Content
    then: Callable[[], None]


class Council:
    """One motion at a time, as long as `active`."""

    def __init__(self, cluster: Cluster, office: Office, checker: Checker) -> None:
        self._cluster, self._office, self._checker = cluster, office, checker
        self._world = cluster.world
        self._rng = cluster.world.rng
        self._open: tuple[Transaction, Motion] | None = None
        self._activated = False
        self._count = 0
        self.active = True
        self.look_ms = 150.0
        """How soon it notices that a motion was carried, and thinks of another one."""
        self.carried = self.suspended = 0

    def start(self) -> None:
        """Begin, if the options say so."""
        if self._cluster.options.changes != "none":
            self._world.every_ms(self.look_ms, self._look)

    @property
    def is_at_rest(self) -> bool:
        """Whether no motion is under way."""
        return self._open is None

    @property
    def members(self) -> tuple[Validator, ...]:
        """Who votes on the next height, as far as anybody knows."""
        return self._checker.sets[max(self._checker.sets)].validators

    def _look(self) -> None:
        if self._open is not None:
            tx, motion = self._open
            place = self._checker.where.get(tx.id)
            if place is not None:
                self._open = None
                if place[2] == OK:
                    self.carried += 1
                    self._world.note(f"decided: {motion.kind} at height {place[0]}")
                    motion.then()
            elif self._checker.height >= tx.body.valid_until:
                self._open = None
            else:
                self._submit(tx)
            return
        if self.active and self._rng.chance(0.4):
            drawn = self._draw()
            if drawn is not None:
                self._open = (self._write(drawn), drawn)
                self._submit(self._open[0])
        if self._cluster.options.changes == "upgrade" and self._office.open:
            key = self._rng.choice(self._office.keys)
            mark = Mark(self._rng.randrange(3))
            self._submit(self._office.make([key], [("extra.mark", mark)], WINDOW))

    def _submit(self, tx: Transaction) -> None:
        up = [m for m in self._cluster.net.machines if m.is_up and self._office.trusted(m)]
        if len(up) > 0:
            self._office.ask(self._rng.choice(up), tx, lambda _answer: None)

    def _write(self, motion: Motion) -> Transaction:
        draft = Draft(str(motion.kind), encode(motion.content), self._rng.randbytes(16))
        by_org = {o.org: o.root_key for o in self._office.genesis.organisations}
        orgs = list(dict.fromkeys(v.org for v in self.members))[:SIGNERS_MAX]
        keys = {key.public: key for key in self._office.keys}
        votes: list[tuple[str, Wire]] = [
            ("gov.vote", CastVote(org, proposal_id(draft), APPROVE)) for org in orgs
        ]
        answers = [("gov.override", Override(orgs[0], proposal_id(draft), REASON))]
        operations: list[tuple[str, Wire]] = [
            ("gov.propose", Propose(orgs[0], draft)),
            *votes,
            *(answers if motion.kind in VALIDATOR_CHANGES else ()),
            ("gov.execute", Execute(proposal_id(draft))),
        ]
        return self._office.make([keys[by_org[org]] for org in orgs], operations, WINDOW)

    def _draw(self) -> Motion | None:
        match self._cluster.options.changes:
            case "params":
                return Motion(ProposalKind.PARAM_SET, self._param(), lambda: None)
            case "upgrade":
                return self._activate()
            case "keys":
                return self._replace() if self._may_change() and self._tolerates_faults else None
            case _:
                if not self._may_change():
                    return None
                grow = len(self.members) < SIZE_MAX and self._rng.chance(0.5)
                grow = grow or not self._tolerates_faults
                return self._add() if grow else self._remove()

    def _param(self) -> ParamSet:
        if self._rng.chance(0.5):
            return ParamSet(ROTA_CYCLES, self._rng.choice((0, 1, 2, 3, ROTA_CYCLES_MAX)))
        # Not below what clients ask for, or nobody could submit anything.
        return ParamSet(TX_WINDOW, self._rng.randint(self._cluster.options.window, 1_000))

    def _may_change(self) -> bool:
        """Whoever has just joined counts as faulty until it keeps up; f may be faulty.

        Fewer than four tolerate no fault: they may grow, and nobody may leave.
        """
        keys = {v.key for v in self.members}
        late = [
            machine
            for machine in self._voters()
            if self._checker.is_honest(machine)
            and (
                machine.node is None
                or machine.node.chain.tip.height + BEHIND_MAX < self._checker.height
            )
        ]
        liars = len(keys & self._checker.byzantine)
        return len(late) + liars <= max(0, faulty(len(keys)) - 1)

    @property
    def _tolerates_faults(self) -> bool:
        return faulty(len(self.members)) > 0

    def _fresh(self, org: bytes) -> tuple[str, SigningKey, SigningKey, bytes]:
        """A name, a node key, a vote key, and the proof that it is held."""
        self._count += 1
        name = f"w{self._count}"
        node_key, vote_key = key_of(f"{name} node"), key_of(f"{name} vote")
        chain_id = self._office.genesis.chain_id()
        proof = vote_key.sign(possession_bytes(chain_id, org, vote_key.public))
        return name, node_key, vote_key, proof

    def _add(self) -> Motion:
        org = self._rng.choice(self._office.genesis.organisations).org
        name, node_key, vote_key, proof = self._fresh(org)
        return Motion(
            ProposalKind.VALIDATOR_ADD,
            ValidatorAdd(vote_key.public, node_key.public, org, proof),
            lambda: self._cluster.add(name, node_key, vote_key).boot(),
        )

    def _remove(self) -> Motion | None:
        after = len(self.members) - 1
        liars = len({v.key for v in self.members} & self._checker.byzantine)
        if after < VALIDATORS_FLOOR or liars > faulty(after):
            return None
        proof = self._proof()
        if proof is not None:
            return self._suspend(proof)
        leaving = self._rng.choice(self.members).key
        return Motion(
            ProposalKind.VALIDATOR_REMOVE, ValidatorRemove(leaving), lambda: self._retire(leaving)
        )

    def _suspend(self, proof: Evidence) -> Motion:
        def then() -> None:
            self.suspended += 1
            self._retire(proof.validator)

        return Motion(ProposalKind.VALIDATOR_SUSPEND, ValidatorSuspend(proof), then)

    def _proof(self) -> Evidence | None:
        """What an honest node can prove against somebody who votes, if anything."""
        keys = {v.key for v in self.members}
        held = (
            evidence
            for machine in self._cluster.net.machines
            if machine.node is not None and self._checker.is_honest(machine)
            for accusation, evidence in machine.node.exchange.book.items()
            if accusation.validator in keys
        )
        return next(held, None)

    def _replace(self) -> Motion:
        old = self._rng.choice(self.members)
        name, node_key, vote_key, proof = self._fresh(old.org)

        def then() -> None:
            self._retire(old.key)
            self._cluster.add(name, node_key, vote_key).boot()

        content = ValidatorReplace(old.key, vote_key.public, node_key.public, proof)
        return Motion(ProposalKind.VALIDATOR_REPLACE, content, then)

    def _activate(self) -> Motion | None:
        if self._activated:
            return None
        height = self._checker.height + WINDOW + ACTIVATED_AFTER

        def then() -> None:
            self._activated = True

        return Motion(ProposalKind.ACTIVATE, Activate(NAME, 0, height, CODE_HASH), then)

    def _retire(self, key: bytes) -> None:
        """Switch a former validator off after a while: it does not know yet that it left."""
        height = self._checker.height
        for machine in self._cluster.net.machines:
            if machine.validator is not None and machine.validator.public == key:
                machine.retired = True
                self._switch_off(machine, height, self._rng.uniform(0, 1_500))

    def _switch_off(self, machine: Machine, height: int, delay_ms: float) -> None:
        """As the operators' guide says: not before a quorum of the others has the block in which it
        left. It may be the only one who has it, and its vote counted in that height.
        """

        def due() -> None:
            if self._has_quorum(height):
                machine.unplug()
            else:
                self._switch_off(machine, height, self.look_ms)

        self._world.later_ms(delay_ms, due)

    def _has_quorum(self, height: int) -> bool:
        """Whether a quorum of those who vote now has this block."""
        having = [
            machine
            for machine in self._voters()
            if machine.node is not None and machine.node.chain.tip.height >= height
        ]
        return len(having) >= quorum(self._cluster.options.engine, len(self.members))

    def _voters(self) -> list[Machine]:
        """The machines of those who vote now."""
        keys = {v.key for v in self.members}
        return [
            machine
            for machine in self._cluster.net.machines
            if machine.validator is not None and machine.validator.public in keys
        ]


def upgrade(machine: Machine) -> None:
    """Install the new software: it counts from the next start on."""
    machine.registry = NEW_SOFTWARE
