"""A deterministic cluster of engines in memory: virtual time, one seed, one outcome."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import TypeAlias

from consensus.engine import Decided, Effects, HeightStarted, Received, Send, Timing
from consensus.messages import LogRecord, Message, decode_message, encode_message
from consensus.pbft.members import Members
from medquorum.block import ValidatorSet
from medquorum.quorum import EngineName
from tests.support.engine_checks import Checker, Violation
from tests.support.engine_host import Faults, Hooks, Host
from tests.support.engine_world import PRETENDED, KeyRing, genesis_started, validator_set
from tests.support.raft_checks import RaftChecker

Lose = Callable[[bytes, bytes, Message], bool]
"""Whether the network loses a message from one key to another."""

AnyChecker: TypeAlias = Checker | RaftChecker

TIMING = Timing(round_ms=100, round_ms_max=1_600, resend_ms=50)


@dataclass(slots=True)
class Network:
    """What happens to messages. All probabilities are per message and receiver."""

    loss: float = 0.0
    duplication: float = 0.0
    delay_ms: tuple[float, float] = (1.0, 5.0)
    tail: float = 0.0
    """Probability of a delay up to a hundred times as long."""

    lose: Lose = field(default=lambda _from, _to, _message: False)
    recode: bool = False
    """Whether each message goes through its encoding."""


class Cluster:
    """Validators v0 to v(n-1). Those named in `twins` run twice; `puppets` are played by a test."""

    def __init__(
        self,
        seed: int,
        n: int,
        *,
        timing: Timing = TIMING,
        network: Network | None = None,
        puppets: Sequence[int] = (),
        twins: Sequence[int] = (),
        keys: KeyRing = PRETENDED,
        engine: EngineName = "pbft",
        validators_at: Callable[[int], ValidatorSet] | None = None,
    ) -> None:
        self.rng = Random(seed)
        self.timing = timing
        self.network = Network() if network is None else network
        self.ring = keys
        self.validators = validator_set(n, keys.public)
        self.members = Members.of(self.validators)
        self.keys = self.members.keys
        self.byzantine = frozenset(self.keys[i] for i in (*puppets, *twins))
        self.engine: EngineName = engine
        everybody = self.validators
        self.validators_at = (lambda _: everybody) if validators_at is None else validators_at
        self.checker: AnyChecker = (
            Checker(self.members, self.byzantine, keys.verify)
            if engine == "pbft"
            else RaftChecker(self.validators_at, keys.verify)
        )
        self.now = 0.0
        self.dropped: Counter[str] = Counter()
        self.evidence: set[tuple[bytes, str]] = set()
        self.faults: set[tuple[bytes, bytes, str]] = set()
        """(who reports, whom, why)"""
        self.events = 0
        self.watchers: list[Callable[[bytes, Send], None]] = []
        self.effect_watchers: list[Callable[[Host, Effects], None]] = []
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self.hosts = [
            self._host(i, copy)
            for i in range(n)
            if i not in puppets
            for copy in range(2 if i in twins else 1)
        ]
        self._at: dict[bytes, list[Host]] = {}
        for host in self.hosts:
            self._at.setdefault(host.key, []).append(host)

    def _host(self, index: int, copy: int) -> Host:
        hooks = Hooks(
            later=self.later,
            now=lambda: self.now,
            sent=self._sent,
            persisted=self._persisted,
            decided=self._decided,
            effects=self._effects,
            chain_of_others=self._chain_of_others,
        )
        return Host(
            name=f"v{index}" + "'" * copy,
            key=self.keys[index],
            timing=self.timing,
            kind=self.engine,
            genesis=genesis_started(self.validators_at(1)),
            rng=Random(self.rng.random()),
            hooks=hooks,
            signer=self.ring.signer(index),
            verify=self.ring.verify,
            validators_at=self.validators_at,
            faults=Faults(),
        )

    @property
    def correct(self) -> list[Host]:
        """The hosts whose promises are checked."""
        return [host for host in self.hosts if host.key not in self.byzantine]

    def boot(self) -> None:
        """Start everybody."""
        for host in self.hosts:
            host.boot()

    def later(self, delay_ms: float, call: Callable[[], None]) -> None:
        """Call a function in virtual time."""
        self._count += 1
        heapq.heappush(self._queue, (self.now + delay_ms, self._count, call))

    def run(self, until: Callable[[], bool], limit_ms: float) -> bool:
        """Let time pass until a condition holds; False if it did not within the limit."""
        end = self.now + limit_ms
        while not until():
            if len(self._queue) == 0 or self._queue[0][0] > end:
                self.now = end
                return until()
            self.now, _, call = heapq.heappop(self._queue)
            self.events += 1
            call()
        return True

    def run_for(self, duration_ms: float) -> None:
        """Let time pass."""
        self.run(lambda: False, duration_ms)

    def heights(self) -> list[int]:
        """How far each correct host is."""
        return [len(host.chain) for host in self.correct]

    def transmit(self, sender: bytes, receiver: bytes, message: Message) -> None:
        """Put a message on the wire, as `sender`'s peers see it."""
        network, rng = self.network, self.rng
        if network.loss > 0 and rng.random() < network.loss:
            return
        if network.lose(sender, receiver, message):
            return
        if network.recode:
            message = decode_message(encode_message(message))
        copies = 2 if network.duplication > 0 and rng.random() < network.duplication else 1
        for host in self._at.get(receiver, []):
            for _ in range(copies):
                delay = rng.uniform(*network.delay_ms)
                if network.tail > 0 and rng.random() < network.tail:
                    delay *= 100 * rng.random()
                event = Received(sender, message)
                self.later(delay, partial(host.feed, event))

    def broadcast(self, sender: bytes, message: Message) -> None:
        """The same to all others."""
        for key in self.keys:
            if key != sender:
                self.transmit(sender, key, message)

    def _sent(self, host: Host, send: Send) -> None:
        if host.key not in self.byzantine:
            self.checker.on_sent(host.key, host.log, host.computed, send)
        for watcher in self.watchers:
            watcher(host.key, send)
        if send.to is None:
            self.broadcast(host.key, send.message)
        elif send.to != host.key:
            self.transmit(host.key, send.to, send.message)

    def _persisted(self, host: Host, record: LogRecord) -> None:
        if host.key not in self.byzantine:
            self.checker.on_persisted(host.key, record)

    def _decided(self, host: Host, decided: Decided) -> None:
        if host.key not in self.byzantine:
            self.checker.on_decided(decided)

    def _effects(self, host: Host, effects: Effects) -> None:
        self.dropped.update(effects.dropped)
        for watcher in self.effect_watchers:
            watcher(host, effects)
        for evidence in effects.evidence:
            self.evidence.add((evidence.validator, evidence.kind))
            if evidence.validator not in self.byzantine:
                raise Violation(f"{host.name} convicts an honest validator of {evidence.kind}")
        for fault in effects.faults:
            self.faults.add((host.key, fault.peer, fault.reason))
            if fault.peer not in self.byzantine and host.key not in self.byzantine:
                raise Violation(f"{host.name} blames an honest validator: {fault.reason}")

    def _chain_of_others(self, peer: bytes, height: int) -> list[tuple[HeightStarted, Decided]]:
        for host in self.correct:
            if host.key == peer or peer in self.byzantine:
                return host.chain[:height]
        return []
