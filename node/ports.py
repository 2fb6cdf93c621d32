"""What the world does for the engine: the driver's ports, joined from the parts of the node."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from structlog.typing import FilteringBoundLogger

from consensus.engine import (
    Build,
    CatchUp,
    Decided,
    Evidence,
    Execute,
    Halt,
    PeerFault,
    SetTimer,
    Validate,
)
from consensus.messages import Message
from consensus.wishes import ReadAnswered
from node.blockwork import BlockWork
from node.network import Network
from node.reads import ReadIndex
from node.roster import Roster
from node.sync import Sync
from node.timers import Timers


class Counts(Protocol):
    """The metrics, as the ports need them."""

    def dropped(self, reason: str) -> None:
        """Input that the engine ignored."""
        ...


class EnginePorts:
    """Implements node.driver.Ports. Every call returns at once."""

    def __init__(
        self,
        *,
        network: Network,
        timers: Timers,
        work: BlockWork,
        sync: Sync,
        roster: Roster,
        metrics: Counts,
        evidence: Callable[[Evidence], None],
        reads: ReadIndex,
        log: FilteringBoundLogger,
    ) -> None:
        self._network = network
        self._timers = timers
        self._work = work
        self._sync = sync
        self._roster = roster
        self._metrics = metrics
        self._evidence = evidence
        self._reads = reads
        self._log = log

    def send(self, to: bytes | None, message: Message) -> None:
        """Votes go on the consensus lane. What is lost, the engine sends again."""
        self._network.send_votes(to, message)

    def set_timer(self, timer: SetTimer) -> None:
        """Replaces the running timer of the same kind."""
        self._timers.set(timer)

    def build(self, request: Build) -> None:
        """From the mempool."""
        self._work.build(request)

    def validate(self, request: Validate) -> None:
        """Fetch, check, make durable."""
        self._work.validate(request)

    def execute(self, request: Execute) -> None:
        """On the ledger thread."""
        self._work.execute(request)

    def catch_up(self, request: CatchUp) -> None:
        """Fetch from the peer that is ahead."""
        node = self._roster.node_of(request.peer)
        if node is not None:
            self._sync.claim(node, request.height)

    def commit(self, decided: Decided) -> None:
        """On the writer thread."""
        self._work.commit(decided)

    def evidence(self, evidence: Evidence) -> None:
        """Have it verified, kept and passed on."""
        self._evidence(evidence)

    def fault(self, fault: PeerFault) -> None:
        """Drop the peer by name."""
        node = self._roster.node_of(fault.peer)
        self._log.warning("peer_fault", validator=fault.peer, reason=fault.reason)
        if node is not None:
            self._network.punish(node, fault.reason)

    def dropped(self, reason: str) -> None:
        """Count it."""
        self._metrics.dropped(reason)

    def halt(self, halt: Halt) -> None:
        """Voting is over for this node: say so. The engine remembers it, restarts included."""
        self._log.error("halted", reason=halt.reason, detail=halt.detail)

    def diverges(self, validator: bytes) -> None:
        """Nobody is punished for it; somebody has to mend a node."""
        self._log.warning("computes_differently", validator=validator)

    def read(self, answer: ReadAnswered) -> None:
        """Whoever waits for it hears of it."""
        self._reads.answered(answer)
