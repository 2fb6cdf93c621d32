"""The engines by name: a chain's genesis says which one it has."""

from __future__ import annotations

from typing import assert_never

from consensus.engine import RecoverableEngine
from consensus.pbft.engine import PbftEngine
from consensus.raft.engine import RaftEngine
from medquorum.quorum import EngineName


def engine_of(name: EngineName) -> type[RecoverableEngine]:
    """The engine of a chain; `recover` makes one."""
    match name:
        case "pbft":
            return PbftEngine
        case "raft":
            return RaftEngine
        case _:
            assert_never(name)
