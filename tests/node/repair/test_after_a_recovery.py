"""What checks, keeps and moves a chain knows of the disasters that it went through."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from medquorum.codec import encode
from medquorum.errors import VerificationError
from medquorum.receipt import verify_receipt
from medquorum.transaction import Transaction
from node.archive.format import ArchiveReader
from node.archive.proving import prove_archive
from node.chain import Chain
from node.checking.findings import Report
from node.ledger.recoveries import recovery_refusal
from node.receipts import receipt_file
from node.recovering import adopt_from
from node.repair.blocks import BlockAudit
from node.repair.rollback import Rollback
from node.snapshots.beginning import build_chain
from node.snapshots.making import SnapshotWork, load_head
from node.wire import CertifiedBlock
from storage import layout
from storage.errors import DamagedStoreError
from storage.kv import Batch
from storage.leveldb import LevelDB
from storage.snapshots import SnapshotFiles
from tests.support.archives import write_archive
from tests.support.recovered import grown_past_a_disaster
from tests.support.signed_chain import REGISTRY, SignedChain, open_leveldb
from tests.support.stopped_home import exchange_a_validator


@pytest.fixture
def member(tmp_path: Path) -> Iterator[SignedChain]:
    """Five blocks, a disaster, three blocks."""
    chain = grown_past_a_disaster(tmp_path / "member")
    yield chain
    chain.close()


def findings(member: SignedChain, first: int = 1) -> list[str]:
    report = Report()
    tip = member.chain.tip.height
    audit = BlockAudit(
        member.kv, member.chain.blocks, member.genesis, report, first=first, last=tip
    )
    audit.run(1, lambda *_: None)
    return [finding.line() for finding in report.findings]


@pytest.mark.parametrize("first", [1, 5, 6, 7])
def test_verification_follows_the_recovery(member: SignedChain, first: int) -> None:
    assert findings(member, first) == []


def test_verification_sees_a_recovery_that_does_not_hold(member: SignedChain) -> None:
    recovery = member.chain.blocks.recovery(6)
    assert recovery is not None
    few = type(recovery)(recovery.statement, recovery.sub_roots, recovery.signatures[:2])
    key = layout.at_height(layout.RECOVERY, 6)
    for value in (encode(few), b"\x00"):
        batch = Batch()
        batch.put(key, value)
        member.kv.write(batch, sync=False)
        assert any("recovery" in line for line in findings(member))
    batch = Batch()
    batch.delete(key)
    member.kv.write(batch, sync=False)
    assert findings(member) != []


@pytest.mark.parametrize("prefix", [layout.VALIDATORS, layout.RECOVERY])
async def test_certificates_do_not_look_false_because_other_sets_cannot_be_read(
    member: SignedChain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: bytes
) -> None:
    """The rest of the sets cannot be read, and none is in that rest: all that vote are known."""
    await exchange_a_validator(tmp_path, member, out=7, into=8)
    member.grow(2)
    assert findings(member) == []
    real = LevelDB.scan

    def scan(
        self: LevelDB, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        yield from real(self, start, stop, reverse=reverse)
        if start == prefix and not reverse:
            raise DamagedStoreError("the database", "a rotten block")

    monkeypatch.setattr(LevelDB, "scan", scan)
    assert findings(member) == ["validators: a rotten block"]


@pytest.mark.parametrize(("first", "last"), [(1, 8), (5, 6), (6, 8), (7, 8), (1, 5)])
def test_archives_prove_themselves_across_the_recovery(
    member: SignedChain, tmp_path: Path, first: int, last: int
) -> None:
    path = tmp_path / "archive"
    write_archive(path, member.kv, member.chain.chain_id, first, last)
    data = path.read_bytes()
    proven = prove_archive(ArchiveReader(io.BytesIO(data)), member.genesis)
    header = member.chain.blocks.header(last)
    assert header is not None
    assert proven.block_hash == header.hash()
    for position in range(8, len(data), 101):
        altered = data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
        with pytest.raises(VerificationError):
            prove_archive(ArchiveReader(io.BytesIO(altered)), member.genesis)


def test_a_node_that_begins_with_a_snapshot_has_the_recovery_in_its_receipts(
    member: SignedChain, tmp_path: Path
) -> None:
    files = SnapshotFiles(tmp_path / "files")
    with closing(member.kv.snapshot()) as view:
        work = SnapshotWork(member.chain, view, files)
        while work.step():
            pass
        name = work.finish()
    head = load_head(files, name)
    assert head is not None
    build_chain(
        tmp_path / "late",
        head,
        files,
        genesis=member.genesis,
        registry=REGISTRY,
        open_kv=open_leveldb,
    )
    with closing(open_leveldb(tmp_path / "late")) as kv:
        late = Chain(kv, member.genesis, REGISTRY, keep_versions=10)
        assert late.tip == member.chain.tip
        assert [*late.blocks.set_changes(9)] == [*member.chain.blocks.set_changes(9)]


def test_a_node_that_begins_at_the_very_height_still_demands_that_it_is_recorded(
    member: SignedChain,
) -> None:
    """Its chain ends where the recovery begins, and its proof already holds the recovery."""
    blocks = member.chain.blocks
    recovered = blocks.block(6)
    assert recovered is not None
    list(Rollback(member.kv).run(3))
    batch = Batch()
    batch.put(layout.at_height(layout.RECOVERY, 6), encode(recovered.recovery))
    member.kv.write(batch, sync=True)
    member.chain = Chain(member.kv, member.genesis, REGISTRY, keep_versions=10)
    due = member.chain.recovery_due()
    assert due is not None
    assert due.replaced == member.genesis.validator_set()
    assert recovered.recovery is not None
    assert member.chain.tip.validators == recovered.recovery.statement.validator_set()
    assert recovery_refusal(due, [member.transaction()], member.chain.view()) == "recovery_missing"
    first = Transaction.decode(recovered.transactions[0])
    assert recovery_refusal(due, [first], member.chain.view()) is None
    assert member.chain.recovery_transaction() is None
    member.chain.expect(first)
    assert member.chain.recovery_transaction() is first
    member.add(first)


def test_a_chain_that_was_rolled_back_before_the_recovery_takes_it_again(
    member: SignedChain,
) -> None:
    stored = [member.chain.blocks.block(height) for height in range(6, 9)]
    list(Rollback(member.kv).run(3))
    chain = Chain(member.kv, member.genesis, REGISTRY, keep_versions=10)
    assert chain.tip.validators == member.genesis.validator_set()
    assert chain.blocks.recovery(6) is None
    for block in stored:
        assert block is not None
        certified = CertifiedBlock(
            block.header, block.result, block.certificate, block.transactions
        )
        adopt_from(chain, certified)
        transactions = [Transaction.decode(raw) for raw in block.transactions]
        executed = chain.execute(block.header, transactions)
        chain.advance(executed, chain.write(executed, block.certificate))
    receipt = receipt_file(chain.blocks, chain.blocks.outcomes(8)[0].tx_id)
    assert receipt is not None
    assert verify_receipt(receipt, member.genesis).recoveries == 1
