"""Histories of small clusters, as tapes: every event that one validator was given, in order.

Engines are functions of their events, so a tape is all that it takes to bring a validator to any
point of its history again, and to have it crash there (tests/support/recovery_replay.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Final, TypeAlias

from typing_extensions import override

from consensus.engine import Event, HeightStarted
from consensus.messages import Commit, Message, Prepare, Proposal, ReleasedRecord
from consensus.raft.messages import Ack, Append, Heartbeat, HeartbeatReply
from consensus.wishes import ReadAsked, TransferAsked
from medquorum.quorum import EngineName
from tests.support.engine_host import Faults, Host
from tests.support.engines import TIMING, Cluster, Lose, Network

LIMIT_MS: Final = 40 * TIMING.round_ms_max


@dataclass(frozen=True, slots=True)
class Released:
    """The validator was down, and its operator ended its halt at this height."""

    height: int


Step: TypeAlias = Event | Released


@dataclass(frozen=True, slots=True)
class Tape:
    """What happened to one validator, from its first start on."""

    name: str
    engine: EngineName
    victim: Host
    """Its key and its world; what it became is not looked at."""

    others: tuple[bytes, ...]
    steps: tuple[Step, ...]
    chain: tuple[HeightStarted, ...]
    """The start of each height that the cluster came to, from height 1 on."""

    may_halt: bool
    """Whether it computed something else than the others."""


@dataclass(slots=True)
class TapedHost(Host):
    """A host that writes down what its engine is given."""

    steps: list[Step] = field(default_factory=list)

    @override
    def feed(self, event: Event) -> None:
        """The event goes onto the tape first."""
        if self.engine is not None:
            self.steps.append(event)
        Host.feed(self, event)

    @override
    def ask(self, event: ReadAsked | TransferAsked) -> None:
        """The same for what only Raft knows."""
        self.steps.append(event)
        Host.ask(self, event)

    def release(self) -> None:
        """Stop, have the halt released, start."""
        height = self.started().height
        self.steps.append(Released(height))
        self.log.append(ReleasedRecord(height))
        self.boot()


class TapedCluster(Cluster):
    """A cluster of which any validator may be looked at again."""

    @override
    def _host(self, index: int, copy: int) -> Host:
        made = super()._host(index, copy)
        return TapedHost(**{part.name: getattr(made, part.name) for part in fields(made)})

    def taped(self, index: int) -> TapedHost:
        """One of the hosts."""
        host = self.hosts[index]
        assert isinstance(host, TapedHost)
        return host

    def until(self, height: int) -> None:
        """Let all get there."""
        assert self.run(lambda: min(self.heights()) >= height, LIMIT_MS), self.heights()

    def starts(self) -> tuple[HeightStarted, ...]:
        """Where each height of the longest chain began."""
        longest = max(self.hosts, key=lambda host: len(host.chain))
        return (*(started for started, _ in longest.chain), longest.started())


Script: TypeAlias = Callable[[TapedCluster], None]


def calm(cluster: TapedCluster) -> None:
    """Nothing goes wrong."""
    cluster.boot()
    cluster.until(3)


def _until_round(lose: Callable[[Cluster], Lose], round_: int) -> Script:
    """Messages of rounds below this one are lost as `lose` says, at every height."""

    def play(cluster: TapedCluster) -> None:
        pattern = lose(cluster)

        def lost(sender: bytes, receiver: bytes, message: Message) -> bool:
            at = getattr(message, "round", getattr(message, "term", round_))
            return at < round_ and pattern(sender, receiver, message)

        cluster.network.lose = lost
        cluster.boot()
        cluster.until(2)

    return play


def _kinds(*kinds: type[Message]) -> Callable[[Cluster], Lose]:
    return lambda _cluster: lambda _from, _to, message: isinstance(message, kinds)


def _for_most(*kinds: type[Message]) -> Callable[[Cluster], Lose]:
    """These reach one validator only, another one in each round."""

    def lose(cluster: Cluster) -> Lose:
        def lost(_sender: bytes, receiver: bytes, message: Message) -> bool:
            at = getattr(message, "round", getattr(message, "term", 0))
            chosen = cluster.keys[(message.height + at) % len(cluster.keys)]
            return isinstance(message, kinds) and receiver != chosen

        return lost

    return lose


def moody(cluster: TapedCluster) -> None:
    """The network loses, repeats and delays."""
    cluster.network = Network(loss=0.15, duplication=0.1, delay_ms=(1.0, 60.0), tail=0.02)
    cluster.boot()
    cluster.until(3)


def released(cluster: TapedCluster) -> None:
    """Validator 1 computes something else, halts, is released, and computes what others do."""
    odd = cluster.taped(1)
    cluster.boot()
    cluster.until(1)
    odd.faults = Faults(random_results=1.0)
    assert cluster.run(lambda: odd.is_halted, LIMIT_MS)
    odd.faults = Faults()
    cluster.run_for(TIMING.round_ms)
    odd.release()
    cluster.until(len(odd.chain) + 2)


def transferred(cluster: TapedCluster) -> None:
    """Whoever leads is asked to hand over to validator 2, between entries and during one."""
    cluster.boot()
    for height in (1, 2):
        cluster.until(height)
        cluster.run_for(3.0)
        for host in cluster.hosts:
            host.ask(TransferAsked(cluster.keys[2]))
        cluster.until(height + 1)


PBFT_SCRIPTS: Final[dict[str, Script]] = {
    "calm": calm,
    "no_proposals": _until_round(_kinds(Proposal), 2),
    "no_commits": _until_round(_kinds(Commit), 2),
    "prepares_reach_one": _until_round(_for_most(Prepare), 2),
    "commits_reach_one": _until_round(_for_most(Commit), 3),
    "moody": moody,
    "released": released,
}
RAFT_SCRIPTS: Final[dict[str, Script]] = {
    "calm": calm,
    "no_entries": _until_round(_kinds(Append, Heartbeat), 2),
    "no_acks": _until_round(_kinds(Ack, Heartbeat, HeartbeatReply), 3),
    "entries_reach_one": _until_round(_for_most(Append, Heartbeat), 3),
    "acks_reach_one": _until_round(_for_most(Ack, HeartbeatReply, Heartbeat), 3),
    "transferred": transferred,
    "moody": moody,
    "released": released,
}
SCRIPTS: Final = {"pbft": PBFT_SCRIPTS, "raft": RAFT_SCRIPTS}


def record(
    engine: EngineName, name: str, seed: int, victims: Sequence[int], n: int = 4
) -> list[Tape]:
    """Play a schedule and give the tapes of these validators."""
    cluster = TapedCluster(seed, n, engine=engine, network=Network(delay_ms=(1.0, 8.0)))
    SCRIPTS[engine][name](cluster)
    chain = cluster.starts()
    return [
        Tape(
            f"{engine} {name} {seed} v{victim}",
            engine,
            cluster.hosts[victim],
            tuple(key for key in cluster.keys if key != cluster.keys[victim]),
            tuple(cluster.taped(victim).steps),
            chain,
            name == "released",
        )
        for victim in victims
    ]
