"""What agreement costs: engines alone, without a network, a disk or an execution.

All validators of a healthy chain run in one process and hear each other at once, in the order in
which things were said. Only processor time is measured, and it is told apart: the steps of the
engines, the check of each vote's own signature, which the host makes before an engine hears it, and
decoding what came. Everything is done as often as in as many processes: the figures are a node's.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from platform import python_version
from typing import Final, TypeVar, assert_never

import msgspec

from consensus.engine import (
    BlockBuilt,
    Build,
    CatchUp,
    Decided,
    Effects,
    Engine,
    Event,
    Execute,
    Executed,
    HeightStarted,
    Received,
    Request,
    Timing,
    Validate,
    Validated,
    WorkAvailable,
)
from consensus.engines import engine_of
from consensus.messages import Message, SignedMessage, decode_message, encode_message
from consensus.signing import Verify, VoteSigner
from devnet.bench.limits import Limits
from devnet.model.world import (
    CHAIN_ID,
    PretendedSigner,
    first_height,
    key_of,
    make_header,
    make_result,
    validator_set,
)
from devnet.model.world import verify as verify_pretended
from medquorum.keys import SigningKey, verify
from medquorum.quorum import EngineName

SIZES: Final = (4, 16, 50, 100)
ENGINES: Final[tuple[EngineName, ...]] = ("pbft", "raft")
MESSAGES_MIN: Final = 20_000
"""Heights are decided until so many messages were sent: few validators need more of them."""

HEIGHTS_MIN: Final = 3
WARM_UP_HEIGHTS: Final = 1
BODY: Final = bytes(32) * 100
"""A block that names a hundred transactions."""

BUDGET_MS: Final = {16: 5.0, 50: 15.0}
"""What agreement on one block may cost a validator, by the number of validators, with real keys."""

PARTS: Final[tuple[str, ...]] = ("step", "signature", "decode")

R = TypeVar("R")


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """One engine, with so many validators. Microseconds are of one height and one validator."""

    engine: EngineName
    validators: int
    real_keys: bool
    heights: int
    steps_per_second: float
    """Steps of engines alone, on one core."""

    step_us: float
    """Time in the engine."""

    signature_us: float
    """Time to check the signatures of votes as they come; 0 for pretended keys."""

    decode_us: float
    total_us: float
    messages_per_height: float
    messages_expected: int
    """In the whole network, in a height in which nothing goes wrong."""

    kinds: dict[str, float]
    """Messages a height by kind."""

    budget_us: float | None
    within_budget: bool | None
    """None where there is no budget."""


class Bench(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured, on what."""

    limits: Limits
    python: str
    figures: list[Figures]


def expected_messages(engine: EngineName, n: int) -> int:
    """Messages of a healthy height (sections "Cost" of docs/spec/pbft.md and raft.md)."""
    match engine:
        case "pbft":
            return (n - 1) + 2 * n * (n - 1)
        case "raft":
            return 3 * (n - 1)
        case _:
            assert_never(engine)


@dataclass(slots=True)
class Meter:
    """Adds up processor time."""

    spent_ns: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PARTS, 0))
    steps: int = 0

    def timed(self, part: str, call: Callable[[], R]) -> R:
        """The answer of a call, its time added to that part."""
        began = time.thread_time_ns()
        answer = call()
        self.spent_ns[part] += time.thread_time_ns() - began
        return answer


@dataclass(slots=True)
class Seat:
    """One validator."""

    key: bytes
    engine: Engine
    started: HeightStarted


class Chamber:
    """Validators that hear each other at once."""

    def __init__(self, name: EngineName, n: int, *, real_keys: bool) -> None:
        signers: list[VoteSigner] = [
            SigningKey(sha256(b"bench %d" % i).digest())
            if real_keys
            else PretendedSigner(key_of(i))
            for i in range(n)
        ]
        self.verify: Verify = verify if real_keys else verify_pretended
        self.validators = validator_set(tuple(signer.public for signer in signers))
        self.real_keys = real_keys
        self.meter = Meter()
        self.kinds: Counter[tuple[int, str]] = Counter()
        """Messages by height and kind."""

        self.heights = 0
        """Heights that the first validator decided."""

        self._waiting: deque[tuple[Seat, Event | tuple[bytes, bytes]]] = deque()
        """What happens next, and to whom; a message as its sender and its encoding."""

        started = first_height(self.validators)
        self.seats = {
            signer.public: Seat(signer.public, self._engine(name, signer, started), started)
            for signer in signers
        }
        for seat in self.seats.values():
            self._obey(seat, seat.engine.start())
            self._waiting.append((seat, WorkAvailable()))

    def _engine(self, name: EngineName, signer: VoteSigner, started: HeightStarted) -> Engine:
        return engine_of(name).recover(
            chain_id=CHAIN_ID,
            signer=signer,
            verify=self.verify,
            timing=Timing(),
            started=started,
            records=(),
        )

    def run(self, heights: int) -> None:
        """Decide so many more heights, everywhere."""
        goal = self.heights + heights
        while any(seat.started.height <= goal for seat in self.seats.values()):
            seat, event = self._waiting.popleft()
            self._feed(seat, self._received(*event) if isinstance(event, tuple) else event)

    def _received(self, sender: bytes, data: bytes) -> Event:
        message = self.meter.timed("decode", lambda: decode_message(data))
        if self.real_keys and isinstance(message, SignedMessage):
            signed: SignedMessage = message
            self.meter.timed(
                "signature",
                lambda: verify(signed.signer, signed.signed_bytes(CHAIN_ID), signed.signature),
            )
        return Received(sender, message)

    def _feed(self, seat: Seat, event: Event) -> None:
        self.meter.steps += 1
        self._obey(seat, self.meter.timed("step", lambda: seat.engine.step(event)))

    def _obey(self, seat: Seat, effects: Effects) -> None:
        for send in effects.send:
            self._send(seat, send.to, send.message)
        for request in effects.requests:
            answer = self._answer(request)
            if answer is not None:
                self._waiting.append((seat, answer))
        if effects.decided is not None:
            self._go_on(seat, effects.decided)

    def _send(self, seat: Seat, to: bytes | None, message: Message) -> None:
        data = encode_message(message)
        receivers = self.seats if to is None else (to,)
        for key in receivers:
            if key != seat.key:
                self.kinds[message.height, type(message).__name__] += 1
                self._waiting.append((self.seats[key], (seat.key, data)))

    def _answer(self, request: Request) -> Event | None:
        match request:
            case Build():
                return BlockBuilt(request.height, request.round, make_header(request, BODY), BODY)
            case Validate():
                return Validated(request.header.hash(), "")
            case Execute():
                block_hash = request.header.hash()
                return Executed(block_hash, make_result(block_hash, self.validators.hash()))
            case CatchUp():
                return None
            case _:
                assert_never(request)

    def _go_on(self, seat: Seat, decided: Decided) -> None:
        header = decided.header
        seat.started = HeightStarted(
            header.height + 1,
            self.validators,
            header.hash(),
            decided.result.hash(),
            header.time_ms,
            decided.certificate.round,
            header.proposer,
        )
        self.heights = min(one.started.height for one in self.seats.values()) - 1
        self._waiting.append((seat, seat.started))
        self._waiting.append((seat, WorkAvailable()))


def measure_one(engine: EngineName, n: int, *, real_keys: bool) -> Figures:
    """Decide heights, and say what they cost."""
    chamber = Chamber(engine, n, real_keys=real_keys)
    chamber.run(WARM_UP_HEIGHTS)
    chamber.meter = Meter()
    expected = expected_messages(engine, n)
    heights = max(HEIGHTS_MIN, MESSAGES_MIN // max(1, expected))
    chamber.run(heights)
    meter, kinds = chamber.meter, Counter[str]()
    for (height, kind), count in chamber.kinds.items():
        if WARM_UP_HEIGHTS < height <= WARM_UP_HEIGHTS + heights:
            kinds[kind] += count
    cost = {part: spent / 1_000 / heights / n for part, spent in meter.spent_ns.items()}
    total = sum(cost.values())
    budget_ms = BUDGET_MS.get(n) if real_keys else None
    return Figures(
        engine=engine,
        validators=n,
        real_keys=real_keys,
        heights=heights,
        steps_per_second=round(1e9 * meter.steps / max(1, meter.spent_ns["step"]), 0),
        step_us=round(cost["step"], 1),
        signature_us=round(cost["signature"], 1),
        decode_us=round(cost["decode"], 1),
        total_us=round(total, 1),
        messages_per_height=round(sum(kinds.values()) / heights, 2),
        messages_expected=expected,
        kinds={kind: round(count / heights, 2) for kind, count in sorted(kinds.items())},
        budget_us=None if budget_ms is None else 1_000 * budget_ms,
        within_budget=None if budget_ms is None else total <= 1_000 * budget_ms,
    )


def measure_all(sizes: tuple[int, ...] = SIZES) -> list[Figures]:
    """Both engines, all sizes, with pretended keys and with real ones."""
    return [
        measure_one(engine, n, real_keys=real_keys)
        for engine in ENGINES
        for real_keys in (False, True)
        for n in sizes
    ]


def bench(limits: Limits, sizes: tuple[int, ...] = SIZES) -> Bench:
    """All of it, beside what the machine can do."""
    return Bench(limits=limits, python=python_version(), figures=measure_all(sizes))
