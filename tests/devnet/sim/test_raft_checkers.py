"""The checkers of Raft runs speak up when a promise is broken, and only then."""

from __future__ import annotations

from msgspec.structs import replace

from consensus.raft.messages import Ack, Append, Grant, Heartbeat, VoteRequest
from devnet.sim.checks_raft import RaftChecks
from devnet.sim.cluster import found, key_of
from devnet.sim.options import calm
from medquorum.block import Header
from medquorum.certificate import CommitCertificate, make_certificate
from medquorum.genesis import Genesis

KEYS = [key_of(f"vote {place}").public for place in range(3)]
SIGNATURE = b"\x01" * 65
RESULT = b"r" * 32


class Book:
    """The checkers, and what they said."""

    def __init__(self) -> None:
        self.genesis: Genesis = found(calm(3, "raft"))
        self.said: list[str] = []
        self.settled: list[tuple[int, bytes, bytes]] = []
        self.checks = RaftChecks(
            self.said.append,
            lambda *what: self.settled.append(what),
            {1: self.genesis.validator_set()}.get,
            self.genesis.chain_id(),
        )

    def header(self, proposer: int, time_ms: int = 1) -> Header:
        """A first block."""
        return Header(
            version=1,
            chain_id=self.genesis.chain_id(),
            height=1,
            time_ms=time_ms,
            proposer=KEYS[proposer],
            parent=self.genesis.chain_id(),
            parent_result=bytes(32),
            validators_hash=self.genesis.validator_set().hash(),
            txs_root=bytes(32),
            tx_count=0,
        )

    def elect(self, place: int, term: int, *voters: int) -> None:
        """Votes for a candidate."""
        key = KEYS[place]
        self.checks.said("x", VoteRequest(1, term, key, (), 0, SIGNATURE))
        for voter in voters:
            self.checks.said("x", Grant(1, term, KEYS[voter], key, SIGNATURE))

    def append(self, place: int, term: int, header: Header) -> None:
        """An entry."""
        self.checks.said("x", Append(1, term, KEYS[place], header, b"", SIGNATURE))

    def ack(self, place: int, term: int, header: Header) -> None:
        """An ack."""
        self.checks.said("x", Ack(1, term, KEYS[place], header.hash(), RESULT, SIGNATURE))


def certificate(header: Header, term: int, *signers: int) -> CommitCertificate:
    """Of these signers; nobody looks at the signatures here."""
    return make_certificate(
        engine="raft",
        height=1,
        round_=term,
        block_hash=header.hash(),
        result_hash=RESULT,
        votes=dict.fromkeys(signers, SIGNATURE),
        n=3,
    )


def test_an_ordinary_height_is_no_violation_and_a_majority_of_acks_settles_it() -> None:
    book = Book()
    block = book.header(1)
    book.append(1, 0, block)
    book.checks.told("x", KEYS[1], Heartbeat(1, 0, 1, (block.hash(),)))
    book.ack(1, 0, block)
    assert book.settled == []
    book.ack(2, 0, block)
    assert book.settled == [(1, block.hash(), RESULT)]
    book.checks.committed(block, certificate(block, 0, 1, 2))
    assert book.said == []


def test_term_0_belongs_to_one_validator_and_a_later_term_to_whom_a_majority_voted_for() -> None:
    book = Book()
    book.append(2, 0, book.header(2))
    assert "belongs to somebody else" in book.said[0]
    book = Book()
    book.elect(2, 1)
    book.append(2, 1, book.header(2))
    assert "no majority voted for it" in book.said[0]
    book = Book()
    book.elect(2, 1, 0)
    book.append(2, 1, book.header(2))
    assert book.said == []
    book.elect(0, 1, 1)
    book.checks.told("x", KEYS[0], Heartbeat(1, 1, 1, ()))
    assert "so does somebody else" in book.said[0]


def test_a_leader_must_have_what_an_earlier_term_could_have_decided() -> None:
    book = Book()
    block = book.header(1)
    book.append(1, 0, block)
    book.ack(1, 0, block)
    book.ack(2, 0, block)
    book.elect(0, 1, 2)
    book.append(0, 1, book.header(0))
    assert "without what term 0 has decided" in book.said[0]


def test_the_same_is_noticed_if_the_majority_shows_after_the_entry_of_the_later_term() -> None:
    book = Book()
    block = book.header(1)
    book.append(1, 0, block)
    book.ack(2, 0, block)
    book.elect(0, 1, 2)
    book.append(0, 1, book.header(0))
    assert book.said == []
    book.ack(1, 0, block)
    assert "has another entry" in book.said[0]


def test_an_entry_follows_the_chain_and_a_term_has_one() -> None:
    book = Book()
    book.append(1, 0, replace(book.header(1), parent=b"p" * 32))
    assert "does not follow" in book.said[0]
    book = Book()
    book.append(1, 0, book.header(1))
    book.append(1, 0, book.header(1, time_ms=2))
    assert "two entries" in book.said[0]
    book.ack(2, 0, book.header(1, time_ms=3))
    assert "did not send" in book.said[1]


def test_a_certificate_counts_only_acks_that_were_said_in_its_term() -> None:
    book = Book()
    block = book.header(1)
    book.append(1, 0, block)
    book.ack(1, 0, block)
    book.elect(2, 1, 0)
    book.append(2, 1, block)
    book.ack(2, 1, block)
    book.checks.committed(block, certificate(block, 1, 1, 2))
    assert "nobody said in that term" in book.said[0]
