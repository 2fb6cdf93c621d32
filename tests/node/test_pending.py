"""Pending transactions survive a restart, once each, until they are final."""

from __future__ import annotations

from pathlib import Path

from medquorum.keys import SigningKey
from medquorum.transaction import Transaction
from node.pending import PendingLog
from storage.journal import MempoolJournal
from tests.support.cluster import make_transaction

KEY = SigningKey(bytes(32))


def some(*numbers: int) -> list[Transaction]:
    """Transactions told apart by number."""
    return [make_transaction(bytes(32), KEY, number, valid_until=9) for number in numbers]


def reopen(path: Path, journal: MempoolJournal) -> tuple[MempoolJournal, PendingLog]:
    """What a restart finds."""
    journal.close()
    journal = MempoolJournal(path)
    return journal, PendingLog(journal)


def test_what_was_kept_and_not_released_comes_back_in_order(tmp_path: Path) -> None:
    journal = MempoolJournal(tmp_path)
    pending = PendingLog(journal)
    a, b, c = some(1, 2, 3)
    pending.keep([a, b], sync=True)
    pending.keep([c], sync=False)
    pending.release([b.id])
    _, again = reopen(tmp_path, journal)
    recovered = again.recover()
    assert [raw for raw in recovered if raw != b.raw] == [a.raw, c.raw]


def test_a_transaction_kept_twice_is_written_once(tmp_path: Path) -> None:
    journal = MempoolJournal(tmp_path)
    pending = PendingLog(journal)
    [tx] = some(1)
    pending.keep([tx], sync=True)
    size = journal.size_bytes
    pending.keep([tx], sync=True)
    assert journal.size_bytes == size


def test_what_came_back_is_not_written_again(tmp_path: Path) -> None:
    journal = MempoolJournal(tmp_path)
    [tx] = some(1)
    PendingLog(journal).keep([tx], sync=True)
    journal, pending = reopen(tmp_path, journal)
    assert pending.recover() == [tx.raw]
    size = journal.size_bytes
    pending.keep([tx], sync=True)
    assert journal.size_bytes == size


def test_room_is_given_back_when_everything_is_final(tmp_path: Path) -> None:
    journal = MempoolJournal(tmp_path)
    transactions = some(*range(50))
    PendingLog(journal).keep(transactions, sync=True)
    journal, pending = reopen(tmp_path, journal)
    pending.recover()
    pending.release(tx.id for tx in transactions)
    assert journal.size_bytes == 0
    pending.release([bytes(32)])


def test_an_item_that_is_no_transaction_is_passed_over(tmp_path: Path) -> None:
    journal = MempoolJournal(tmp_path)
    [tx] = some(1)
    journal.append([b"garbage", tx.raw])
    journal, pending = reopen(tmp_path, journal)
    assert pending.recover() == [tx.raw]


def test_what_was_written_before_the_journal_was_read_is_not_forgotten_with_it(
    tmp_path: Path,
) -> None:
    """Peers pass on again what waits while a start is still reading the last heights."""
    old, new = some(1, 2)
    PendingLog(MempoolJournal(tmp_path)).keep([old], sync=True)
    journal = MempoolJournal(tmp_path, segment_bytes=1)
    pending = PendingLog(journal)
    pending.keep([old, new], sync=False)
    assert pending.recover() == [old.raw, new.raw]
    # Into a segment of its own, so that those before it go if nothing of theirs is wanted.
    pending.keep(some(3), sync=True)
    assert {old.raw, new.raw} <= set(reopen(tmp_path, journal)[1].recover())
