"""Whose turn it is to propose (docs/spec/pbft.md, rules W1 to W4): the same answer everywhere.

Worked out here from the committed headers, the slow way, and compared with what each node says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from consensus.engine import EngineStatus, HeightStarted
from medquorum.block import Header, ValidatorSet


@dataclass(slots=True)
class TurnsChecks:
    """Sees what is committed, and with what turns honest nodes of a PBFT chain start a height."""

    fail: Callable[[str], None]
    _made: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)
    """Height to its proposer and the hash of the validators that voted on it."""
    _turns: dict[int, tuple[bytes, list[bytes]]] = field(default_factory=dict)
    """Height to who comes first and who is passed over."""

    def committed(self, header: Header) -> None:
        """An honest node has this height."""
        self._made[header.height] = (header.proposer, header.validators_hash)

    def first(self, height: int) -> bytes:
        """Who has the first turn at a height that some engine has begun."""
        return self._turns[height][0]

    def started(self, who: str, event: HeightStarted, status: EngineStatus) -> None:
        """An honest node's engine begins a height."""
        if status.height != event.height or status.round > 0:
            return
        if event.height not in self._turns:
            cycles = event.rota_cycles
            self._turns[event.height] = self._expected(event.height, event.validators, cycles)
        first, passed_over = self._turns[event.height]
        if (status.proposer, list(status.passed_over)) != (first, passed_over):
            self.fail(f"W1: {who} has turns of its own at height {event.height}")

    def _expected(
        self, height: int, validators: ValidatorSet, cycles: int
    ) -> tuple[bytes, list[bytes]]:
        keys, own_set = [validator.key for validator in validators.validators], validators.hash()
        n, spare = len(keys), len(keys) // 3
        if cycles == 0:
            return keys[height % n], []
        rota = height // (cycles * n)
        begin = height
        while begin - 1 > 0 and begin > (rota - 1) * cycles * n:
            if self._made[begin - 1][1] != own_set:
                break
            begin -= 1
        missed: list[bytes] = []

        def first(at: int) -> bytes:
            def patience(key: bytes) -> tuple[int, int]:
                blocks = [h for h in range(begin, at) if self._made[h][0] == key]
                return (max(blocks, default=-1), (keys.index(key) - begin) % n)

            return min((key for key in keys if key not in missed), key=patience)

        for at in range(max(begin, rota * cycles * n), height):
            leader = first(at)
            if self._made[at][0] != leader:
                missed = [*missed, leader][-spare:] if spare > 0 else []
        return first(height), missed
