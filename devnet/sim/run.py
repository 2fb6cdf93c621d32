"""One run: a seed in, an outcome or a violation out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from devnet.sim.adversary import Adversary
from devnet.sim.checks import Checker
from devnet.sim.checks_end import check_equal_states, check_receipts
from devnet.sim.checks_evidence import SPREAD_MS
from devnet.sim.clients import WATCHER_THINKS_MS, Client, Office, Watcher, unfinished
from devnet.sim.cluster import Cluster, found, key_of
from devnet.sim.collection import no_collection
from devnet.sim.council import Council, upgrade
from devnet.sim.counterfeiter import COUNTERFEIT, Counterfeiter
from devnet.sim.crypto import remembered_signatures
from devnet.sim.disk import Backup
from devnet.sim.drills import Drill, votes
from devnet.sim.liars import Liars
from devnet.sim.linearizability import first_problem
from devnet.sim.machine import Machine
from devnet.sim.nemesis import Nemesis
from devnet.sim.network import Net, Weather
from devnet.sim.options import Options, draw
from devnet.sim.world import US_PER_MS, Violation, World
from medquorum.quorum import EngineName, faulty

RECEIPTS_CHECKED = 8
HEIGHTS_MAX = 120
"""A run that has come so far in its safety phase has seen enough."""
PROGRESS = 2
"""Heights that everybody must decide after the network has healed."""
SETTLING_MS = 12_000
"""What finding each other, noticing who is ahead and fetching blocks may take beside the rounds."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to."""

    seed: int
    options: Options
    heights: int
    rounds: int
    transactions: int
    operations: int
    frames: int
    events: int
    votes: int
    evidence: int
    stops: int
    healed_ms: float
    virtual_s: float
    trace_hash: str


class Run:
    """A cluster with its clients, its nemesis and its judges."""

    def __init__(
        self,
        seed: int,
        engine: EngineName,
        *,
        options: Options | None = None,
        show: Callable[[str], None] | None = None,
    ) -> None:
        self.seed = seed
        self.options = draw(seed, engine) if options is None else options
        self.world = World(seed, show)
        options, rng = self.options, self.world.rng
        genesis = found(options)
        self.bad = frozenset(rng.sample(range(options.n), options.liars))
        bad = frozenset(genesis.validators[place].key for place in self.bad)
        forges = options.lie == COUNTERFEIT
        byzantine = frozenset() if forges else bad
        self.checker = Checker(self.world, genesis, byzantine)
        self.checker.allowed.forgers = bad if forges else byzantine
        self.checker.allowed.disk_errors = options.sync_fails > 0 or options.full > 0
        self.checker.allowed.damage = options.amnesia == "rot"
        weather = Weather(
            delay_ms=(0.5, options.delay_ms),
            tail=options.tail,
            loss=options.loss,
            duplication=options.duplication,
            reordering=options.reordering,
        )
        self.net: Net[Machine] = Net(self.world, weather)
        self.cluster = Cluster(self.world, options, genesis, self.net, self.checker)
        for place in range(options.n):
            self.cluster.add(f"v{place}", key_of(f"node {place}"), key_of(f"vote {place}"))
        if options.lie == "twins":
            for place in sorted(self.bad):
                self.cluster.add(f"v{place}'", key_of(f"node {place}"), key_of(f"vote {place}"))
        elif options.lie == "directed":
            keys = {key_of(f"vote {place}").public: key_of(f"vote {place}") for place in self.bad}
            self.net.tap = Adversary(self.net, keys, zeal=options.zeal)
        elif forges:
            self.net.tap = Counterfeiter(self.net, bad)
        elif options.liars > 0:
            self.net.tap = Liars(self.net, byzantine, options.lie)
        self.net.ban_ms = options.ban_ms
        self.office = Office(
            self.world,
            genesis,
            tuple(key_of(f"org {place}") for place in range(options.n)),
            self.net.machines,
            lambda: self.checker.height,
            patience_ms=options.patience_ms,
            trusted=self._is_trusted,
        )
        self.heights_max = HEIGHTS_MAX
        self.nemesis = Nemesis(self.cluster, lambda: self.honest, lambda: self.checker.height)
        self.council = Council(self.cluster, self.office, self.checker)

    @property
    def honest(self) -> list[Machine]:
        """The validators of now of whom everything is demanded."""
        keys = {v.key for v in self.council.members}
        return [
            machine
            for machine in self.net.machines
            if self._is_trusted(machine)
            and machine.validator is not None
            and machine.validator.public in keys
        ]

    def _is_trusted(self, machine: Machine) -> bool:
        return self.checker.is_honest(machine) and not machine.retired

    def play(self) -> Outcome:
        """The whole run. Raises Violation."""
        try:
            with remembered_signatures(), no_collection():
                return self._play()
        finally:
            for machine in self.net.machines:
                machine.unplug()

    def _play(self) -> Outcome:
        world, options = self.world, self.options
        for machine in self.net.machines:
            world.later_ms(world.rng.uniform(0, 50), machine.boot)
        for number in range(options.clients):
            Client(self.office, number, options.think_ms, options.window).start()
        if self.office.offers_looks:
            Watcher(self.office, options.clients, WATCHER_THINKS_MS, options.window).start()
        world.every_ms(100, lambda: self.checker.check_bounds(self.net.machines))
        world.every_ms(100, lambda: self.office.check_kept(self.checker.where))
        world.every_ms(250, self._revive)
        self.nemesis.start()
        self.council.start()
        self._step(options.safety_ms, lambda: self.checker.height >= self.heights_max)
        healed_ms = self._heal()
        self._spread()
        self._finish()
        self._drill()
        self._judge()
        return self._outcome(healed_ms)

    def _step(self, duration_ms: float, until: Callable[[], bool] | None = None) -> bool:
        return self.world.run(int(duration_ms * US_PER_MS), until)

    def _revive(self) -> None:
        """A node that ended by itself is started again, as a supervisor would."""
        for machine in self.net.machines:
            if machine.is_up or machine.planned or machine.restart_ms is None:
                continue
            if machine.refused.startswith(("Damaged", "Format")):
                # What the operators' guide says: read again, and if that does not help, take a new
                # disk. The record of votes is kept, so nothing is signed twice.
                machine.disk.faults.rot = 0.0
                if machine.repairs > 0:
                    machine.replace_disk(Backup({}, ()))
                machine.repairs += 1
            if machine.ended_by == "UnservedCodeError" and self.world.rng.chance(0.3):
                upgrade(machine)
            machine.boot()

    def _heal(self) -> float:
        """The liveness phase: everybody decides new heights within the stated time (L1 to L3)."""
        self.nemesis.active = self.council.active = False
        self.world.note("the network heals")
        self.cluster.calm()
        start_us, goal = self.world.now_us, self.checker.height + PROGRESS
        f = faulty(self.options.n)
        # A link is well once what was slow on it has arrived: nothing overtakes that.
        well_ms = self.net.backlog_us / US_PER_MS
        limit_ms = well_ms + PROGRESS * (f + 3) * 2 * self.options.round_ms_max + SETTLING_MS
        if not self._step(limit_ms, lambda: self._all_at(goal)):
            tips = {m.name: tip_of(m) for m in self.honest}
            raise Violation(f"L2: not all at {goal} after {limit_ms:.0f} ms: {tips}")
        return (self.world.now_us - start_us) / US_PER_MS

    def _all_at(self, goal: int) -> bool:
        return all(tip_of(machine) >= goal for machine in self.honest)

    def _finish(self) -> None:
        """Clients stop; what was admitted becomes final."""
        self.office.open = False
        limit_ms = 10 * self.options.round_ms_max + SETTLING_MS

        def all_final() -> bool:
            height = self.checker.height
            return self._all_at(height) and not self._unfinished()

        if not self._step(limit_ms, all_final):
            raise Violation(f"L1: {self._unfinished()[:3]}")

    def _drill(self) -> None:
        """At rest, who leads goes on leading; who is gone is replaced (L4)."""
        self.world.run(self.net.backlog_us)
        # A motion that is still under way becomes a block, which whoever is cut off would miss.
        self._step(10 * self.options.round_ms_max, lambda: self.council.is_at_rest)
        voters, n = [m for m in self.honest if votes(m)], len(self.council.members)
        drill = Drill(self.world, self.net, voters, n, self.options.round_ms)
        if self.options.drill != "none" and drill.is_possible:
            drill.play(self.options.drill)

    def _spread(self) -> None:
        """What one honest node can prove against a validator now, all can soon."""
        proofs = self.checker.proofs
        proven = proofs.proven(self.honest)
        if not self._step(SPREAD_MS, lambda: not proofs.lacking(self.honest, proven)):
            raise Violation(f"evidence: {proofs.lacking(self.honest, proven)[0]}")

    def _unfinished(self) -> list[str]:
        return unfinished(self.office, self.checker.where, self.checker.height)

    def _judge(self) -> None:
        checker = self.checker
        for tx_id, status in self.office.seen.items():
            if status.executed and checker.where.get(tx_id) != (
                status.height, status.index, status.code,
            ):  # fmt: skip
                raise Violation(f"S5: a client saw {status}, which is not in the chain")
            if not status.executed and tx_id in checker.where:
                raise Violation(f"S5: a client saw {tx_id.hex()[:16]} expire, and it is in a block")
        for machine in self.honest:
            check_receipts(checker, machine, RECEIPTS_CHECKED)
        check_equal_states(checker, self.net.machines)
        checker.check_evidence()
        checker.proofs.check_books(self.honest)
        if self.world.violation is not None:
            raise self.world.violation
        problem = first_problem(self.office.operations())
        if problem is not None:
            lines = "\n".join(map(str, problem[1]))
            raise Violation(f"register {problem[0]} is not linearizable:\n{lines}")

    def _outcome(self, healed_ms: float) -> Outcome:
        checker = self.checker
        return Outcome(
            seed=self.seed,
            options=self.options,
            heights=checker.height,
            rounds=checker.rounds_max,
            transactions=len(checker.where),
            operations=len(self.office.history),
            frames=self.net.frames,
            events=self.world.events,
            votes=checker.votes,
            evidence=sum(checker.evidence.values()),
            stops=sum(checker.stops.values()),
            healed_ms=healed_ms,
            virtual_s=self.world.now_us / US_PER_MS / 1_000,
            trace_hash=self.world.trace_hash(),
        )


def tip_of(machine: Machine) -> int:
    """The height of a machine's chain, -1 while it is down."""
    return -1 if machine.node is None else machine.node.chain.tip.height
