"""What a run is made of: drawn from its seed, shown in one line."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Final

from devnet.sim.dice import Dice
from devnet.sim.liars import GENERIC
from devnet.sim.trapnames import DRILLS, FOLLOWERS, TRAPS
from medquorum.quorum import EngineName, faulty

SIZES: Final = (1, 2, 3, 4, 4, 4, 4, 5, 6, 7, 7, 8, 9, 10)
LENGTHS: Final = (0.15, 0.2, 0.2, 0.3, 0.3, 0.4, 0.6, 1.0)
"""Parts of a campaign's time, of which a seed draws one."""
HASTE_MIN: Final = 0.3
PARTITIONS: Final = ("none", "none", "halves", "isolate", "one_way", "flapping", "bridge")


@dataclass(frozen=True, slots=True)
class Options:
    """Everything that the seed decides before the run starts."""

    campaign: str
    engine: EngineName
    n: int
    liars: int
    lie: str
    """What the Byzantine validators do; all of them the same, with f of them at most."""
    zeal: float
    """How often a directed liar plays a trick."""
    ban_ms: float
    safety_ms: int
    haste: float
    """How long faults wait for their turn: 1 as usual, less in a run that is short."""
    clients: int
    think_ms: int
    patience_ms: int
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
    drill: str = "none"
    """Who is cut off when all is over, to see what becomes of the leadership (drills.py)."""

    def line(self) -> str:
        """All that differs from a quiet run."""
        shown = []
        for option in fields(self):
            value = getattr(self, option.name)
            if value not in (0, 0.0, "none", False) and (option.name, value) != ("haste", 1.0):
                shown.append(f"{option.name}={value}")
        return " ".join(shown)


def draw(seed: int, engine: EngineName, length: float | None = None) -> Options:
    """The options of a seed. `length` of the time under faults, 1 for what the campaign asks.

    By itself a seed draws mostly short runs: what a long one finds, it mostly found in its first
    heights, and the time is better spent on other seeds. Some stay long for what needs a history.
    """
    options = _drawn(seed, engine)
    part = Dice(f"length {seed}").choice(LENGTHS) if length is None else length
    return replace(
        options,
        safety_ms=int(options.safety_ms * part),
        haste=min(1.0, max(HASTE_MIN, part)),
    )


def _drawn(seed: int, engine: EngineName) -> Options:
    rng = Dice(f"options {seed}")
    campaign = rng.choice(CAMPAIGNS)
    options = _of(campaign, rng, _storm(rng, engine))
    if engine == "raft":
        return _elections(Dice(f"elections {seed}"), options)
    if options.aim == WISHES_LOST:
        # Some results come when the round is given up already, and nobody else knows of that. All
        # work of threads takes so long then, so the rounds are short ones.
        return replace(options, round_ms=150, round_ms_max=600, execute_ms=225.0)
    return options


def _of(campaign: str, rng: Dice, options: Options) -> Options:
    match campaign:
        case "liars":
            return _liars(rng, options)
        case "crashes":
            return _crashes(rng, options)
        case "disks":
            return _disks(rng, options)
        case _:
            return options


def _elections(rng: Dice, options: Options) -> Options:
    """What goes wrong where nobody lies: leaders go at the worst moment (traps.py)."""
    aim = "none" if options.aim == "none" else rng.choice(TRAPS)
    options = replace(options, drill=rng.choice(("none", *DRILLS)))
    if options.campaign != "liars":
        return replace(options, aim=aim, liars=0, lie="none")
    forges, aim = rng.chance(0.3), rng.choice(TRAPS)
    return replace(
        options,
        campaign="elections",
        # Long enough to die between having an entry and having executed it.
        execute_ms=100.0 if aim == FOLLOWERS else options.execute_ms,
        liars=int(forges),
        lie="counterfeit" if forges else "none",
        n=rng.choice((3, 3, 4, 5, 5, 7)),
        aim=aim,
        crash=rng.choice((0.0, 0.0, 0.002)),
        resend_ms=rng.choice((50, 400)),
        duplication=rng.choice((0.0, 0.5)),
    )


def calm(n: int, engine: EngineName = "pbft") -> Options:
    """No faults at all: what a test starts from, with `dataclasses.replace`."""
    drawn = _quiet(_storm(Dice("calm"), engine))
    return replace(
        drawn,
        campaign="test",
        n=n,
        liars=0,
        lie="none",
        safety_ms=2_000,
        round_ms=300,
        round_ms_max=1_200,
        resend_ms=100,
        duplication=0.0,
        crash=0.0,
        aim="none",
        drift=0.0,
        amnesia="none",
        changes="none",
        window=60,
    )


def _storm(rng: Dice, engine: EngineName) -> Options:
    """A bit of everything."""
    n = rng.choice(SIZES)
    liars = rng.randint(0, faulty(n) if engine == "pbft" else 0)
    round_ms = rng.choice((150, 300, 1_000))
    heavy = rng.chance(0.5)
    return Options(
        campaign="storm",
        engine=engine,
        n=n,
        liars=liars,
        lie=rng.choice(LIES) if liars > 0 else "none",
        zeal=rng.choice((0.02, 0.1)),
        ban_ms=rng.choice((20.0, 300.0, 2_000.0)),
        safety_ms=rng.choice((3_000, 6_000)),
        haste=1.0,
        clients=rng.choice((2, 4, 8)),
        think_ms=rng.choice((20, 80, 200)),
        patience_ms=rng.choice((300, 1_500)),
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


def _liars(rng: Dice, options: Options) -> Options:
    """As many liars as may be, and losses made for them; else all is well.

    A block that was prepared and decided by one node alone is what a lying proposer must undo, so
    the losses are mostly those of COMMITs, and many heights pass.
    """
    n = rng.choice((4, 4, 4, 4, 5, 7))
    return replace(
        _quiet(options),
        campaign="liars",
        n=n,
        liars=faulty(n) if options.engine == "pbft" else 0,
        lie=rng.choice((*("directed",) * 5, "twins", rng.choice(GENERIC))),
        zeal=rng.choice((0.1, 0.3, 0.3)),
        ban_ms=20.0,
        aim=rng.choice((*("commits_reach_one",) * 5, *AIMS, "none")),
        round_ms=150,
        round_ms_max=rng.choice((300, 600)),
        resend_ms=50,
        safety_ms=4_000,
        clients=8,
        amnesia="none",
    )


def _crashes(rng: Dice, options: Options) -> Options:
    """Processes die at every step, and the votes that matter are lost."""
    return replace(
        _quiet(options),
        campaign="crashes",
        n=rng.choice((3, 4, 4, 5, 7)),
        liars=0,
        lie="none",
        crash=rng.choice((0.002, 0.01)),
        aim=rng.choice((*AIMS, "none")),
        round_ms=150,
        round_ms_max=600,
    )


def _disks(rng: Dice, options: Options) -> Options:
    """Disks fail, fill up, rot, and are replaced by old copies."""
    liars = rng.choice((0, 1)) if options.engine == "pbft" else 0
    return replace(
        _quiet(options),
        campaign="disks",
        n=7 if liars > 0 else rng.choice((4, 4, 7)),
        liars=liars,
        lie=rng.choice(("forge", "forge", "withhold", "boast")) if liars > 0 else "none",
        crash=0.001,
        sync_fails=rng.choice((0.0, 0.003)),
        full=rng.choice((0.0, 0.003)),
        amnesia=rng.choice(("wipe", "restore", "restore", "rot")),
        aim=rng.choice((*AIMS, "none", "none", "none")),
        round_ms=150,
        round_ms_max=600,
    )


def _quiet(options: Options) -> Options:
    """The same without bad weather, so that more heights pass."""
    return replace(
        options,
        delay_ms=3.0,
        tail=0.0,
        loss=0.0,
        reordering=0.0,
        partition="none",
        execute_ms=1.0,
        execute_tail=0.0,
        sync_ms=1.0,
        pauses=False,
        skew_ms=0,
        sync_fails=0.0,
        full=0.0,
        think_ms=20,
        patience_ms=300,
    )


CAMPAIGNS: Final = (*("storm",) * 3, *("liars",) * 3, "crashes", "disks")
LIES: Final = (
    *GENERIC,
    "diverge",
    "twins",
    "twins",
    "directed",
    "directed",
    "directed",
    "directed",
)
WISHES_LOST: Final = "wishes_are_lost"
AIMS: Final = ("commits_reach_one", "prepares_reach_one", "decider_is_mute", WISHES_LOST)
AMNESIA: Final = ("none", "none", "wipe", "restore", "rot")
CHANGES: Final = ("none", "none", "params", "validators", "keys", "upgrade")
