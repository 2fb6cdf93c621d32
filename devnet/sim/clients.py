"""Clients: they submit, wait, lose patience, ask another node, and remember what they saw."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from typing_extensions import override

from devnet.sim.linearizability import NEVER, Operation, Verb
from devnet.sim.machine import Machine
from devnet.sim.register import NAME, ROWS, SEEN, Put, Read, Swap
from devnet.sim.simnode import SimNode
from devnet.sim.world import World
from medquorum import transaction as txs
from medquorum.codec import Wire, encode
from medquorum.genesis import Genesis
from medquorum.keys import SigningKey
from medquorum.transaction import Transaction
from node.errors import RefusedError
from node.ledger.codes import OK
from node.ledger.context import View
from node.reading import read_consistently
from node.tracker import TxStatus

WAIT_S: Final = 4.0
"""How long a node lets a client wait."""
ASKS_MAX: Final = 12
REGISTERS: Final = 5
LOOKS: Final = 0.5
"""How many reads go without a transaction, where the engine offers it."""
WATCHER_THINKS_MS: Final = 10.0
WATCHER_PATIENCE_MS: Final = 20.0
"""It asks whoever is there for an answer that only a leader in its first moments would give."""
VALUES_MAX: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Answer:
    """What a node said. `status` None: it refused, for the reason of that name."""

    status: TxStatus | None
    value: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Promise:
    """A node has admitted a transaction: it becomes final, or this is a lie (L1)."""

    machine: Machine
    valid_until: int
    memory: tuple[int, int]

    @property
    def binds(self) -> bool:
        """Whether the machine still has the disk that it wrote the promise on, and could read it:
        of a damaged journal what is whole is kept (docs/spec/storage.md, J2).
        """
        return self.memory == memory_of(self.machine) and not self.machine.retired


def memory_of(machine: Machine) -> tuple[int, int]:
    """Changes when a machine forgets what it promised, by no fault of its own."""
    return machine.memory, machine.disk.misread[machine.home.mempool]


@dataclass(slots=True)
class Office:
    """What all clients share, and what they saw."""

    world: World
    genesis: Genesis
    keys: tuple[SigningKey, ...]
    machines: list[Machine]
    height: Callable[[], int]
    patience_ms: float
    """After so long without an answer a client asks another node."""
    history: list[Operation] = field(default_factory=list)
    seen: dict[bytes, TxStatus] = field(default_factory=dict)
    """Final states that clients were told by honest nodes (S5)."""
    admitted: dict[bytes, Promise] = field(default_factory=dict)
    refusals: dict[str, int] = field(default_factory=dict)
    looks: int = 0
    """Reads without a transaction that were answered."""
    open: bool = True
    pending: dict[bytes, Attempt] = field(default_factory=dict)
    trusted: Callable[[Machine], bool] = field(default=lambda _machine: True)

    def make(
        self, keys: list[SigningKey], operations: list[tuple[str, Wire]], window: int
    ) -> Transaction:
        """A transaction that is valid for so many heights, signed with these keys."""
        body = txs.build(
            chain_id=self.genesis.chain_id(),
            nonce=self.world.rng.randbytes(16),
            valid_until=self.height() + window,
            operations=[txs.Operation(name, 1, encode(body)) for name, body in operations],
            signers=[key.public for key in keys],
        )
        return txs.sign(body, keys)

    @property
    def offers_looks(self) -> bool:
        """Whether nodes can answer linearizable reads by themselves."""
        return self.genesis.engine == "raft"

    def look(self, machine: Machine, register: int, answered: Callable[[int], None]) -> None:
        """Read a register at a machine that is up. The answer may never come."""
        machine.begin(lambda node: self._look(node, register, answered))

    async def _look(self, node: SimNode, register: int, answered: Callable[[int], None]) -> None:
        """What the API does for a query with `consistency=linearizable`."""

        def held(view: View) -> int:
            row = ROWS.get(view.read(NAME), register)
            return 0 if row is None else row.value

        try:
            height = await node.reads.height(WAIT_S)
            if await node.tracker.wait_height(height, WAIT_S):
                _, value = await node.threads.readers.run(read_consistently, node.chain, held)
                self.world.later_ms(self.world.rng.uniform(0.2, 3.0), lambda: answered(value))
        except RefusedError as refused:
            self.refusals[refused.code] = self.refusals.get(refused.code, 0) + 1

    def ask(self, machine: Machine, tx: Transaction, answered: Callable[[Answer], None]) -> bool:
        """Submit through a machine; False if nobody is there. The answer may never come."""
        return machine.begin(lambda node: self._serve(machine, node, tx, answered))

    async def _serve(
        self, machine: Machine, node: SimNode, tx: Transaction, answered: Callable[[Answer], None]
    ) -> None:
        """What the API does for `POST /v1/txs?wait=`."""
        memory = memory_of(machine)
        try:
            admission = (await node.intake.submit([tx.raw], local=True))[0]
            if admission.refusal is not None:
                raise admission.refusal
            if admission.pending and self.trusted(machine):
                if not machine.disk.would_survive(machine.home.mempool, tx.raw):
                    self.world.fail(f"L1: {machine.name} admitted what it could lose")
                self.admitted[tx.id] = Promise(machine, tx.body.valid_until, memory)
            status = await node.tracker.wait(tx.id, WAIT_S)
        except RefusedError as refused:
            self.refusals[refused.code] = self.refusals.get(refused.code, 0) + 1
            self._reply(answered, Answer(None, reason=refused.code))
            return
        value = 0
        if status.executed and status.code == OK:
            for event in node.chain.blocks.events(status.height):
                if event.tx == status.index and event.type == SEEN:
                    value = int(next(a.value for a in event.attributes if a.name == "value"))
        if status.final and self.trusted(machine):
            self._saw(status)
        self._reply(answered, Answer(status, value))

    def _saw(self, status: TxStatus) -> None:
        known = self.seen.setdefault(status.tx_id, status)
        if known != status:
            self.world.fail(f"S5: a client saw {known} and then {status}")

    def _reply(self, answered: Callable[[Answer], None], answer: Answer) -> None:
        self.world.later_ms(self.world.rng.uniform(0.2, 3.0), lambda: answered(answer))

    def check_kept(self, where: dict[bytes, tuple[int, int, str]]) -> None:
        """Whoever promised a transaction still offers it, also after it was started again (L1)."""
        height = self.height()
        for tx_id, promise in self.admitted.items():
            node, is_open = (
                promise.machine.node,
                tx_id not in where and height < promise.valid_until,
            )
            if not is_open or not promise.binds or node is None or not promise.machine.remembers:
                continue
            if tx_id not in node.pool and len(node.pool) < promise.machine.config.mempool.txs_max:
                self.world.fail(
                    f"L1: {promise.machine.name} promised {tx_id.hex()[:16]} and has it not"
                )

    def operations(self) -> list[Operation]:
        """The history, with what clients still wait for."""
        return self.history + [attempt.operation(NEVER, 0) for attempt in self.pending.values()]


class Client:
    """One client: one operation at a time."""

    def __init__(self, office: Office, number: int, think_ms: float, window: int) -> None:
        self._office = office
        self._number = number
        self._think_ms = think_ms
        self._window = window
        self._serial = 0

    def start(self) -> None:
        """Begin, after a moment."""
        rng = self._office.world.rng
        self._office.world.later_ms(rng.uniform(0, self._think_ms), self._next)

    def _next(self) -> None:
        office, rng = self._office, self._office.world.rng
        if not office.open:
            return
        self._serial += 1
        register = rng.randrange(REGISTERS)
        value = self._number * VALUES_MAX + self._serial
        verb = rng.choice((Verb.PUT, Verb.READ, Verb.READ, Verb.SWAP))
        if verb is Verb.READ and office.offers_looks and rng.chance(LOOKS):
            Look(self, office, register, office.patience_ms).ask()
            return
        seen = [op for op in office.history[-20:] if op.register == register]
        guess = rng.choice(seen) if len(seen) > 0 else None
        expected = 0 if guess is None else (guess.argument or guess.result)
        match verb:
            case Verb.PUT:
                body: tuple[str, Wire] = ("register.put", Put(register, value))
            case Verb.READ:
                body = ("register.read", Read(register))
            case Verb.SWAP:
                body = ("register.swap", Swap(register, expected, value))
        argument = 0 if verb is Verb.READ else value
        tx = office.make([rng.choice(office.keys)], [body], self._window)
        Attempt(
            self, office, verb=verb, register=register, argument=argument, expected=expected, tx=tx
        ).ask()

    def done(self, operation: Operation | None) -> None:
        """An operation is over; the next one comes."""
        if operation is not None:
            self._office.history.append(operation)
        rng = self._office.world.rng
        self._office.world.later_ms(rng.expovariate(1 / self._think_ms), self._next)

    @property
    def number(self) -> int:
        """Which client it is."""
        return self._number


class Watcher(Client):
    """Looks, and looks again, at what was written last: a node that is behind gives itself away."""

    @override
    def _next(self) -> None:
        office = self._office
        if office.open:
            written = (op.register for op in reversed(office.history) if op.verb is not Verb.READ)
            Look(self, office, next(written, 0), WATCHER_PATIENCE_MS).ask()


class Look:
    """One read without a transaction, asked for at one node after the other until one answers."""

    def __init__(self, client: Client, office: Office, register: int, patience_ms: float) -> None:
        self._client, self._office, self._register = client, office, register
        self._patience_ms = patience_ms
        self._invoked = office.world.now_us
        self._asks = 0
        self._over = False

    def ask(self) -> None:
        """Ask some node that is up; another one after a while."""
        office, world = self._office, self._office.world
        if self._over:
            return
        self._asks += 1
        if self._asks > ASKS_MAX or not office.open:
            # A read that nobody answered constrains nothing.
            self._over = True
            self._client.done(None)
            return
        up = [m for m in office.machines if m.is_up and office.trusted(m)]
        if len(up) > 0:
            office.look(world.rng.choice(up), self._register, self._answered)
        world.later_ms(self._patience_ms, self.ask)

    def _answered(self, value: int) -> None:
        if self._over:
            return
        self._over = True
        self._office.looks += 1
        self._client.done(
            Operation(
                self._client.number,
                Verb.READ,
                self._register,
                0,
                0,
                self._invoked,
                self._office.world.now_us,
                value,
            )
        )


class Attempt:
    """One operation, asked for at one node after the other until somebody knows its end."""

    def __init__(
        self,
        client: Client,
        office: Office,
        *,
        verb: Verb,
        register: int,
        argument: int,
        expected: int,
        tx: Transaction,
    ) -> None:
        self._client, self._office, self._tx = client, office, tx
        self._verb, self._register = verb, register
        self._argument, self._expected = argument, expected
        self._invoked = office.world.now_us
        self._asks = 0
        self._over = False
        office.pending[tx.id] = self

    def ask(self) -> None:
        """Ask some node that is up and honest: what liars answer is worth nothing."""
        office, world = self._office, self._office.world
        if self._over:
            return
        self._asks += 1
        if self._asks > ASKS_MAX or not office.open:
            self._end(NEVER, 0)
            return
        up = [m for m in office.machines if m.is_up and office.trusted(m)]
        if len(up) > 0:
            office.ask(world.rng.choice(up), self._tx, self._answered)
        world.later_ms(office.patience_ms, self.ask)

    def _answered(self, answer: Answer) -> None:
        if self._over:
            return
        status = answer.status
        if status is None:
            # Refused here; an earlier ask may have been taken elsewhere.
            if self._asks == 1:
                self._close(None)
            return
        if status.executed:
            is_ok = status.code == OK
            self._end(self._office.world.now_us, self._result(answer.value, is_ok))
        elif status.final:
            # It expired: it never happened, and never will.
            self._close(None)

    def _result(self, value: int, is_ok: bool) -> int:
        return value if self._verb is Verb.READ else int(is_ok)

    def _end(self, returned: int, result: int) -> None:
        self._close(self.operation(returned, result))

    def _close(self, operation: Operation | None) -> None:
        self._over = True
        del self._office.pending[self._tx.id]
        self._client.done(operation)

    def operation(self, returned: int, result: int) -> Operation:
        """What goes into the history."""
        return Operation(
            self._client.number,
            self._verb,
            self._register,
            self._argument,
            self._expected,
            self._invoked,
            returned,
            result,
        )


def unfinished(office: Office, where: dict[bytes, tuple[int, int, str]], height: int) -> list[str]:
    """Admitted transactions that are neither in a block nor expired (L1)."""
    return [
        f"{tx_id.hex()[:16]} admitted by {promise.machine.name}, valid until {promise.valid_until}"
        for tx_id, promise in office.admitted.items()
        if promise.binds and tx_id not in where and height < promise.valid_until
    ]
