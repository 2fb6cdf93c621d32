"""Scenarios: what a history consists of, as TOML.

    name = "kill-leader"
    seconds = 12
    [[steps]]
    at = 3.0
    do = "kill"
    node = "leader"

Everything that is drawn while it runs comes from `seed`. When it runs, and with how much luck, is
the machine's business: real processes do not replay to the microsecond as the simulator does.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from devnet.chaos.errors import ScenarioError
from devnet.chaos.limits import (
    CLIENTS_MAX,
    DELAY_MS_MAX,
    LOSS_MAX,
    NODES_MAX,
    RATE_MAX,
    REGISTERS_MAX,
    SECONDS_MAX,
    SKEW_MS_MAX,
    STEPS_MAX,
    TIMES_MAX,
)
from devnet.chaos.proxy import Cut, Quality
from devnet.manifest import NetworkName
from medquorum.quorum import EngineName, may_lie

Index = Annotated[int, Meta(ge=0, lt=NODES_MAX)]
Who: TypeAlias = Index | Literal["leader"]
"""A node by its number, or the one whose turn to propose it is when the step comes."""
Seconds = Annotated[float, Meta(ge=0, le=SECONDS_MAX)]
Milliseconds = Annotated[float, Meta(ge=0, le=DELAY_MS_MAX)]
Share = Annotated[float, Meta(ge=0, le=LOSS_MAX)]
Lie = Literal["equivocate", "silent", "garbage", "selective", "withhold"]
LIES: Final[tuple[Lie, ...]] = ("equivocate", "silent", "garbage", "selective", "withhold")


class Step(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="do", tag=True
):
    """Something that happens `at` so many seconds after the load began."""

    at: Seconds


class Kill(Step, frozen=True, tag="kill"):
    """SIGKILL."""

    node: Who


class Start(Step, frozen=True, tag="start"):
    """Start whichever of these does not run, by default all."""

    nodes: tuple[Index, ...] = ()


class Restart(Step, frozen=True, tag="restart"):
    """Stop as an operator would, and start again."""

    node: Who


class RestartAll(Step, frozen=True, tag="restart-all"):
    """Kill all at once, and start all again."""


class Pause(Step, frozen=True, tag="pause"):
    """SIGSTOP: connected, and silent."""

    node: Who


class Resume(Step, frozen=True, tag="resume"):
    """SIGCONT for all that are paused."""


class Partition(Step, frozen=True, tag="partition"):
    """Cut all paths between the groups. Who is in none is alone."""

    groups: Annotated[tuple[tuple[Index, ...], ...], Meta(min_length=1)]
    how: Cut = Cut.STALL


class Deafen(Step, frozen=True, tag="deafen"):
    """Cut the paths to one node only: it is heard, and hears nobody."""

    node: Who
    how: Cut = Cut.STALL


class Mute(Step, frozen=True, tag="mute"):
    """Cut the paths from one node only: it hears, and nobody hears it."""

    node: Who
    how: Cut = Cut.STALL


class Flap(Step, frozen=True, tag="flap"):
    """Cut all paths of one node for `down` seconds and mend them for `up`, so many times."""

    node: Who
    down: Seconds
    up: Seconds
    times: Annotated[int, Meta(ge=1, le=TIMES_MAX)]
    how: Cut = Cut.RESET


class Slow(Step, frozen=True, tag="slow"):
    """Let the paths of these nodes, by default all, deliver late (see proxy.Quality)."""

    nodes: tuple[Index, ...] = ()
    delay_ms: Milliseconds = 0.0
    jitter_ms: Milliseconds = 0.0
    loss: Share = 0.0
    bytes_per_s: Annotated[float, Meta(ge=0)] = 0.0

    @property
    def quality(self) -> Quality:
        """As the proxy takes it."""
        return Quality(self.delay_ms, self.jitter_ms, self.loss, self.bytes_per_s)


class Heal(Step, frozen=True, tag="heal"):
    """Fair weather on all paths."""


class Backup(Step, frozen=True, tag="backup"):
    """Stop a node, copy its data aside, and start it again."""

    node: Index


class Restore(Step, frozen=True, tag="restore"):
    """Stop a node, put the data of its backup back, all but the sign state and what waits for a
    block, and start it.
    """

    node: Index


class Wipe(Step, frozen=True, tag="wipe"):
    """Stop a node, remove its data, all but the sign state and what waits for a block, and start
    it.
    """

    node: Index


class Skew(Step, frozen=True, tag="skew"):
    """Stop a node and start it with a clock that is wrong by so much."""

    node: Index
    ms: Annotated[int, Meta(ge=-SKEW_MS_MAX, le=SKEW_MS_MAX)]


class Join(Step, frozen=True, tag="join"):
    """A new node joins: admitted as an observer, it fetches the chain, and then it gets a vote. It
    has the next number.
    """


class Replace(Step, frozen=True, tag="replace"):
    """A new node with other keys takes the vote of this one, which is stopped for good."""

    node: Index


class Remove(Step, frozen=True, tag="remove"):
    """The members take a node's vote, and it is stopped for good."""

    node: Index


AnyStep: TypeAlias = (
    Kill
    | Start
    | Restart
    | RestartAll
    | Pause
    | Resume
    | Partition
    | Deafen
    | Mute
    | Flap
    | Slow
    | Heal
    | Backup
    | Restore
    | Wipe
    | Skew
    | Join
    | Replace
    | Remove
)


def disturbances(step: AnyStep) -> int:
    """How many processes are killed or stopped, or how often the network is cut."""
    match step:
        case Flap():
            return step.times
        case Kill() | RestartAll() | Pause() | Partition() | Deafen() | Mute():
            return 1
        case _:
            return 0


_HONEST: Final = (Backup, Restore, Wipe, Skew, Replace, Remove)
"""Steps that take an honest node."""


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the scenario."""


class LoadSpec(_Table, frozen=True):
    """The load: transfers at `rate` a second, and clients that move and read `registers`."""

    rate: Annotated[float, Meta(gt=0, le=RATE_MAX)] = 20.0
    clients: Annotated[int, Meta(ge=0, le=CLIENTS_MAX)] = 6
    registers: Annotated[int, Meta(ge=1, le=REGISTERS_MAX)] = 3


class Liar(_Table, frozen=True):
    """A validator that lies from the start to the end."""

    node: Index
    lie: Lie


class Scenario(_Table, frozen=True):
    """A history to be made. `seconds` is how long load and steps last."""

    name: NetworkName
    seconds: Annotated[float, Meta(gt=0, le=SECONDS_MAX)] = 15.0
    nodes: Annotated[int, Meta(ge=1, le=NODES_MAX)] = 4
    engine: EngineName = "pbft"
    seed: Annotated[int, Meta(ge=0)] = 0
    config: dict[str, object] = {}
    load: LoadSpec = LoadSpec()
    liars: tuple[Liar, ...] = ()
    steps: Annotated[tuple[AnyStep, ...], Meta(max_length=STEPS_MAX)] = ()

    @property
    def lying(self) -> frozenset[int]:
        """The nodes of which nothing is demanded."""
        return frozenset(liar.node for liar in self.liars)

    @property
    def joining(self) -> int:
        """How many nodes join it."""
        return sum(isinstance(step, Join | Replace) for step in self.steps)


def load_scenario(file: Path) -> Scenario:
    """Read a scenario. Raises ScenarioError."""
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(f"{file} cannot be read: {error}") from None
    try:
        return parse(text)
    except ScenarioError as error:
        raise ScenarioError(f"{file}: {error}") from None


def parse(text: str) -> Scenario:
    """A scenario from its text. Raises ScenarioError."""
    try:
        # Integers stand where fractions may; msgspec converts them.
        scenario = msgspec.convert(tomllib.loads(text), Scenario)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ScenarioError(str(error)) from None
    _check(scenario)
    return scenario


def _check(scenario: Scenario) -> None:
    lying = [liar.node for liar in scenario.liars]
    named = {index for step in scenario.steps for index in _named(step)} | set(lying)
    total = scenario.nodes + scenario.joining
    if any(index >= total for index in named) or any(index >= scenario.nodes for index in lying):
        raise ScenarioError(f"node {max(named)} is none of {total}")
    if len(set(lying)) != len(lying):
        raise ScenarioError("a node lies in two ways")
    if len(lying) > may_lie(scenario.engine, scenario.nodes):
        raise ScenarioError(
            f"{len(lying)} of {scenario.nodes} lie, and on {scenario.engine} at most "
            f"{may_lie(scenario.engine, scenario.nodes)} may"
        )
    if any(step.at > scenario.seconds for step in scenario.steps):
        raise ScenarioError("a step comes after the end")
    kept: set[int] = set()
    for step in sorted(scenario.steps, key=lambda step: step.at):
        if isinstance(step, Backup):
            kept.add(step.node)
        if isinstance(step, Restore) and step.node not in kept:
            raise ScenarioError(f"node {step.node} is restored before there is a backup")
        if (
            isinstance(step, Backup | Restore | Wipe | Skew | Replace | Remove)
            and step.node in lying
        ):
            raise ScenarioError(f"{step.__struct_config__.tag} needs an honest node")


def _named(step: AnyStep) -> list[int]:
    match step:
        case Start() | Slow():
            return list(step.nodes)
        case Partition():
            return [index for group in step.groups for index in group]
        case RestartAll() | Resume() | Heal() | Join():
            return []
        case _:
            return [step.node] if isinstance(step.node, int) else []


def dump(scenario: Scenario) -> str:
    """The scenario as TOML that `parse` reads; what is as it would be anyway is left out."""
    lines = [f"{key} = {_toml(value)}" for key, value in _plain(scenario).items()]
    for name, table in (("config", scenario.config), ("load", _fields(scenario.load))):
        if table:
            lines += ["", f"[{name}]", *(f"{_key(k)} = {_toml(v)}" for k, v in table.items())]
    parts: list[tuple[str, msgspec.Struct]] = [("liars", liar) for liar in scenario.liars]
    parts += [("steps", step) for step in scenario.steps]
    for name, part in parts:
        fields = _fields(part)
        lines += ["", f"[[{name}]]", *(f"{k} = {_toml(v)}" for k, v in fields.items())]
    return "\n".join(lines) + "\n"


def _plain(scenario: Scenario) -> dict[str, object]:
    tables = ("config", "load", "liars", "steps")
    return {key: value for key, value in _fields(scenario).items() if key not in tables}


def _fields(table: msgspec.Struct) -> dict[str, object]:
    """What differs from its default; the tag of a step is among it."""
    built: dict[str, object] = msgspec.to_builtins(table)
    defaults = {
        field.name: msgspec.to_builtins(field.default)
        for field in msgspec.structs.fields(type(table))
        if field.default is not msgspec.NODEFAULT
    }
    return {
        key: value for key, value in built.items() if key not in defaults or value != defaults[key]
    }


def _key(text: str) -> str:
    return text if text.isidentifier() else _toml(text)


def _toml(value: object) -> str:
    """A value of which scenarios consist: TOML writes these as JSON does."""
    return msgspec.json.encode(value).decode()
