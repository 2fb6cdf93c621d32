"""What a committed transaction costs a validator, step by step: processor time of production code.

The rows are those of the design's table of budgets. Each is the time of the threads that do this
work while real blocks pass through a real node (line.py); what agreement costs is measured with
engines of their own (consensus.py), what links cost with links of their own (wire.py). What is not
in the rows is the API, and what the interpreter and the kernel add between them: the difference to
the processor time of a whole node, which `bench e2e` measures.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec

from consensus.engine import BlockBuilt
from devnet.bench.clocks import Profiles, Spent
from devnet.bench.consensus import measure_one
from devnet.bench.line import Line, open_line
from devnet.bench.wire import transfer_us
from devnet.manifest import Manifest
from devnet.signing import Kind, Signed, make
from node.ledger.limits import BLOCK_BYTES_MAX, BLOCK_OPERATIONS_MAX

CASES: Final = (
    (Kind.TRANSFER, 1),
    (Kind.TRANSFER, 10),
    (Kind.TRANSFER, 100),
    (Kind.ACCOUNT, 1),
    (Kind.ANCHOR, 1),
    (Kind.ANCHOR, 100),
)
"""Kinds of transactions, and how many operations each has."""

BUDGETS_US: Final[Mapping[str, tuple[float, float]]] = MappingProxyType(
    {
        "receive": (15.0, 8.0),
        "signature": (47.0, 47.0),
        "execute": (25.0, 12.0),
        "merkle": (40.0, 20.0),
        "store": (25.0, 12.0),
        "consensus": (15.0, 6.0),
    }
)
"""Microseconds of a transaction with one operation: what it must not exceed, and the aim; where
libsodium verifies a signature in `BUDGET_VERIFY_US`."""

BUDGET_VERIFY_US: Final = 45.0
WINDOW_HEIGHTS: Final = 900
_WARM_UP_BLOCKS: Final = 1


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """Microseconds of one transaction and one validator."""

    receive: float
    """Decode, id, checks, the pool, and the checks of the block that names it."""

    signature: float
    execute: float
    merkle: float
    store: float
    """Journal, the block's batch and its fsync, indexes, and what follows from a commit."""

    consensus: float
    """Its share of votes, and of gossip on encrypted links."""

    @property
    def total(self) -> float:
        """All of it."""
        return round(
            self.receive + self.signature + self.execute + self.merkle + self.store
            + self.consensus, 2
        )  # fmt: skip


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of transactions. `disk_bytes` are what the batches of its blocks held."""

    kind: Kind
    operations: int
    transactions: int
    blocks: int
    block_txs: float
    tx_bytes: float
    keys_changed: float
    """Entries of the state that a transaction changed, on average, in its block."""

    row: Row
    total_us: float
    total_us_per_operation: float


class Stages(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured."""

    validators: int
    accounts: int
    budgets_us: Mapping[str, tuple[float, float]]
    budget_verify_us: float
    cases: list[Case]


def bench(
    folder: Path,
    manifest: Manifest,
    *,
    cases: Sequence[tuple[Kind, int]] = CASES,
    accounts: int = 10_000,
    block_txs: int = 1_000,
    blocks: int = 5,
    profile: Path | None = None,
) -> Stages:
    """Measure in `folder`. A profile is taken of more blocks after the figures. Raises
    StateError.
    """
    return asyncio.run(
        _bench(
            folder,
            manifest,
            cases=cases,
            accounts=accounts,
            block_txs=block_txs,
            blocks=blocks,
            profile=profile,
        )
    )


async def _bench(
    folder: Path,
    manifest: Manifest,
    *,
    cases: Sequence[tuple[Kind, int]],
    accounts: int,
    block_txs: int,
    blocks: int,
    profile: Path | None,
) -> Stages:
    vote_us = measure_one(manifest.engine, manifest.validators, real_keys=True).total_us
    async with open_line(folder, manifest, keys=accounts) as line:
        found = [
            await measure_case(
                line, kind, operations, vote_us=vote_us, block_txs=block_txs, blocks=blocks
            )
            for kind, operations in cases
        ]
        if profile is not None:
            profiles = Profiles(line.node.threads)
            await profiles.begin()
            for kind, operations in cases:
                await run_blocks(line, kind, operations, txs=block_txs, blocks=blocks)
            await profiles.end(profile)
    return Stages(
        validators=manifest.validators,
        accounts=accounts,
        budgets_us=dict(BUDGETS_US),
        budget_verify_us=BUDGET_VERIFY_US,
        cases=found,
    )


class Run(msgspec.Struct, kw_only=True):
    """What blocks of one kind cost, by the phases of their life."""

    arrive: Spent = Spent()
    build: Spent = Spent()
    validate: Spent = Spent()
    execute: Spent = Spent()
    commit: Spent = Spent()
    blocks: int = 0
    keys_changed: int = 0
    raws: list[bytes] = msgspec.field(default_factory=list)


async def run_blocks(line: Line, kind: Kind, operations: int, *, txs: int, blocks: int) -> Run:
    """Commit so many blocks of so many transactions (as many as a block may hold), all of which
    must succeed. Raises StateError.
    """
    run = Run()
    recipe = line.recipe(kind, operations)
    sample = make(recipe, 1, 1)[0]
    fits = min(txs, BLOCK_OPERATIONS_MAX // operations, BLOCK_BYTES_MAX // (len(sample.raw) + 16))
    for _ in range(blocks):
        valid_until = line.node.chain.tip.height + WINDOW_HEIGHTS
        signed = await asyncio.to_thread(make, recipe, fits, valid_until)
        await _run_block(line, run, signed)
        await line.prune()
    return run


async def _run_block(line: Line, run: Run, signed: list[Signed]) -> None:
    before = await line.clocks()
    await line.arrive(signed)
    arrived = await line.clocks()
    block: BlockBuilt = await line.build()
    built = await line.clocks()
    await line.validate(block)
    validated = await line.clocks()
    changed = line.state.changed_keys
    result = await line.execute(block)
    executed = await line.clocks()
    certificate = line.certify(block, result)
    certified = await line.clocks()
    await line.commit(block, result, certificate)
    committed = await line.clocks()
    line.require_committed(block, len(signed))
    run.arrive = run.arrive.plus(arrived.since(before))
    run.build = run.build.plus(built.since(arrived))
    run.validate = run.validate.plus(validated.since(built))
    run.execute = run.execute.plus(executed.since(validated))
    run.commit = run.commit.plus(committed.since(certified))
    run.blocks += 1
    run.keys_changed += line.state.changed_keys - changed
    run.raws.extend(tx.raw for tx in signed)


async def measure_case(
    line: Line, kind: Kind, operations: int, *, vote_us: float, block_txs: int, blocks: int
) -> Case:
    """One kind. `vote_us` is what agreement on a block costs a validator."""
    await run_blocks(line, kind, operations, txs=block_txs, blocks=_WARM_UP_BLOCKS)
    run = await run_blocks(line, kind, operations, txs=block_txs, blocks=blocks)
    count = len(run.raws)
    wire_us = await transfer_us(run.raws)
    row = _row(run, len(line.network.validators), vote_us=vote_us, wire_us=wire_us)
    return Case(
        kind=kind,
        operations=operations,
        transactions=count,
        blocks=run.blocks,
        block_txs=round(count / run.blocks, 1),
        tx_bytes=round(sum(map(len, run.raws)) / count, 1),
        keys_changed=round(run.keys_changed / count, 2),
        row=row,
        total_us=row.total,
        total_us_per_operation=round(row.total / operations, 2),
    )


def _row(run: Run, validators: int, *, vote_us: float, wire_us: float) -> Row:
    count = len(run.raws)

    def per_tx(spent_ns: int) -> float:
        return round(spent_ns / 1_000 / count, 2)

    checked = run.build.loop + run.validate.loop + run.validate.ledger
    # Each transaction crosses the links n - 1 times, and n validators share both ends of that.
    gossip_us = wire_us * (validators - 1) / validators
    return Row(
        receive=per_tx(run.arrive.loop + run.arrive.ledger + run.build.ledger + checked),
        signature=per_tx(run.arrive.verifiers + run.validate.verifiers),
        execute=per_tx(run.execute.ledger - run.execute.prepare + run.execute.loop),
        merkle=per_tx(run.execute.prepare),
        store=per_tx(
            run.arrive.writer + run.validate.writer + run.execute.writer + run.commit.writer
            + run.commit.loop + run.commit.ledger
        ),
        consensus=round(vote_us * run.blocks / count + gossip_us, 2),
    )  # fmt: skip
