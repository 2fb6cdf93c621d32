"""The stages of a transaction are measured on blocks that a real node has committed."""

from __future__ import annotations

import pstats
from pathlib import Path

import pytest

from devnet.bench import stages
from devnet.bench.line import open_line
from devnet.bench.output import manifest_for
from devnet.bench.wire import transfer_us
from devnet.errors import StateError
from devnet.signing import Kind, Recipe, make
from medquorum.transaction import Transaction

CLERKS = (("hospital-a", "billing"),)
ACCOUNTS = 400


@pytest.fixture(autouse=True)
def _few_votes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devnet.bench.consensus.MESSAGES_MIN", 1)


def test_every_row_is_counted_on_committed_transactions(tmp_path: Path) -> None:
    profile = tmp_path / "profile"
    cases = ((Kind.TRANSFER, 1), (Kind.ANCHOR, 4))
    found = stages.bench(
        tmp_path,
        manifest_for("pbft", 4),
        cases=cases,
        accounts=ACCOUNTS,
        block_txs=10,
        blocks=2,
        profile=profile,
    )
    assert [(case.kind, case.operations) for case in found.cases] == list(cases)
    for case in found.cases:
        assert (case.transactions, case.blocks) == (20, 2)
        rows = [getattr(case.row, name) for name in stages.BUDGETS_US]
        assert all(row > 0 for row in rows)
        assert case.total_us == pytest.approx(sum(rows), abs=0.1)
        assert case.total_us_per_operation == pytest.approx(
            case.total_us / case.operations, abs=0.1
        )
    transfer, anchor = found.cases
    # Two accounts change, though the same one may in two transfers of a block; an anchor is three
    # rows, always new.
    assert 1 <= transfer.keys_changed <= 2
    assert anchor.keys_changed == 3 * 4
    assert anchor.tx_bytes > transfer.tx_bytes
    # The profile saw production code of every thread.
    functions = pstats.Stats(str(profile)).stats  # type: ignore[attr-defined]  # the stubs lack it
    names = {name for _, _, name in functions}
    assert {"on_tx_batch", "signatures_hold", "check_block", "prepare", "stage"} <= names


async def test_what_is_rejected_is_not_measured(tmp_path: Path) -> None:
    with pytest.raises(ExceptionGroup) as raised:
        async with open_line(tmp_path, manifest_for("pbft", 1), keys=8) as line:
            await stages.run_blocks(line, Kind.REFUSED, 1, txs=2, blocks=1)
    assert raised.group_contains(StateError, match="rejected")


async def test_a_state_has_as_many_accounts_as_asked_for(tmp_path: Path) -> None:
    async with open_line(tmp_path, manifest_for("pbft", 1), keys=ACCOUNTS) as line:
        recipe = line.recipe(Kind.TRANSFER, 1)
        assert recipe.accounts * len(recipe.clerks) == ACCOUNTS
        rows = line.node.chain.view().read("payments").scan(b"a", b"b")
        assert sum(1 for _ in rows) == ACCOUNTS


async def test_the_wire_counts_what_arrived() -> None:
    raws = [tx.raw for tx in make(Recipe("b", bytes(32), CLERKS, 2, ((Kind.TRANSFER, 1),)), 40, 9)]
    assert await transfer_us(raws) > 0


def test_transactions_have_the_operations_asked_for() -> None:
    for operations in (1, 3):
        recipe = Recipe("b", bytes(32), CLERKS, 2, ((Kind.ANCHOR, 1),), operations)
        made = [Transaction.decode(tx.raw) for tx in make(recipe, 2, 9)]
        assert [len(tx.body.operations) for tx in made] == [operations, operations]
        assert all(tx.signatures_hold() for tx in made)
