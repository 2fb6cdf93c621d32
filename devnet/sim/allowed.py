"""What a run may do to honest nodes, so that the checkers do not take it for a violation."""

from __future__ import annotations

from dataclasses import dataclass, field

from node.errors import DivergenceError, IdentityError
from node.ledger.errors import UnservedCodeError
from storage.errors import DamagedError, DiskError, DoubleSignRefusedError, FormatError


@dataclass(slots=True)
class Allowed:
    """What a run has made possible, so that it is no violation."""

    disk_errors: bool = False
    damage: bool = False
    old_software: set[str] = field(default_factory=set)
    """Machines that lack code which governance may activate."""
    keyless: set[str] = field(default_factory=set)
    """Machines whose sign state is gone: they must not start."""
    halts: frozenset[str] = frozenset()
    """Reasons for which an honest engine may halt."""
    forgers: frozenset[bytes] = frozenset()
    """Validators that may be blamed for what they send, though they vote truly."""

    def stops(self, name: str, cause: BaseException) -> bool:
        """Whether an honest node of this name may end by itself for this cause."""
        match cause:
            case DiskError():
                return self.disk_errors
            case DamagedError() | DoubleSignRefusedError() | FormatError():
                return self.damage
            case UnservedCodeError():
                return name in self.old_software
            case IdentityError():
                return name in self.keyless
            case DivergenceError():
                return "divergence" in self.halts
            case _:
                return False
