"""What goes wrong during the safety phase: partitions, pauses, clock jumps, lost disks."""

from __future__ import annotations

from collections.abc import Callable

from consensus.messages import Commit, Prepare, Proposal, RoundChange, decode_message
from devnet.sim.cluster import Cluster
from devnet.sim.disk import Backup
from devnet.sim.machine import Machine
from devnet.sim.network import Lose
from devnet.sim.trapnames import TRAPS
from devnet.sim.traps import Trap, trap_of
from medquorum.quorum import faulty
from node.wire import FrameKind

VOTES_AGAIN_AFTER = 3
"""Heights beyond the best known one after which a machine without memory votes again."""


class Nemesis:
    """Plans faults in virtual time until told to stop."""

    def __init__(
        self, cluster: Cluster, honest: Callable[[], list[Machine]], height: Callable[[], int]
    ) -> None:
        """`height` is the highest that any honest machine ever committed, also one that is down."""
        self._cluster = cluster
        self._world = cluster.world
        self._list_honest = honest
        self._height = height
        self._backups: dict[str, Backup] = {}
        self._forgetful: dict[str, int] = {}
        """Who observes until which height."""
        self.active = True

    def start(self) -> None:
        """Begin."""
        options = self._cluster.options
        if options.partition != "none":
            self._plan(200, 1_500, self._partition)
        if options.pauses:
            self._plan(200, 2_000, self._pause)
        if options.skew_ms > 0:
            self._plan(300, 2_000, self._jump)
        if options.amnesia in ("wipe", "restore"):
            self._plan(200, 1_500, self._forget)
        if options.amnesia == "rot":
            self._plan(200, 1_500, self._rot)
        if options.aim in TRAPS:
            self._plan(0.5 * options.round_ms, 6.0 * options.round_ms, self._trap)
        elif options.aim != "none":
            self._plan(100, 1_200, self._aim)

    def _plan(self, low_ms: float, high_ms: float, act: Callable[[], None]) -> None:
        def due() -> None:
            if self.active:
                act()
                self._plan(low_ms, high_ms, act)

        haste = self._cluster.options.haste
        self._world.later_ms(self._world.rng.uniform(low_ms, high_ms) * haste, due)

    def _partition(self) -> None:
        rng, net = self._world.rng, self._cluster.net
        places = [machine.place for machine in net.machines]
        if len(net.blocked) > 0 and rng.chance(0.7):
            net.cut(set())
            return
        match self._cluster.options.partition:
            case "isolate":
                alone = rng.choice(places)
                pairs = {(a, b) for a in places for b in places if alone in (a, b) and a != b}
            case "one_way":
                mute = rng.choice(places)
                pairs = {(mute, b) for b in places if b != mute}
            case "bridge":
                bridge = rng.choice(places)
                side = {place for place in places if rng.chance(0.5)}
                pairs = {
                    (a, b) for a in places for b in places
                    if bridge not in (a, b) and (a in side) != (b in side)
                }  # fmt: skip
            case "flapping":
                pairs = {(a, b) for a in places for b in places if a != b and rng.chance(0.3)}
            case _:
                side = {place for place in places if rng.chance(0.5)}
                pairs = {(a, b) for a in places for b in places if (a in side) != (b in side)}
        net.slow.clear()
        net.slow[rng.choice(places), rng.choice(places)] = rng.choice((3.0, 20.0))
        net.cut(pairs)

    def _aim(self) -> None:
        """Lose certain votes for a while, then none: the trap must be left to be fallen into."""
        net = self._cluster.net
        net.lose = aimed(self._cluster, self._cluster.options.aim) if net.lose is None else None

    def _trap(self) -> None:
        """Another trap: the one before has caught a leader or not."""
        known = self._cluster.net.lose
        if isinstance(known, Trap) and known.busy_until_us > self._world.now_us:
            return
        self._cluster.net.lose = trap_of(self._cluster, self._cluster.options.aim)

    def _pause(self) -> None:
        rng = self._world.rng
        rng.choice(self._cluster.net.machines).pause(rng.choice((50.0, 500.0, 3_000.0)))

    def _jump(self) -> None:
        rng, skew = self._world.rng, self._cluster.options.skew_ms
        rng.choice(self._cluster.net.machines).skew_ms = rng.randint(-skew, skew)

    def _rot(self) -> None:
        """A disk whose bits have changed while nobody looked: found when the node starts."""
        machine = self._world.rng.choice(self._honest)
        if machine.is_up and self._may_lose_one(machine):
            machine.disk.faults.rot = 0.3
            self._forgetful[machine.name] = self._height() + VOTES_AGAIN_AFTER
            machine.crash(power=False, why="bits rot")

    @property
    def _honest(self) -> list[Machine]:
        return self._list_honest()

    def _may_lose_one(self, machine: Machine) -> bool:
        """A machine that lost its memory counts as faulty until it votes again; f may be faulty."""
        tips = {m.name: 0 if m.node is None else m.node.chain.tip.height for m in self._honest}
        self._forgetful = {
            name: until for name, until in self._forgetful.items() if tips.get(name, until) < until
        }
        others = [name for name in self._forgetful if name != machine.name]
        # Without a founder among the members it could connect to nobody that it knows.
        founders = {v.key for v in self._cluster.genesis.validators}
        known = [
            m.name
            for m in self._honest
            if m is not machine and m.validator is not None and m.validator.public in founders
        ]
        if all(name in others for name in known):
            return False
        return len(others) + self._cluster.options.liars < faulty(len(self._honest))

    def _forget(self) -> None:
        """Take what is durable from one machine, but what must never be restored: its votes."""
        rng = self._world.rng
        machine = rng.choice(self._honest)
        if not machine.is_up or not self._may_lose_one(machine):
            return
        backup = self._backups.get(machine.name)
        keep = machine.home.sign_state
        if self._cluster.options.amnesia == "restore" and backup is None:
            self._backups[machine.name] = machine.disk.backup(keep)
            return
        machine.crash(power=True, why="its disk is replaced")
        machine.replace_disk(backup or Backup({}, ()))
        self._forgetful[machine.name] = self._height() + VOTES_AGAIN_AFTER
        self._backups.pop(machine.name, None)


def aimed(cluster: Cluster, aim: str) -> Lose:
    """Losses that chance alone would not find: aimed at votes of a kind, by height and round."""
    salt = cluster.world.rng.randrange(1 << 30)
    machines, rng = cluster.net.machines, cluster.world.rng

    def chosen(height: int, round_: int) -> int:
        return (salt + 31 * height + 17 * round_) % len(machines)

    def lose(sender: int, receiver: int, kind: int, payload: bytes) -> bool:
        if kind != FrameKind.CONSENSUS:
            return False
        vote = decode_message(payload)
        one = chosen(vote.height, getattr(vote, "round", 0))
        match aim:
            case "commits_reach_one":
                return isinstance(vote, Commit) and receiver != one
            case "prepares_reach_one" if isinstance(vote, Prepare):
                return receiver != one
            case "prepares_reach_one":
                return isinstance(vote, Commit) and rng.chance(0.9)
            case "wishes_are_lost":
                return isinstance(vote, RoundChange) and rng.chance(0.9)
            case _:
                lonely = chosen(vote.height, 0)
                if isinstance(vote, Commit):
                    return receiver != lonely or vote.round > 0
                return sender == lonely and not isinstance(vote, Prepare | Proposal)

    return lose
