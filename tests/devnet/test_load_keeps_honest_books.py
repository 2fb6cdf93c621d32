"""The books of a load: what was accepted must end, and what was lost is named."""

from __future__ import annotations

from devnet.loadbook import Book, Report, make_report, state_of
from devnet.loadclient import Answered, Fate, Refusal
from devnet.signing import Signed


def signed(number: int) -> Signed:
    return Signed(number.to_bytes(32, "big"), b"raw", 0)


def report(book: Book, fates: dict[str, Fate]) -> Report:
    return make_report(book, fates, rate=1, seconds=1, first_height=0, stranded=0)


def test_what_was_accepted_and_is_not_known_in_the_end_is_lost() -> None:
    book = Book()
    kept, lost, refused = signed(1), signed(2), signed(3)
    for tx in (kept, lost, refused):
        book.sent(tx, 1.0)
    ids = [tx.tx_id.hex() for tx in (kept, lost, refused)]
    fates = [
        Fate(ids[0], "pending"),
        Fate(ids[1], "pending"),
        Fate(ids[2], "unknown", problem=Refusal("mempool_full")),
    ]
    book.answered([kept, lost, refused], Answered(0, fates))
    book.block(1, [ids[0]])
    # Taken in as if it were new: the node had never heard of it.
    ended = {ids[0]: Fate(ids[0], "committed", duplicate=True), ids[1]: Fate(ids[1], "pending")}
    found = report(book, ended)
    assert (found.accepted, found.committed, found.lost) == (2, 1, [ids[1]])
    assert found.refused == {"mempool_full": 1}


def test_a_block_that_was_seen_before_the_answer_still_settles_it() -> None:
    book, tx = Book(), signed(1)
    book.sent(tx, 1.0)
    book.block(1, [tx.tx_id.hex()])
    book.answered([tx], Answered(0, [Fate(tx.tx_id.hex(), "committed")]))
    assert book.settled.is_set()


def test_a_block_seen_by_two_followers_counts_once() -> None:
    book, first, second = Book(), signed(1), signed(2)
    for tx in (first, second):
        book.sent(tx, 1.0)
    pending = [Fate(tx.tx_id.hex(), "pending") for tx in (first, second)]
    book.answered([first, second], Answered(0, pending))
    assert not book.settled.is_set()
    for _ in range(2):
        book.block(1, [first.tx_id.hex()])
    assert not book.settled.is_set()
    book.block(2, [second.tx_id.hex()])
    assert book.settled.is_set()


def test_nothing_is_promised_for_what_no_node_answered() -> None:
    book, tx = Book(), signed(1)
    book.sent(tx, 1.0)
    book.answered([tx], None)
    found = report(book, {})
    assert (found.unanswered, found.accepted, found.lost) == (1, 0, [])


def test_a_state_counts_only_for_what_the_node_knew_before() -> None:
    assert state_of(Fate("", "committed", duplicate=True)) == "committed"
    assert state_of(Fate("", "committed", duplicate=False)) == "unknown"
    assert state_of(Fate("", "unknown", problem=Refusal("expired"))) == "expired"
    assert state_of(Fate("", "unknown", problem=Refusal("mempool_full"))) == "unknown"
    assert state_of(None) == "unknown"
