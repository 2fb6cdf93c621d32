"""Handing the leadership of a Raft chain to another validator, on an operator's wish or before a
stop. Whether it worked is seen, not believed: the engine must follow the new leader in the end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from consensus.engine import EngineStatus
from consensus.wishes import TransferAsked
from medquorum.block import ValidatorSet
from medquorum.quorum import EngineName, quorum
from node.errors import RefusedError

HANDOVER_SECONDS_MAX: Final = 2.0
"""How long a leader that is told to stop may look for a successor. Stopping goes on after it."""
PREFIX_BYTES_MIN: Final = 4
"""So much of a key names a validator, if no other key begins like it."""


@dataclass(frozen=True, slots=True)
class Handed:
    """Who led before, and who leads now: validator keys."""

    before: bytes
    leader: bytes


class Leadership:
    """Lives on the event loop. `changed` is told of every step of the engine.

    `connected` are the node keys of the daemons that can be reached.
    """

    def __init__(
        self,
        engine: EngineName,
        me: bytes,
        *,
        status: Callable[[], EngineStatus],
        ask: Callable[[TransferAsked], None],
        validators: Callable[[], ValidatorSet],
        connected: Callable[[], tuple[bytes, ...]],
    ) -> None:
        self._engine = engine
        self._me = me
        self._status = status
        self._ask = ask
        self._validators = validators
        self._connected = connected
        self._step = asyncio.Event()

    @property
    def leads(self) -> bool:
        """Whether this node leads now, as far as it knows. Engines without leaders have none."""
        if self._engine != "raft" or self._me == b"":
            return False
        status = self._status()
        return status.proposer == self._me and status.halted == ""

    def changed(self) -> None:
        """The engine has made a step."""
        self._step.set()

    async def transfer(self, to: bytes, timeout_s: float) -> Handed:
        """Have a validator lead whose key begins with `to`; empty: whoever is best placed.

        What is under way is finished first, and nothing new begins. Raises RefusedError:
        `not_offered` by an engine without leaders, `not_leader`, `transfer_target_unknown`,
        `transfer_target_behind` and `transfer_timed_out`. After the last two the wish is taken
        back, and this node leads on unless somebody else was elected.
        """
        if self._engine != "raft":
            raise RefusedError("not_offered", "this chain's engine has no leader that stays")
        if not self.leads:
            leader = self._status().proposer.hex() or "nobody that this node knows of"
            raise RefusedError("not_leader", f"this node does not lead; the leader is {leader}")
        target = self._resolve(to) if to != b"" else self._best(())
        if target is None:
            raise RefusedError(
                "transfer_target_behind", "no other validator keeps up with this one"
            )
        return await self._hand(target, timeout_s)

    async def hand_over(self, timeout_s: float = HANDOVER_SECONDS_MAX) -> Handed | None:
        """Before a stop: let somebody lead who can, if that is done quickly. Never raises for it.

        Without this the others notice after an election timeout that nobody leads.
        """
        loop = asyncio.get_running_loop()
        end, tried = loop.time() + timeout_s, list[bytes]()
        while self.leads and loop.time() < end:
            target = self._best(tried)
            if target is None or not self._has_quorum():
                return None
            tried.append(target)
            try:
                return await self._hand(target, end - loop.time())
            except RefusedError:
                continue
        return None

    async def _hand(self, target: bytes, timeout_s: float) -> Handed:
        self._ask(TransferAsked(target))
        begun = kept_up = False
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    await self._next_step()
                    status = self._status()
                    if status.proposer == target:
                        return Handed(self._me, target)
                    kept_up = kept_up or target in status.followed_by
                    tries = status.transferring_to == target
                    if status.proposer == self._me:
                        is_over = begun and not tries
                    else:
                        # While nobody leads, they are voting.
                        is_over = status.proposer != b""
                    if is_over:
                        break
                    begun = begun or tries
        except TimeoutError:
            pass
        finally:
            if not begun or self._status().transferring_to == target:
                # Also if the engine has not heard of the wish yet: it hears of this after it.
                self._ask(TransferAsked(b""))
        name = target.hex()
        if not (kept_up and target in self._reachable()):
            raise RefusedError("transfer_target_behind", f"{name} does not keep up with this node")
        raise RefusedError("transfer_timed_out", f"{name} did not take over in time")

    async def _next_step(self) -> None:
        self._step.clear()
        await self._step.wait()

    def _resolve(self, prefix: bytes) -> bytes:
        keys = [v.key for v in self._validators().validators if v.key != self._me]
        found = [key for key in keys if key.startswith(prefix)]
        if len(prefix) < PREFIX_BYTES_MIN or len(found) != 1:
            raise RefusedError(
                "transfer_target_unknown",
                f"{len(found)} other validators have a key that begins with {prefix.hex()};"
                f" {PREFIX_BYTES_MIN} bytes at least must name one",
            )
        return found[0]

    def _best(self, tried: Sequence[bytes]) -> bytes | None:
        """Somebody who is connected: best, who has answered us at this height already."""
        able = [key for key in self._reachable() if key not in tried]
        follows = self._status().followed_by
        return min(able, key=lambda key: key not in follows, default=None)

    def _reachable(self) -> list[bytes]:
        """The other validators whose daemons are connected."""
        connected = self._connected()
        return [
            validator.key
            for validator in self._validators().validators
            if validator.key != self._me and validator.node_key in connected
        ]

    def _has_quorum(self) -> bool:
        needed = quorum("raft", len(self._validators().validators))
        return len(self._reachable()) + 1 >= needed
