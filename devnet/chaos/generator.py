"""A scenario from a seed: the same one on every machine, for the seed is how a failure is told."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from devnet.chaos.proxy import Cut
from devnet.chaos.scenario import (
    LIES,
    AnyStep,
    Backup,
    Deafen,
    Flap,
    Heal,
    Join,
    Kill,
    Liar,
    LoadSpec,
    Mute,
    Partition,
    Pause,
    Remove,
    Replace,
    Restart,
    RestartAll,
    Restore,
    Resume,
    Scenario,
    Skew,
    Slow,
    Start,
    Who,
    Wipe,
)
from medquorum.quorum import EngineName

SECONDS: Final = 20.0
FIRST_S: Final = 1.5
"""The load runs undisturbed so long."""
CALM_S: Final = 1.5
"""Between the end of one fault and the beginning of the next."""
RAFT_SHARE: Final = 0.35
NODES: Final[Mapping[EngineName, tuple[int, ...]]] = MappingProxyType(
    {"pbft": (4, 4, 4, 5, 7), "raft": (3, 3, 4, 5, 7)}
)
LEADER_SHARE: Final = 0.4
LIAR_SHARE: Final = 0.3
SKEW_MS: Final = (-300_000, -3_000, 3_000, 300_000)


@dataclass(frozen=True, slots=True)
class Draw:
    """What a fault is drawn from: it begins at `at` and is over `lasts` seconds later."""

    rng: random.Random
    nodes: int
    honest: tuple[int, ...]
    at: float
    lasts: float

    @property
    def end(self) -> float:
        """When it is over."""
        return round(self.at + self.lasts, 2)

    def who(self) -> Who:
        """One node, often the one that matters most."""
        return "leader" if self.rng.uniform(0, 1) < LEADER_SHARE else self.rng.randrange(self.nodes)

    def one(self) -> int:
        """One honest node."""
        return self.rng.choice(self.honest)

    def how(self) -> Cut:
        """A way to cut."""
        return self.rng.choice((Cut.STALL, Cut.RESET))


def _kill(draw: Draw) -> list[AnyStep]:
    return [Kill(at=draw.at, node=draw.who()), Start(at=draw.end)]


def _kill_many(draw: Draw) -> list[AnyStep]:
    """More than may fail: nothing commits until they are back, and nothing is lost."""
    count = draw.rng.randint(2, draw.nodes - 1)
    victims = draw.rng.sample(range(draw.nodes), count)
    return [*(Kill(at=draw.at, node=victim) for victim in victims), Start(at=draw.end)]


def _pause(draw: Draw) -> list[AnyStep]:
    return [Pause(at=draw.at, node=draw.who()), Resume(at=draw.end)]


def _restart(draw: Draw) -> list[AnyStep]:
    return [Restart(at=draw.at, node=draw.who())]


def _restart_all(draw: Draw) -> list[AnyStep]:
    return [RestartAll(at=draw.at)]


def _partition(draw: Draw) -> list[AnyStep]:
    """Into two groups of any size, a majority on one side or on none."""
    nodes = list(range(draw.nodes))
    draw.rng.shuffle(nodes)
    size = draw.rng.randint(1, draw.nodes // 2)
    groups = (tuple(sorted(nodes[:size])), tuple(sorted(nodes[size:])))
    return [Partition(at=draw.at, groups=groups, how=draw.how()), Heal(at=draw.end)]


def _one_way(draw: Draw) -> list[AnyStep]:
    kind = draw.rng.choice((Deafen, Mute))
    return [kind(at=draw.at, node=draw.who(), how=draw.how()), Heal(at=draw.end)]


def _flap(draw: Draw) -> list[AnyStep]:
    down, up = draw.rng.choice(((0.2, 0.5), (0.5, 0.5), (1.0, 0.3)))
    times = max(1, int(draw.lasts / (down + up)))
    flap = Flap(at=draw.at, node=draw.who(), down=down, up=up, times=times, how=draw.how())
    return [flap]


def _slow(draw: Draw) -> list[AnyStep]:
    nodes = tuple(sorted(draw.rng.sample(range(draw.nodes), draw.rng.randint(1, draw.nodes))))
    delay, jitter = draw.rng.choice(((10, 5), (50, 50), (200, 100), (5, 400)))
    loss = draw.rng.choice((0.0, 0.02, 0.1))
    slow = Slow(at=draw.at, nodes=nodes, delay_ms=delay, jitter_ms=jitter, loss=loss)
    return [slow, Heal(at=draw.end)]


def _restore(draw: Draw) -> list[AnyStep]:
    node = draw.one()
    return [Backup(at=draw.at, node=node), Restore(at=draw.end, node=node)]


def _wipe(draw: Draw) -> list[AnyStep]:
    return [Wipe(at=draw.at, node=draw.one())]


def _skew(draw: Draw) -> list[AnyStep]:
    return [Skew(at=draw.at, node=draw.one(), ms=draw.rng.choice(SKEW_MS))]


def _join(draw: Draw) -> list[AnyStep]:
    return [Join(at=draw.at)]


def _replace(draw: Draw) -> list[AnyStep]:
    return [Replace(at=draw.at, node=draw.one())]


def _come_and_go(draw: Draw) -> list[AnyStep]:
    """One more, and then one fewer: the members never vote themselves below their first number."""
    return [Join(at=draw.at), Remove(at=draw.end, node=draw.one())]


FAULTS: Final[tuple[tuple[int, Callable[[Draw], list[AnyStep]]], ...]] = (
    (4, _kill),
    (2, _kill_many),
    (3, _pause),
    (2, _restart),
    (1, _restart_all),
    (4, _partition),
    (2, _one_way),
    (2, _flap),
    (2, _slow),
    (2, _restore),
    (1, _wipe),
    (1, _skew),
    (1, _join),
    (1, _replace),
    (1, _come_and_go),
)
"""How often each is drawn."""
FORGETTING: Final = (_restore, _wipe)
"""A validator that lost its memory of a height takes no part in it, so it is one of the f that may
fail there. Beside a liar it would be one too many, and the height would rightly never be decided.
"""


def scenario_of(seed: int, *, seconds: float = SECONDS) -> Scenario:
    """The scenario of a seed."""
    rng = random.Random(seed)
    engine: EngineName = "raft" if rng.uniform(0, 1) < RAFT_SHARE else "pbft"
    nodes = rng.choice(NODES[engine])
    liars: tuple[Liar, ...] = ()
    if engine == "pbft" and rng.uniform(0, 1) < LIAR_SHARE:
        liars = (Liar(node=rng.randrange(nodes), lie=rng.choice(LIES)),)
    lying = {liar.node for liar in liars}
    honest = tuple(node for node in range(nodes) if node not in lying)
    faults = [(weight, fault) for weight, fault in FAULTS if not liars or fault not in FORGETTING]
    steps: list[AnyStep] = []
    at = FIRST_S
    while True:
        lasts = round(rng.uniform(1.5, 4.0), 2)
        if at + lasts > seconds - CALM_S:
            break
        (fault,) = rng.choices([f for _, f in faults], [weight for weight, _ in faults])
        steps += fault(Draw(rng, nodes, honest, round(at, 2), lasts))
        at += lasts + rng.uniform(0.0, CALM_S)
    return Scenario(
        name=f"random-{seed}",
        seconds=seconds,
        nodes=nodes,
        engine=engine,
        seed=seed,
        load=LoadSpec(rate=rng.choice((10.0, 20.0, 40.0)), clients=rng.randint(4, 8)),
        liars=liars,
        steps=tuple(sorted(steps, key=lambda step: step.at)),
    )
