"""What a run is made of: drawn from its seed, shown in one line."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

from devnet.sim.dice import Dice
from medquorum.quorum import EngineName, faulty

SIZES: Final = (1, 2, 3, 4, 4, 4, 4, 5, 6, 7, 7, 8, 9, 10)
PARTITIONS: Final = ("none", "none", "halves", "isolate", "one_way", "flapping", "bridge")


@dataclass(frozen=True, slots=True)
class Options:
    """Everything that the seed decides before the run starts."""

    engine: EngineName
    n: int
    liars: int
    lie: str
    """What the Byzantine validators do; all of them the same, with f of them at most."""
    safety_ms: int
    clients: int
    think_ms: int
    window: int
    round_ms: int
    round_ms_max: int
    resend_ms: int
    delay_ms: float
    tail: float
    loss: float
    duplication: float
    reordering: float
    partition: str
    aim: str
    """A pattern of losses aimed at one rule of the engine."""
    crash: float
    execute_ms: float
    execute_tail: float
    sync_ms: float
    pauses: bool
    skew_ms: int
    drift: float
    sync_fails: float
    full: float
    amnesia: str
    """What happens to disks: none, wipe, restore or rot."""
    changes: str
    """What governance changes meanwhile: none, params, validators or keys."""

    def line(self) -> str:
        """All that differs from a quiet run."""
        shown = []
        for option in fields(self):
            value = getattr(self, option.name)
            if value not in (0, 0.0, "none", False):
                shown.append(f"{option.name}={value}")
        return " ".join(shown)


def draw(seed: int, engine: EngineName) -> Options:
    """The options of a seed."""
    rng = Dice(f"options {seed}")
    n = rng.choice(SIZES)
    f = faulty(n) if engine == "pbft" else 0
    liars = rng.randint(0, f)
    round_ms = rng.choice((150, 300, 1_000))
    heavy = rng.chance(0.6)
    return Options(
        engine=engine,
        n=n,
        liars=liars,
        lie=rng.choice(LIES) if liars > 0 else "none",
        safety_ms=rng.choice((4_000, 8_000)),
        clients=rng.choice((2, 4, 8)),
        think_ms=rng.choice((20, 80, 200)),
        window=rng.choice((20, 60, 400)),
        round_ms=round_ms,
        round_ms_max=round_ms * rng.choice((4, 8)),
        resend_ms=rng.choice((50, 150, 400)),
        delay_ms=rng.choice((3.0, 10.0, 40.0)),
        tail=rng.choice((0.0, 0.0, 0.01, 0.05)),
        loss=rng.choice((0.0, 0.0, 0.02, 0.1, 0.3)) if heavy else 0.0,
        duplication=rng.choice((0.0, 0.1, 0.5)),
        reordering=rng.choice((0.0, 0.1, 0.5)),
        partition=rng.choice(PARTITIONS),
        aim=rng.choice(AIMS) if rng.chance(0.4) else "none",
        crash=rng.choice((0.0, 0.0, 0.000_5, 0.002, 0.008)),
        execute_ms=rng.choice((1.0, 5.0, 100.0)),
        execute_tail=rng.choice((0.0, 0.0, 0.05)),
        sync_ms=rng.choice((1.0, 1.0, 8.0)),
        pauses=rng.chance(0.3),
        skew_ms=rng.choice((0, 0, 200, 3_000)),
        drift=rng.choice((0.0, 0.0, 0.1)),
        sync_fails=rng.choice((0.0, 0.0, 0.0, 0.002)),
        full=rng.choice((0.0, 0.0, 0.0, 0.002)),
        amnesia=rng.choice(AMNESIA),
        changes=rng.choice(CHANGES),
    )


LIES: Final = ("silent", "selective", "late")
AIMS: Final = ("commits_reach_one", "prepares_reach_one", "decider_is_mute")
AMNESIA: Final = ("none", "none", "wipe", "restore")
CHANGES: Final = ("none",)
