"""Clients whose reads and writes can be judged: registers made of accounts.

A register is the balance of an account, 0 at first. A client puts credit on it, takes credit off it
(refused if there is not enough, which tells what was there), or reads it. A write is a transaction,
sent again through another node until it is final, so that every one of them has one known end. A
read asks any node for its state at no lower height than any client has seen in an answer before:
that is all that the API asks of whoever must see what happened before. Where nodes offer
linearizable reads (Raft), half of the reads are such, and know of no height.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import aiohttp
import msgspec
from typing_extensions import override

from devnet.chaos.limits import AMOUNT_MAX, ANSWER_S, HOLD_S
from devnet.economy import Till
from devnet.limits import POLL_S
from devnet.loadclient import Refusal
from devnet.people import submit
from devnet.sim.linearizability import NEVER, Operation, Verb
from medquorum.client import Client
from medquorum.codec import encode
from medquorum.transaction import Operation as LedgerOperation
from medquorum.transaction import Transaction, build, sign
from node.ledger.types.payments.bodies import AccountKind, AccountOpen, Memo, Transfer

OK: Final = 200
THINK_S: Final = 0.05
"""Mean pause of a client between two operations."""
LOOKS: Final = 0.5
"""How many reads know of no height, where that is offered."""
_TAKEN: Final = (200, 202)
MSGPACK: Final = {"Content-Type": "application/msgpack"}
_FAILURES: Final = (aiohttp.ClientError, TimeoutError, OSError, msgspec.DecodeError)


class Movement(Operation):
    """An operation on a balance: PUT adds its argument, SWAP takes it off if there is enough."""

    @override
    def apply(self, state: int) -> int | None:
        match self.verb:
            case Verb.PUT:
                return state + self.argument
            case Verb.READ:
                return state if not self.answered or self.result == state else None
            case Verb.SWAP:
                enough = state >= self.argument
                if self.answered and bool(self.result) != enough:
                    return None
                return state - self.argument if enough else state


@dataclass(frozen=True, slots=True)
class Placed:
    """A transaction that a client knows to be final, and where it was told it stands."""

    tx_id: bytes
    state: str
    height: int
    code: str


@dataclass(slots=True)
class Registers:
    """The accounts, and what all clients of them saw."""

    chain_id: bytes
    till: Till
    count: int
    window: int
    """Heights within which a transaction must be committed."""
    history: list[Operation] = field(default_factory=list)
    placed: dict[bytes, Placed] = field(default_factory=dict)
    linearizable: bool = False
    """Whether nodes answer linearizable reads."""
    looks: int = 0
    """Linearizable reads that were answered."""
    contradictions: list[str] = field(default_factory=list)
    """A final state that changed, by the word of two honest nodes."""
    height: int = 0
    """The greatest height in any answer."""
    refusals: Counter[str] = field(default_factory=Counter)
    """Why nodes did not take a write at first, by code: some lag behind, or are full."""

    def account(self, register: int) -> bytes:
        """The account that is this register."""
        return self.till.keys.seed("register", self.till.org, str(register))

    def transaction(self, source: bytes, target: bytes, amount: int, nonce: bytes) -> Transaction:
        """A movement of credit, signed."""
        body = Transfer(source, target, amount, Memo.SETTLEMENT)
        key = self.till.keys.actor(self.till.org, self.till.clerk)
        unsigned = build(
            chain_id=self.chain_id,
            nonce=nonce,
            valid_until=self.height + self.window,
            operations=[LedgerOperation("pay.transfer", 1, encode(body))],
            signers=[key.public],
        )
        return sign(unsigned, [key])

    def place(self, placed: Placed) -> None:
        """A client was told a final state. Nobody may ever be told another one."""
        known = self.placed.setdefault(placed.tx_id, placed)
        if known != placed:
            self.contradictions.append(f"a client was told {known} and then {placed}")
        self.height = max(self.height, placed.height)


async def open_registers(
    client: Client,
    chain_id: bytes,
    till: Till,
    *,
    count: int,
    window: int,
    linearizable: bool,
) -> Registers:
    """Open the accounts. Raises StateError, ClientError."""
    registers = Registers(chain_id, till, count, window, linearizable=linearizable)
    org = till.keys.org_id(till.org)
    operations = [
        (
            "pay.acct.open",
            AccountOpen(registers.account(number), AccountKind.HOSPITAL, org, (), (), 0),
        )
        for number in range(count)
    ]
    status = await submit(client, operations, [till.keys.org(till.org)])
    registers.height = status.height or 0
    return registers


class _Status(msgspec.Struct):
    txid: str
    state: str
    height: int = 0
    code: str = ""


class _Account(msgspec.Struct):
    balance: int


class _Balance(msgspec.Struct):
    height: int
    result: _Account


class Teller:
    """One client: one operation at a time, through whichever node answers."""

    def __init__(
        self,
        number: int,
        registers: Registers,
        session: aiohttp.ClientSession,
        urls: Sequence[str],
        rng: random.Random,
    ) -> None:
        self._number = number
        self._registers = registers
        self._session = session
        self._urls = urls
        self._rng = rng

    async def run(self, closing: asyncio.Event) -> None:
        """Until `closing` is set; a write that is under way then is brought to its end."""
        while not closing.is_set():
            register = self._rng.randrange(self._registers.count)
            verb = self._rng.choice((Verb.PUT, Verb.SWAP, Verb.READ, Verb.READ))
            if verb is Verb.READ:
                await self._read(register)
            else:
                await self._write(register, verb)
            await asyncio.sleep(self._rng.expovariate(1 / THINK_S))

    async def _read(self, register: int) -> None:
        registers, invoked = self._registers, _now_us()
        url = f"{self._rng.choice(self._urls)}/v1/query/pay.account"
        parameters = {"acct": registers.account(register).hex(), "timeout": f"{HOLD_S}"}
        looks = registers.linearizable and self._rng.random() < LOOKS
        if looks:
            parameters["consistency"] = "linearizable"
        else:
            parameters["min_height"] = str(registers.height)
        try:
            async with self._session.get(url, params=parameters, timeout=_PATIENCE) as response:
                body = await response.read()
                if response.status != OK:
                    return
            answer = msgspec.json.decode(body, type=_Balance)
        except _FAILURES:
            # A read that was not answered tells nothing and changes nothing.
            return
        registers.height = max(registers.height, answer.height)
        registers.looks += looks
        held = answer.result.balance
        self._note(Verb.READ, register, 0, invoked=invoked, returned=_now_us(), result=held)

    async def _write(self, register: int, verb: Verb) -> None:
        registers = self._registers
        amount = self._rng.randint(1, AMOUNT_MAX)
        ends = (registers.till.account(0), registers.account(register))
        source, target = ends if verb is Verb.PUT else ends[::-1]
        tx = registers.transaction(source, target, amount, self._rng.randbytes(16))
        invoked = _now_us()
        try:
            placed = await self._bring_to_its_end(tx)
        except asyncio.CancelledError:
            self._note(verb, register, amount, invoked=invoked, returned=NEVER, result=0)
            raise
        registers.place(placed)
        if placed.state == "expired":
            # It did not happen, and never will.
            return
        done = int(placed.state == "committed")
        self._note(verb, register, amount, invoked=invoked, returned=_now_us(), result=done)

    async def _bring_to_its_end(self, tx: Transaction) -> Placed:
        at = self._rng.randrange(len(self._urls))
        while True:
            status = await self._ask(self._urls[at], tx)
            if status is not None and status.state in ("committed", "rejected", "expired"):
                return Placed(tx.id, status.state, status.height, status.code)
            at = (at + 1) % len(self._urls)
            await asyncio.sleep(POLL_S)

    async def _ask(self, url: str, tx: Transaction) -> _Status | None:
        """Submit it, once more if need be: it is known by its content."""
        try:
            async with self._session.post(
                f"{url}/v1/txs",
                params={"wait": "committed", "timeout": f"{HOLD_S}"},
                data=tx.raw,
                headers=MSGPACK,
                timeout=_PATIENCE,
            ) as response:
                body = await response.read()
            if response.status in _TAKEN:
                return msgspec.json.decode(body, type=_Status)
            self._registers.refusals[msgspec.json.decode(body, type=Refusal).code] += 1
            return None
        except _FAILURES:
            return None

    def _note(
        self, verb: Verb, register: int, argument: int, *, invoked: int, returned: int, result: int
    ) -> None:
        self._registers.history.append(
            Movement(self._number, verb, register, argument, 0, invoked, returned, result)
        )


_PATIENCE: Final = aiohttp.ClientTimeout(total=ANSWER_S)


def _now_us() -> int:
    return time.monotonic_ns() // 1_000
