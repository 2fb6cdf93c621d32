"""How the cost of a transaction grows: with validators, with its size and its operations, with the
state, and with the length of the chain.

Validators, sizes and operations are measured on whole networks, the state and the chain with one
validator's work (stages.py): all rows are processor time of one transaction and one validator.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec

from devnet.bench.limits import Limits
from devnet.bench.line import open_line
from devnet.bench.output import running
from devnet.bench.rig import rig
from devnet.bench.stages import measure_case
from devnet.manifest import Manifest
from devnet.signing import Kind, Recipe, make
from medquorum.transaction import OPERATIONS_MAX

AXES: Final[Mapping[str, tuple[int, ...]]] = MappingProxyType(
    {
        "validators": (4, 7, 10, 16),
        "tx-bytes": (200, 2_000, 16_000, 64_000),
        "operations": (1, 10, 100),
        "keys": (10_000, 100_000),
        "heights": (100, 2_000),
    }
)
"""What is varied, and its values if no others are given. On `tx-bytes`, transactions anchor as many
records as fit; the smallest has one."""

WINDOW: Final = 1_000
"""Operations under way while a network is measured."""
RATE_GUESS: Final = 1_000
"""Operations a second that are signed for the first attempt."""
PATIENCE: Final = 8
"""So many times as long as asked for a network is given to commit anything at all."""
LINE_TXS: Final = 500
LINE_BLOCKS: Final = 4


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One point of one axis. `value` is what was asked for, the rest was counted. What is None was
    not measured: there was no network, or only whole nodes.
    """

    axis: str
    value: int
    validators: int
    operations: int
    tx_bytes: float
    accounts: int
    height: int
    """The last one when the measurement was over."""

    committed_per_second: float | None
    cpu_us_per_tx_per_validator: float | None
    cpu_us_per_operation_per_validator: float | None
    execute_us_per_tx: float | None = None
    merkle_us_per_tx: float | None = None
    store_us_per_tx: float | None = None
    ratio_to_first: float | None = None
    """Of the cost of one operation, to that in the first row of the axis."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How to measure."""

    seconds: float = 5.0
    accounts: int = 200
    network_size: int = 4
    """Validators where their number is not varied."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured."""

    rows: list[Row]


def bench(
    folder: Path,
    manifest: Callable[[int], Manifest],
    limits: Limits,
    axes: Mapping[str, Sequence[int]],
    settings: Settings,
) -> Result:
    """All points of these axes. `manifest` makes one for so many validators. Raises StateError."""
    rows: list[Row] = []
    for axis, values in axes.items():
        points = [
            _point(folder, manifest, limits, axis=axis, value=value, settings=settings)
            for value in values
        ]
        rows += with_ratios(points)
    return Result(rows=rows)


def with_ratios(points: Sequence[Row]) -> list[Row]:
    """The rows of one axis, each compared with the first."""
    first = points[0].cpu_us_per_operation_per_validator if points else None
    return [
        msgspec.structs.replace(
            row,
            ratio_to_first=(
                round(row.cpu_us_per_operation_per_validator / first, 3)
                if first and row.cpu_us_per_operation_per_validator is not None
                else None
            ),
        )
        for row in points
    ]


def operations_of_size(tx_bytes: int) -> int:
    """How many anchored records make a transaction of about so many bytes."""
    one, two = (_anchor_bytes(number) for number in (1, 2))
    return max(1, min(OPERATIONS_MAX, 1 + round((tx_bytes - one) / (two - one))))


def _anchor_bytes(operations: int) -> int:
    clerks = (("hospital-a", "billing"),)
    recipe = Recipe("bench", bytes(32), clerks, 2, ((Kind.ANCHOR, 1),), operations)
    return len(make(recipe, 1, 1)[0].raw)


def _point(
    folder: Path,
    manifest: Callable[[int], Manifest],
    limits: Limits,
    *,
    axis: str,
    value: int,
    settings: Settings,
) -> Row:
    size = value if axis == "validators" else settings.network_size
    kind, operations = Kind.TRANSFER, 1
    match axis:
        case "keys" | "heights":
            accounts = value if axis == "keys" else settings.accounts
            empty = value if axis == "heights" else 0
            return asyncio.run(
                _line(
                    folder,
                    manifest(size),
                    axis=axis,
                    value=value,
                    accounts=accounts,
                    heights=empty,
                )
            )
        case "tx-bytes":
            kind, operations = Kind.ANCHOR, operations_of_size(value)
        case "operations":
            operations = value
        case _:
            pass
    return _network(
        folder,
        manifest(size),
        limits,
        axis=axis,
        value=value,
        settings=settings,
        kind=kind,
        operations=operations,
    )


def _network(
    folder: Path,
    manifest: Manifest,
    limits: Limits,
    *,
    axis: str,
    value: int,
    settings: Settings,
    kind: Kind,
    operations: int,
) -> Row:
    """A network under full load."""
    accounts = settings.accounts
    with running(folder, manifest) as network:

        async def measure() -> Row:
            async with rig(
                network, accounts, limits.cores, kind=kind, operations=operations
            ) as made:
                sample = await (await made.stock(1, await made.height())).take(1, 0)
                window = max(2 * manifest.validators, WINDOW // operations)
                seconds, rate = settings.seconds, RATE_GUESS / operations
                step = await made.saturate(window, seconds, rate)
                while step.committed == 0 and seconds < PATIENCE * settings.seconds:
                    seconds *= 2
                    step = await made.saturate(window, seconds, rate)
                cost = step.cpu_us_per_tx_per_validator
                return Row(
                    axis=axis,
                    value=value,
                    validators=manifest.validators,
                    operations=operations,
                    tx_bytes=len(sample[0].raw),
                    accounts=accounts * len(manifest.hospitals),
                    height=await made.height(),
                    committed_per_second=step.committed_per_second,
                    cpu_us_per_tx_per_validator=cost,
                    cpu_us_per_operation_per_validator=(
                        None if cost is None else round(cost / operations, 2)
                    ),
                )

        return asyncio.run(measure())


async def _line(
    folder: Path, manifest: Manifest, *, axis: str, value: int, accounts: int, heights: int
) -> Row:
    """One validator's work on a state of so many accounts, after so many blocks."""
    with tempfile.TemporaryDirectory(dir=folder, prefix="bench-") as place:
        async with open_line(Path(place), manifest, keys=accounts) as line:
            for _ in range(heights):
                line.pour({})
            case = await measure_case(
                line, Kind.TRANSFER, 1, vote_us=0.0, block_txs=LINE_TXS, blocks=LINE_BLOCKS
            )
            height = line.node.chain.tip.height
    return Row(
        axis=axis,
        value=value,
        validators=manifest.validators,
        operations=1,
        tx_bytes=case.tx_bytes,
        accounts=accounts,
        height=height,
        committed_per_second=None,
        cpu_us_per_tx_per_validator=case.total_us,
        cpu_us_per_operation_per_validator=case.total_us_per_operation,
        execute_us_per_tx=case.row.execute,
        merkle_us_per_tx=case.row.merkle,
        store_us_per_tx=case.row.store,
    )
