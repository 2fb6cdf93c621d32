"""Plays scenario files: commands, and what engines did about them.

A file is a row of blocks: comments (`#`), a command, `----`, and what came of it. Commands (`v0` is
a validator, `A` a block, `a` its result; a list is `v0,v2`; KIND is a message's name):

    cluster N [raft]                N validators, all of them started
    next V,..                       from now on results name these as the next height's validators
    read V CONTEXT                  V is asked for a read height (Raft)
    transfer V W                    an operator wants W to lead instead of V (Raft)
    work V                          V has something to propose
    built V A                       V's request to build is answered with a block, named A
    validated V A [REASON]          V's request to validate A is answered
    executed V A [RESULT]           V's execution of A ends, with result a or the one named
    deliver V to V,.. [KIND]        what V sent to them arrives (all, or one kind of message)
    lose V to V,.. [KIND]           it never does
    timer V KIND                    that timer of V fires: round, resend, election, heartbeat
    durable V                       V's decision is durable: its next height starts
    crash V / restart V             V loses what is not in its log / comes back
    release V                       V's operator ends its halt, and unbinds its results (V is down)
    settle V,.. [without KIND,..]   they exchange everything and answer every request; only the
                                    outcome is shown. `execute` as a kind leaves executions running
    forge V KIND H/R A [a] to V,..  a message that V's engine never sent
    lie V H/R TRICK A to V,..       a proposal whose justification is false (see engine_lies.py)
    status V                        what operators are shown
    mute V                          nothing of V's engine is sent from now on
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from consensus.engine import (
    BlockBuilt,
    Build,
    Decided,
    Effects,
    Engine,
    Event,
    Execute,
    Executed,
    HeightStarted,
    Received,
    Timer,
    TimerFired,
    TimerKind,
    Timing,
    Validate,
    Validated,
    WorkAvailable,
)
from consensus.engines import engine_of
from consensus.messages import LogRecord, Message, ReleasedRecord
from consensus.pbft.members import Members
from consensus.raft.engine import RaftEngine
from consensus.wishes import ReadAsked, TransferAsked
from medquorum.block import Header, Result, ValidatorSet
from medquorum.quorum import EngineName, quorum
from tests.support.engine_lies import Forger
from tests.support.engine_names import Names
from tests.support.engine_world import (
    CHAIN_ID,
    TestSigner,
    after,
    genesis_started,
    make_header,
    make_result,
    validate,
    validator_set,
    verify,
)

TIMING = Timing(round_ms=1_000, round_ms_max=30_000, resend_ms=500)
OUTCOMES = (
    *("DECIDED", "EVIDENCE", "BLAMES", "HALTS", "log entered", "log wanted", "timer round"),
    *("log term", "READ", "log appended"),
)


@dataclass(slots=True)
class Player:
    """A validator in a scenario."""

    key: bytes
    started: HeightStarted
    engine: Engine | None = None
    log: list[LogRecord] = field(default_factory=list)
    requests: list[Build | Validate | Execute] = field(default_factory=list)
    decided: Decided | None = None
    timers: list[Timer] = field(default_factory=list)
    mute: bool = False


class Scenario:
    """One file being played."""

    def __init__(self) -> None:
        self.players: dict[str, Player] = {}
        self.wire: deque[tuple[str, str, Message]] = deque()
        self.lines: list[str] = []
        self.sets: dict[int, ValidatorSet] = {}
        self.commands: dict[str, Callable[[list[str]], None]] = {
            "cluster": self.cluster,
            "work": lambda words: self.feed(words[0], WorkAvailable()),
            "built": self.built,
            "validated": self.validated,
            "executed": self.executed,
            "deliver": self.deliver,
            "lose": self.lose,
            "timer": self.timer,
            "durable": self.durable,
            "crash": self.crash,
            "release": self.release,
            "restart": lambda words: self.start(words[0]),
            "settle": self.settle,
            "forge": self.forge,
            "lie": self.lie,
            "status": self.status,
            "mute": self.mute,
            "next": self.next,
            "read": lambda words: self.ask(words[0], ReadAsked(int(words[1]))),
            "transfer": lambda words: self.ask(words[0], TransferAsked(self.players[words[1]].key)),
        }

    def play(self, command: str) -> str:
        """Obey one command; what came of it, one line each."""
        self.lines = []
        verb, *words = command.split()
        self.commands[verb](words)
        return "\n".join(self.lines) or "nothing"

    def cluster(self, words: list[str]) -> None:
        """Make and start everybody."""
        self.validators = self.next_validators = validator_set(int(words[0]))
        self.kind: EngineName = "raft" if "raft" in words else "pbft"
        self.members = Members.of(self.validators)
        self.names = Names(self.members)
        self.headers: dict[str, tuple[Header, bytes]] = {}
        self.results: dict[str, Result] = {}
        for place, key in enumerate(self.members.keys):
            self.players[f"v{place}"] = Player(key, genesis_started(self.validators))
        self.forger = Forger(self.members, self.headers)
        for name in self.players:
            self.start(name)
        self.lines = [f"f = {self.members.f}, quorum = {self.members.quorum}"]
        if self.kind == "raft":
            self.lines = [f"quorum = {quorum('raft', self.members.n)}"]

    def start(self, name: str) -> None:
        """Boot from the log."""
        player = self.players[name]
        player.engine = engine_of(self.kind).recover(
            chain_id=CHAIN_ID,
            signer=TestSigner(player.key),
            verify=verify,
            timing=TIMING,
            started=player.started,
            records=tuple(player.log),
        )
        self.obey(name, player.engine.start())

    def feed(self, name: str, event: Event) -> None:
        """Let one engine take a step."""
        engine = self.players[name].engine
        if engine is not None:
            effects = engine.step(event)
            engine.check_invariants()
            self.obey(name, effects)

    def obey(self, name: str, effects: Effects) -> None:
        """Write down what an engine wants, and put its messages on the wire."""
        player = self.players[name]
        player.log.extend(effects.persist)
        self.lines.extend(f"{name} {line}" for line in self.names.effects(effects))
        for send in effects.send:
            self.forger.hear(send.message)
            for other, known in self.players.items():
                if other != name and send.to in (None, known.key) and not player.mute:
                    self.wire.append((name, other, send.message))
        player.timers.extend(wanted.timer for wanted in effects.timers)
        for request in effects.requests:
            if isinstance(request, Build | Validate | Execute):
                player.requests.append(request)
        player.decided = effects.decided or player.decided

    def built(self, words: list[str]) -> None:
        """Answer Build."""
        name, block = words
        request = self._take(name, Build)
        body = block.encode()
        header = make_header(request, body, 0)
        self._name(block, header, body)
        self.feed(name, BlockBuilt(request.height, request.round, header, body))

    def _name(self, block: str, header: Header, body: bytes) -> None:
        self.headers[block] = (header, body)
        self.names.hashes[header.hash()] = block
        result = make_result(header.hash(), self.next_validators)
        self.sets[header.height + 1] = self.next_validators
        self.results[block.lower()] = result
        self.names.hashes[result.hash()] = block.lower()

    def _take(self, name: str, kind: type) -> Build:
        requests = self.players[name].requests
        found = next(request for request in requests if isinstance(request, kind))
        requests.remove(found)
        return found  # type: ignore[return-value]  # of the kind that was asked for

    def validated(self, words: list[str]) -> None:
        """Answer Validate."""
        name, block, *reason = words
        self._take(name, Validate)
        self.feed(name, Validated(self.headers[block][0].hash(), "".join(reason)))

    def executed(self, words: list[str]) -> None:
        """Answer Execute."""
        name, block, *other = words
        self._take(name, Execute)
        header = self.headers[block][0]
        result = self.results[block.lower()]
        for salt in other:
            result = make_result(header.hash(), self.validators, salt.encode())
            self.names.hashes[result.hash()] = salt
        self.feed(name, Executed(header.hash(), result))

    def _select(self, words: list[str]) -> list[tuple[str, str, Message]]:
        sender, _, receivers, *kinds = words
        found = [
            item
            for item in self.wire
            if item[0] == sender
            and item[1] in receivers.split(",")
            and (len(kinds) == 0 or self.names.message(item[2]).split()[0] in kinds)
        ]
        for item in found:
            self.wire.remove(item)
        return found

    def deliver(self, words: list[str]) -> None:
        """Let messages arrive."""
        for sender, receiver, message in self._select(words):
            self.feed(receiver, Received(self.players[sender].key, message))

    def lose(self, words: list[str]) -> None:
        """Let messages vanish."""
        lost = self._select(words)
        self.lines.append(f"{len(lost)} lost")

    def timer(self, words: list[str]) -> None:
        """Fire the newest timer of a kind."""
        name, kind = words
        timers = self.players[name].timers
        wanted = [timer for timer in timers if timer.kind is TimerKind[kind.upper()]]
        self.feed(name, TimerFired(wanted[-1]))

    def durable(self, words: list[str]) -> None:
        """Start the next height."""
        player = self.players[words[0]]
        decided = player.decided
        if decided is not None:
            round_ = decided.certificate.round
            validators = self.sets[player.started.height + 1]
            player.started = after(
                player.started, decided.header, decided.result, round_, validators
            )
            player.decided = None
            player.requests.clear()
            self.feed(words[0], player.started)

    def crash(self, words: list[str]) -> None:
        """Lose what is not in the log."""
        player = self.players[words[0]]
        player.engine = None
        player.requests.clear()
        player.timers.clear()
        self.lines.append(f"{len(player.log)} records in the log")

    def release(self, words: list[str]) -> None:
        """Write down an operator's decision."""
        player = self.players[words[0]]
        player.log.append(ReleasedRecord(player.started.height))

    def next(self, words: list[str]) -> None:
        """Change the validators of the heights that follow the blocks named from now on."""
        known = {validator.key: validator for validator in self.validators.validators}
        keys = [self.players[name].key for name in words[0].split(",")]
        self.next_validators = ValidatorSet(tuple(known[key] for key in keys))

    def ask(self, name: str, event: ReadAsked | TransferAsked) -> None:
        """Let a Raft engine take a step of its own kind."""
        engine = self.players[name].engine
        if isinstance(engine, RaftEngine):
            self.obey(name, engine.step(event))

    def mute(self, words: list[str]) -> None:
        """Say nothing from now on."""
        self.players[words[0]].mute = True

    def settle(self, words: list[str]) -> None:
        """Exchange and answer everything among some players, and show the outcome."""
        names, *rest = words
        among = names.split(",")
        without = rest[1].split(",") if len(rest) > 0 else []
        while self._settle_once(among, without):
            continue
        self.lines = [line for line in self.lines if line.partition(" ")[2].startswith(OUTCOMES)]

    def _settle_once(self, among: Sequence[str], without: Sequence[str]) -> bool:
        for item in self.wire:
            sender, receiver, message = item
            kind = self.names.message(message).split()[0]
            if sender in among and receiver in among and kind not in without:
                self.wire.remove(item)
                self.feed(receiver, Received(self.players[sender].key, message))
                return True
        for name in among:
            for request in self.players[name].requests:
                match request:
                    case Build():
                        self.built([name, "ABCDEFGH"[len(self.headers)]])
                        return True
                    case Validate():
                        block = self.names.of(request.header.hash())
                        reason = validate(request.header, request.body)
                        self.validated([name, block, *([reason] if reason else [])])
                        return True
                    case Execute() if "execute" not in without:
                        self.executed([name, self.names.of(request.header.hash())])
                        return True
                    case _:
                        continue
        return False

    def forge(self, words: list[str]) -> None:
        """Say something in somebody's name."""
        name, kind, place, *rest = words
        height, round_ = (int(number) for number in place.split("/"))
        *args, _, receivers = rest
        block = args[0] if len(args) > 0 else ""
        if block not in ("", *self.headers):
            body = block.encode()
            self._name(block, self.forger.header(self.players[name], height, round_, body), body)
        result = self.results[args[1]].hash() if len(args) > 1 else b""
        message = self.forger.vote(self.players[name].key, kind, (height, round_), block, result)
        self._send(name, receivers, message)

    def lie(self, words: list[str]) -> None:
        """Propose with a false justification."""
        name, place, trick, block, _, receivers = words
        height, round_ = (int(number) for number in place.split("/"))
        if block not in self.headers:
            body = block.encode()
            self._name(block, self.forger.header(self.players[name], height, round_, body), body)
        key = self.players[name].key
        self._send(name, receivers, self.forger.lie(key, height, round_, trick, block))

    def _send(self, name: str, receivers: str, message: Message) -> None:
        for receiver in receivers.split(","):
            self.feed(receiver, Received(self.players[name].key, message))

    def status(self, words: list[str]) -> None:
        """What operators see."""
        engine = self.players[words[0]].engine
        if engine is not None:
            known = engine.status()
            self.lines.append(
                f"{words[0]} at {known.height}/{known.round} {known.phase},"
                f" proposer {self.names.of(known.proposer)},"
                f" committed by {self.names.list(known.committed_by) or 'nobody'}"
                + (", divergent" if known.divergent else "")
                + "".join(f", {self.names.group(group)}" for group in known.results)
                + (f", halted: {known.halted}" if known.halted else "")
            )


def play_file(text: str) -> str:
    """The same file with the output that the engines give now."""
    scenario = Scenario()
    blocks = []
    for block in text.strip("\n").split("\n\n"):
        head = block.partition("\n----")[0]
        commands = [line for line in head.splitlines() if not line.startswith("#")]
        outputs = [scenario.play(command) for command in commands]
        blocks.append(head + ("\n----\n" + "\n".join(outputs) if len(commands) > 0 else ""))
    return "\n\n".join(blocks) + "\n"
