"""Known bugs of reads without a transaction: each lets a client see what is over already."""

from __future__ import annotations

from typing import Any, Final

from consensus.raft import engine, reads, state
from devnet.sim.mutants_node import Mutant
from devnet.sim.patching import Patch
from node import reads as node_reads
from node.tracker import Tracker


def leadership_not_confirmed(patch: Patch) -> None:
    """Whoever thinks that it leads answers at once."""
    true = reads._wait

    def wait(core: Any, asker: bytes, context: int) -> None:
        true(core, asker, context)
        for read in core.reads.values():
            read.beat = 0

    def answer(core: Any) -> bool:
        leading = core.state.leading
        if leading is None or core.state.decision is not None or len(core.reads) == 0:
            return False
        reads._answer_all(core, list(core.reads.values()), -1)
        return True

    patch.set(reads, "_wait", wait)
    patch.set(reads, "answer", answer)
    _rule(patch, answer)


def inherited_entry_not_waited_for(patch: Patch) -> None:
    """A new leader answers while its entry of an older term may be decided already."""
    true = state.Leading.__init__

    def init(self: Any, reads_wait: bool, *rest: Any, **more: Any) -> None:
        del reads_wait
        true(self, False, *rest, **more)

    patch.set(state.Leading, "__init__", init)


def read_before_it_is_here(patch: Patch) -> None:
    """A node answers from what it has, whatever height its leader named."""

    async def wait_height(_self: Any, _height: int, _timeout_s: float) -> bool:
        return True

    patch.set(Tracker, "wait_height", wait_height)


def leader_not_asked(patch: Patch) -> None:
    """A node takes its own height for that of everybody."""

    async def height(self: Any, _timeout_s: float) -> int:
        self._refuse()
        return 0

    patch.set(node_reads.ReadIndex, "height", height)


def _rule(patch: Patch, answer: Any) -> None:
    """The engine holds its rules in a tuple that was made before."""
    rules = tuple(answer if rule.__name__ == "answer" else rule for rule in engine.RULES)
    patch.set(engine, "RULES", rules)


READS: Final = (
    Mutant("read without confirming leadership", leadership_not_confirmed),
    Mutant("read beside an inherited entry", inherited_entry_not_waited_for, seeds_max=1_000),
    Mutant("read before the height is here", read_before_it_is_here),
    Mutant("read without asking the leader", leader_not_asked),
)
