"""What a series of kills draws, and what it tells."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

import msgspec

from devnet.loadbook import percentile
from medquorum.quorum import EngineName

LOAD_S: Final = (0.1, 0.6)
"""How long load flows in a round before it is hit: a moment between these, in seconds."""
DOWN_S: Final = (0.0, 0.25)
AGAIN_S: Final = (0.0, 1.5)
"""When who is killed again is hit: while Python loads, while the stores open, or shortly after."""
AGAIN_SHARE: Final = 0.25
WEIGHTS: Final = {"one": 4, "several": 3, "all": 3}


@dataclass(frozen=True, slots=True)
class Blow:
    """Who is killed, and when: seconds after the load began, before the start, after the start."""

    victims: tuple[int, ...]
    after_s: float
    down_s: float
    again: tuple[int, ...]
    """Those of the victims that are killed once more while they start."""
    again_after_s: float


def draw(rng: random.Random, nodes: int) -> Blow:
    """The blow of a round. The same numbers give the same blow."""
    kind = rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
    count = {"one": 1, "several": rng.randint(min(2, nodes), max(1, nodes - 1)), "all": nodes}[kind]
    victims = tuple(sorted(rng.sample(range(nodes), count)))
    again = rng.random() < AGAIN_SHARE
    twice = tuple(sorted(rng.sample(victims, rng.randint(1, count)))) if again else ()
    return Blow(victims, rng.uniform(*LOAD_S), rng.uniform(*DOWN_S), twice, rng.uniform(*AGAIN_S))


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """What one round did and showed."""

    number: int
    killed: tuple[int, ...]
    again: tuple[int, ...]
    accepted: int
    """Transactions that some node accepted, and therefore promised to keep."""
    unanswered: int
    """Whether these were taken is not known; nothing was promised."""
    lost: int
    height: int
    """Up to here all nodes have the same blocks, results and state roots, certified by a quorum."""
    receipts: int
    back_ms: float
    """From the blow until all nodes were ready and met again."""
    seconds: float
    problems: list[str]

    def line(self) -> str:
        """For a person."""
        names = ",".join(map(str, self.killed))
        twice = f" again {','.join(map(str, self.again))}" if self.again else ""
        verdict = "ok" if not self.problems else "BROKEN"
        return (
            f"{self.number:4}  killed {names + twice:<21}  accepted {self.accepted:4}"
            f"  unanswered {self.unanswered:3}  lost {self.lost}  height {self.height:6}"
            f"  receipts {self.receipts:3}  back in {self.back_ms / 1_000:4.1f} s"
            f"  round {self.seconds:4.1f} s  {verdict}"
        )


class Series(msgspec.Struct, kw_only=True):
    """All rounds, and what the data of the stopped nodes showed at the end."""

    seed: int
    engine: EngineName
    rounds: list[Round] = []
    kills: int = 0
    accepted: int = 0
    lost: int = 0
    seconds: float = 0.0
    receipts: int = 0
    """Of the whole chain, verified at the end."""
    verified: dict[str, int] = {}
    """What `medquorum verify --deep` looked at, of all nodes."""
    problems: list[str] = []

    def add(self, done: Round) -> None:
        """One more round."""
        self.rounds.append(done)
        self.kills += len(done.killed) + len(done.again)
        self.accepted += done.accepted
        self.lost += done.lost
        self.problems += [f"round {done.number}: {problem}" for problem in done.problems]

    @property
    def holds(self) -> bool:
        """Whether no promise was broken."""
        return not self.problems


def as_text(series: Series) -> str:
    """What all rounds together showed, for people."""
    back = sorted(done.back_ms for done in series.rounds)
    each = sorted(done.seconds for done in series.rounds)
    height = max((done.height for done in series.rounds), default=0)
    checked = ", ".join(f"{count} {what}" for what, count in series.verified.items())
    totals = (
        f"{len(series.rounds)} rounds on {series.engine}, {series.kills} kills,"
        f" {series.accepted} transactions acknowledged, {series.lost} lost, {height} heights,"
        f" in {series.seconds:.0f} s"
    )
    times = (
        f"all ready again after p50 {percentile(back, 50) / 1_000:.1f} s,"
        f" longest {percentile(back, 100) / 1_000:.1f} s;"
        f" a round p50 {percentile(each, 50):.1f} s, longest {percentile(each, 100):.1f} s"
    )
    data = f"data of all nodes checked from the genesis: {checked or 'not'}"
    receipts = f"{series.receipts} receipts of the whole chain verified without any node"
    return "\n".join(
        [totals, times, receipts, data, *(f"FAIL {problem}" for problem in series.problems)]
    )


def as_json(series: Series) -> bytes:
    """For programs."""
    return msgspec.json.format(msgspec.json.encode(series), indent=2) + b"\n"
