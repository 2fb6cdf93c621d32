"""The exceptions of the engines.

    MedQuorumError
    └── ConsensusError
        └── LogContradictionError   the log's records cannot have been written by one engine

Messages never make an engine raise; what is wrong with them is counted by name.
"""

from __future__ import annotations

from medquorum.errors import MedQuorumError


class ConsensusError(MedQuorumError):
    """Base of the engines' errors. Never raised itself."""


class LogContradictionError(ConsensusError):
    """The log's records cannot have been written by one engine: nobody may vote from them."""

    def __init__(self, record: str, detail: str) -> None:
        super().__init__(f"{record}: {detail}")
        self.record = record
        self.detail = detail
