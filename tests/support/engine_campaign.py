"""Whole runs of a cluster: a seed draws the faults, chaos first, then the network heals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from consensus.messages import Commit, Message, Prepare, Proposal, RoundChange
from tests.support.engine_adversary import Adversary
from tests.support.engine_checks import Violation
from tests.support.engine_host import Faults
from tests.support.engines import TIMING, Cluster, Lose, Network

SIZES = (1, 2, 3, 4, 4, 4, 5, 6, 7, 10)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to."""

    heights: int
    rounds: int
    events: int
    halted: int
    healed_ms: float


def lose_nothing(_sender: bytes, _receiver: bytes, _message: Message) -> bool:
    """A network that delivers."""
    return False


def draw_loss(rng: Random, keys: tuple[bytes, ...], *, directed: bool) -> Lose:
    """A pattern of losses that is aimed at a rule, or none."""
    salt = rng.randrange(1 << 30)

    def chosen(message: Message) -> bytes:
        round_ = getattr(message, "round", 0)
        return keys[(salt + 31 * message.height + 17 * round_) % len(keys)]

    def commits_reach_one(_sender: bytes, receiver: bytes, message: Message) -> bool:
        return isinstance(message, Commit) and receiver != chosen(message)

    def prepares_reach_one(_sender: bytes, receiver: bytes, message: Message) -> bool:
        if isinstance(message, Prepare):
            return receiver != chosen(message)
        return isinstance(message, Commit) and rng.random() < 0.9

    def wishes_of_one_are_lost(sender: bytes, receiver: bytes, message: Message) -> bool:
        if isinstance(message, RoundChange):
            return sender == chosen(message)
        return prepares_reach_one(sender, receiver, message) and rng.random() < 0.9

    def is_apart(sender: bytes, receiver: bytes, _message: Message) -> bool:
        apart = keys[salt % len(keys)]
        return apart in (sender, receiver) and rng.random() < 0.97

    def one_way(sender: bytes, _receiver: bytes, _message: Message) -> bool:
        return sender == keys[salt % len(keys)]

    def decider_is_mute(sender: bytes, receiver: bytes, message: Message) -> bool:
        lonely = keys[(salt + message.height) % len(keys)]
        if isinstance(message, Commit):
            return receiver != lonely or message.round > 0
        return sender == lonely and not isinstance(message, Prepare | Proposal)

    return rng.choice(
        (decider_is_mute, decider_is_mute, commits_reach_one, prepares_reach_one)
        if directed
        else (
            lose_nothing,
            lose_nothing,
            decider_is_mute,
            commits_reach_one,
            prepares_reach_one,
            wishes_of_one_are_lost,
            is_apart,
            one_way,
        )
    )


def draw_directed(seed: int, n: int) -> tuple[Cluster, Adversary | None]:
    """As many liars as may be, zealous ones, and losses made for them; otherwise all is well."""
    rng = Random(seed)
    places = rng.sample(range(n), (n - 1) // 3)
    network = Network(delay_ms=(1.0, rng.choice((3.0, 20.0))), recode=seed % 8 == 0)
    cluster = Cluster(seed, n, network=network, puppets=places)
    network.lose = draw_loss(rng, cluster.keys, directed=True)
    if len(places) == 0:
        return cluster, None
    keys = tuple(cluster.keys[place] for place in places)
    adversary = Adversary(cluster, keys, zeal=rng.choice((0.1, 0.3)))
    adversary.watch()
    return cluster, adversary


def draw_cluster(seed: int, n: int) -> tuple[Cluster, Adversary | None]:
    """A cluster with at most f faulty validators, and what plays them."""
    rng = Random(seed)
    f = (n - 1) // 3
    places = rng.sample(range(n), n)
    bad = rng.randint(0, f)
    kind = rng.choice(("puppets", "puppets", "puppets", "twins", "silent"))
    network = Network(
        loss=rng.choice((0, 0, 0.05, 0.3)),
        duplication=rng.choice((0, 0.1, 0.5)),
        delay_ms=(1.0, rng.choice((3.0, 20.0, 60.0))),
        tail=rng.choice((0, 0.02, 0.1)),
        recode=seed % 8 == 0,
    )
    cluster = Cluster(
        seed,
        n,
        network=network,
        puppets=places[:bad] if kind != "twins" else (),
        twins=places[:bad] if kind == "twins" else (),
    )
    network.lose = draw_loss(rng, cluster.keys, directed=False)
    crash = rng.choice((0, 0, 0.002, 0.01))
    execution = rng.choice(((0.0, 5.0), (0.0, 150.0), (50.0, 900.0)))
    unsure = f - bad if rng.random() < 0.3 else 0
    for host in cluster.hosts:
        host.faults = Faults(crash=crash, execution_ms=execution)
        host.restart_ms = rng.uniform(20, 400)
    for host in cluster.correct[:unsure]:
        host.faults.random_results = rng.choice((0.2, 1.0))
    adversary = None
    if kind == "puppets" and bad > 0:
        keys = tuple(cluster.keys[place] for place in places[:bad])
        adversary = Adversary(cluster, keys, zeal=rng.choice((0.02, 0.1)))
        adversary.watch()
    return cluster, adversary


def run_unsure(seed: int, n: int, *, chaos_ms: float = 1_500) -> None:
    """Validators that all compute at random, and crash. They may stop; they may never fork."""
    rng = Random(seed)
    cluster = Cluster(seed, n, network=Network(delay_ms=(1.0, 5.0)))
    cluster.network.lose = draw_loss(rng, cluster.keys, directed=True)
    for host in cluster.hosts:
        host.faults = Faults(crash=0.01, random_results=rng.choice((0.3, 0.7)))
        host.restart_ms = rng.uniform(20, 100)
    cluster.boot()
    cluster.run_for(chaos_ms)


def heal(cluster: Cluster, adversary: Adversary | None) -> None:
    """From now on messages arrive soon and nobody crashes; the Byzantine ones stay."""
    network = cluster.network
    network.loss, network.duplication, network.tail = 0.0, 0.0, 0.0
    network.delay_ms = (1.0, 5.0)
    network.lose = lose_nothing
    if adversary is not None:
        adversary.zeal = min(adversary.zeal, 0.02)
    for host in cluster.hosts:
        host.faults.crash = 0.0
        host.faults.execution_ms = (
            host.faults.execution_ms[0],
            min(host.faults.execution_ms[1], 300.0),
        )
        if host.engine is None:
            host.boot()


def run_campaign(
    seed: int,
    n: int,
    *,
    chaos_ms: float = 1_500,
    progress: int = 2,
    prepare: Callable[[Cluster], None] = lambda _cluster: None,
) -> Outcome:
    """One run. Raises Violation, or InvariantBroken, if anything does not hold."""
    draw = draw_directed if seed % 3 == 0 else draw_cluster
    cluster, adversary = draw(seed, n)
    prepare(cluster)
    cluster.boot()
    cluster.run(lambda: min(cluster.heights()) >= 8, limit_ms=chaos_ms)
    heal(cluster, adversary)
    healed_at = cluster.now
    goal = max(cluster.heights()) + progress

    def there() -> bool:
        return all(len(host.chain) >= goal or host.is_halted for host in cluster.correct)

    limit_ms = progress * (cluster.members.f + 3) * 2 * TIMING.round_ms_max
    if not cluster.run(there, limit_ms):
        raise Violation(f"no progress to {goal}: {cluster.heights()} at {cluster.now:.0f} ms")
    decided = [step for host in cluster.correct for step in host.chain]
    halted = [host for host in cluster.correct if host.is_halted]
    for host in halted:
        if host.faults.random_results == 0:
            raise Violation(f"{host.name} halted: {host.halts}")
    return Outcome(
        heights=max(cluster.heights()),
        rounds=max((step.certificate.round for _, step in decided), default=0),
        events=cluster.events,
        halted=len(halted),
        healed_ms=cluster.now - healed_at,
    )
