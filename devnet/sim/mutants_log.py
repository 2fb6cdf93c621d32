"""Known bugs of compaction: what is cut off the log is still needed."""

from __future__ import annotations

from typing import Final

from consensus.pbft.engine import PbftEngine
from consensus.raft.engine import RaftEngine
from devnet.sim.mutants_node import Mutant
from devnet.sim.patching import Patch


def undecided_height_cut_off(patch: Patch) -> None:
    """The log is cut above what is in the chain: what was said at the height is forgotten."""
    for engine in (PbftEngine, RaftEngine):
        patch.set(engine, "checkpoint", lambda _self: ())


LOG: Final = (Mutant("log cut above what is decided", undecided_height_cut_off),)
