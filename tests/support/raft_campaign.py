"""Whole runs of a Raft cluster: a seed draws the faults, chaos first, then the network heals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random

from consensus.engine import Effects
from consensus.messages import DecidedMessage, Message
from consensus.raft.engine import RaftEngine
from consensus.raft.messages import Ack, Append, Decision, Grant, Heartbeat, VoteRequest
from consensus.wishes import ReadAsked, TransferAsked
from medquorum.block import ValidatorSet
from tests.support.engine_checks import Violation
from tests.support.engine_host import Faults, Host
from tests.support.engine_world import validator_set
from tests.support.engines import TIMING, Cluster, Lose, Network

SIZES = (1, 2, 3, 3, 4, 5, 5, 6, 7)
HEAL_LIMIT_MS = 60 * TIMING.round_ms
"""Elections, one a height at worst, and catching up: ten times what the worst run needs."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to."""

    heights: int
    terms: int
    reads: int
    changes: int
    healed_ms: float


@dataclass(slots=True)
class Reads:
    """Asks for read heights now and then, and checks the answers."""

    cluster: Cluster
    asked: dict[tuple[bytes, int], int] = field(default_factory=dict)
    answered: int = 0

    def ask(self, host: Host, context: int) -> None:
        """A read that has to see everything that is final now."""
        if isinstance(host.engine, RaftEngine):
            final = max(len(other.chain) for other in self.cluster.hosts)
            self.asked[host.key, context] = final
            host.ask(ReadAsked(context))

    def on_effects(self, host: Host, effects: Effects) -> None:
        """An answer below what was final when it was asked for is stale."""
        for read in effects.reads:
            final = self.asked.pop((host.key, read.context))
            if read.height is None:
                continue
            self.answered += 1
            if read.height < final:
                raise Violation(f"{host.name} reads at {read.height}, {final} was final")


@dataclass(slots=True)
class Partition:
    """Splits the validators into two groups, another way each time."""

    cluster: Cluster
    rng: Random
    apart: set[bytes] = field(default_factory=set)
    one_way: bool = False
    over: bool = False

    def lose(self, sender: bytes, receiver: bytes, _message: Message) -> bool:
        """Whether the line is cut."""
        if self.one_way:
            return sender in self.apart and receiver not in self.apart
        return (sender in self.apart) != (receiver in self.apart)

    def shuffle(self) -> None:
        """Cut elsewhere, or nowhere, and come back soon."""
        if self.over:
            return
        rng, keys = self.rng, self.cluster.keys
        leaders = [
            host.key
            for host in self.cluster.hosts
            if host.engine is not None and host.engine.status().phase in ("leading", "acknowledged")
        ]
        pick = rng.random()
        self.one_way = rng.random() < 0.2
        if pick < 0.3:
            self.apart = set()
        elif pick < 0.6 and len(leaders) > 0:
            self.apart = {rng.choice(leaders)}
        else:
            self.apart = set(rng.sample(keys, rng.randint(1, len(keys))))
        self.cluster.later(rng.uniform(20, 400), self.shuffle)


def draw_loss(rng: Random, keys: tuple[bytes, ...]) -> Lose:
    """A pattern of losses that is aimed at a rule, or none."""
    salt = rng.randrange(1 << 30)

    def chosen(message: Message) -> bytes:
        term = getattr(message, "term", 0)
        return keys[(salt + 31 * message.height + 17 * term) % len(keys)]

    def nothing(_sender: bytes, _receiver: bytes, _message: Message) -> bool:
        return False

    def entries_reach_one(_sender: bytes, receiver: bytes, message: Message) -> bool:
        return isinstance(message, Append) and receiver != chosen(message) and rng.random() < 0.8

    def acks_are_late(_sender: bytes, _receiver: bytes, message: Message) -> bool:
        return isinstance(message, Ack | Decision) and rng.random() < 0.6

    def decisions_reach_one(_sender: bytes, receiver: bytes, message: Message) -> bool:
        decided = isinstance(message, Decision | DecidedMessage)
        return decided and receiver != keys[(salt + message.height) % len(keys)]

    def leaders_fade(sender: bytes, _receiver: bytes, message: Message) -> bool:
        leads = isinstance(message, Heartbeat | Append | Decision)
        return leads and sender == chosen(message)

    def votes_split(_sender: bytes, receiver: bytes, message: Message) -> bool:
        return isinstance(message, Grant | VoteRequest) and receiver == chosen(message)

    return rng.choice(
        (
            nothing,
            entries_reach_one,
            entries_reach_one,
            acks_are_late,
            decisions_reach_one,
            leaders_fade,
            votes_split,
        )
    )


def draw_sets(rng: Random, n: int) -> Callable[[int], ValidatorSet] | None:
    """Who votes at which height: everybody for ever, or others every few heights."""
    if n == 1 or rng.random() < 0.6:
        return None
    every, salt = rng.choice((1, 2, 4)), rng.randrange(1 << 30)
    size = rng.randint(1, max(1, (n + 1) // 2))
    everybody = validator_set(n).validators

    def validators_at(height: int) -> ValidatorSet:
        chosen = Random(salt + height // every).sample(range(n), size)
        return ValidatorSet(tuple(everybody[place] for place in sorted(chosen)))

    return validators_at


def draw_cluster(seed: int, n: int) -> tuple[Cluster, Partition]:
    """A cluster in which anything may crash, and the lines between are bad."""
    rng = Random(seed)
    network = Network(
        loss=rng.choice((0, 0, 0.05, 0.3)),
        duplication=rng.choice((0, 0.1, 0.5)),
        delay_ms=(1.0, rng.choice((3.0, 20.0, 60.0))),
        tail=rng.choice((0, 0.02, 0.1)),
        recode=seed % 8 == 0,
    )
    cluster = Cluster(seed, n, network=network, engine="raft", validators_at=draw_sets(rng, n))
    partition = Partition(cluster, rng, over=rng.random() < 0.5)
    aimed = draw_loss(rng, cluster.keys)
    network.lose = lambda *what: partition.lose(*what) or aimed(*what)
    crash = rng.choice((0, 0.002, 0.01, 0.03))
    execution = rng.choice(((0.0, 5.0), (0.0, 150.0), (50.0, 400.0)))
    for host in cluster.hosts:
        host.faults = Faults(crash=crash, execution_ms=execution)
        host.restart_ms = rng.uniform(5, 400)
    return cluster, partition


def disturb(cluster: Cluster, reads: Reads, rng: Random, *, until_ms: float) -> None:
    """Reads and takeovers at any time."""
    now = 0.0
    for context in range(1, 60):
        now += rng.uniform(1, 2 * until_ms / 60)
        host = rng.choice(cluster.hosts)
        cluster.later(now, partial(reads.ask, host, context))
        if context % 6 == 0:
            to = TransferAsked(rng.choice(cluster.keys))
            for host in cluster.hosts:
                cluster.later(now, partial(host.ask, to))


def heal(cluster: Cluster, partition: Partition) -> None:
    """From now on messages arrive soon and nobody crashes."""
    partition.over = True
    network = cluster.network
    network.loss, network.duplication, network.tail = 0.0, 0.0, 0.0
    network.delay_ms = (1.0, 5.0)
    network.lose = lambda _from, _to, _message: False
    for host in cluster.hosts:
        host.faults.crash = 0.0
        if host.engine is None:
            host.boot()


def run_unsure(seed: int, n: int, *, chaos_ms: float = 1_500) -> None:
    """Validators that all compute at random, and crash. They may stop; they may never fork."""
    rng = Random(seed)
    cluster = Cluster(seed, n, network=Network(delay_ms=(1.0, 5.0)), engine="raft")
    cluster.network.lose = draw_loss(rng, cluster.keys)
    for host in cluster.hosts:
        host.faults = Faults(crash=0.01, random_results=rng.choice((0.3, 0.7)))
        host.restart_ms = rng.uniform(20, 100)
    cluster.boot()
    cluster.run_for(chaos_ms)


def run_campaign(
    seed: int,
    n: int,
    *,
    chaos_ms: float = 1_500,
    progress: int = 3,
    prepare: Callable[[Cluster], None] = lambda _cluster: None,
) -> Outcome:
    """One run. Raises Violation, or InvariantBroken, if anything does not hold."""
    cluster, partition = draw_cluster(seed, n)
    prepare(cluster)
    rng = Random(seed + 1)
    reads = Reads(cluster)
    cluster.effect_watchers.append(reads.on_effects)
    cluster.boot()
    partition.shuffle()
    disturb(cluster, reads, rng, until_ms=chaos_ms)
    cluster.run(lambda: min(cluster.heights()) >= 25, limit_ms=chaos_ms)
    heal(cluster, partition)
    healed_at = cluster.now
    goal = max(cluster.heights()) + progress
    if not cluster.run(lambda: min(cluster.heights()) >= goal, HEAL_LIMIT_MS * progress):
        raise Violation(f"no progress to {goal}: {cluster.heights()} at {cluster.now:.0f} ms")
    halted = [f"{host.name} {host.halts}" for host in cluster.hosts if len(host.halts) > 0]
    if len(halted) > 0:
        raise Violation(f"halted: {halted}")
    decided = [step for host in cluster.hosts for _, step in host.chain]
    return Outcome(
        heights=max(cluster.heights()),
        terms=max(step.certificate.round for step in decided),
        reads=reads.answered,
        changes=len({started.validators.hash() for started, _ in cluster.hosts[0].chain}),
        healed_ms=cluster.now - healed_at,
    )
