"""What may enter the mempool, and which proposed blocks deserve a vote."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from medquorum import merkle
from medquorum.block import Header
from medquorum.codec import Wire
from medquorum.hashing import EMPTY_HASH
from medquorum.keys import SigningKey
from medquorum.transaction import Operation, Transaction, build, sign
from node.ledger.admission import StateCheck, check_form
from node.ledger.blockcheck import Parent, check_block
from node.ledger.codes import OK
from node.ledger.errors import AdmissionError
from node.ledger.limits import BLOCK_TXS_MAX
from node.ledger.registry import Registry
from node.ledger.txtype import Traffic
from node.ledger.types.governance.bodies import CastVote
from node.ledger.types.identity.bodies import KemSet, KeyRevoke
from tests.support.examples_identity import rotation
from tests.support.ledger import Ledger, Person, some_id, some_key


def transaction(
    ledger: Ledger,
    key: SigningKey,
    *,
    valid_until: int = 100,
    chain_id: bytes | None = None,
    operation: Operation | None = None,
) -> Transaction:
    """A transaction with everything to choose."""
    body = build(
        chain_id=chain_id or ledger.chain_id,
        nonce=bytes(16),
        valid_until=valid_until,
        operations=[operation or ledger.op("id.kem.set", KemSet(some_id("a"), b""))],
        signers=[key.public],
    )
    return sign(body, [key])


def refused_state(ledger: Ledger, tx: Transaction) -> str:
    with pytest.raises(AdmissionError) as caught:
        StateCheck(ledger.view(), ledger.height + 1, ledger.registry).check(tx)
    return caught.value.code


def refused_form(ledger: Ledger, tx: Transaction) -> str:
    with pytest.raises(AdmissionError) as caught:
        check_form(tx, ledger.chain_id, ledger.registry)
    return caught.value.code


def test_the_form_is_checked_without_state() -> None:
    ledger = Ledger()
    key = ledger.person().key
    check_form(transaction(ledger, key), ledger.chain_id, ledger.registry)
    foreign = transaction(ledger, key, chain_id=some_id("other chain"))
    assert refused_form(ledger, foreign) == "wrong_chain"
    unknown = transaction(ledger, key, operation=Operation("no.such", 1, b""))
    assert refused_form(ledger, unknown) == "unknown_type"
    bad = transaction(ledger, key, operation=Operation("id.kem.set", 1, b"\x90"))
    assert refused_form(ledger, bad) == "schema_violation"


def test_the_window_of_heights_is_exact() -> None:
    ledger = Ledger(params={"tx.window_heights": 10})
    person = ledger.person()
    for _ in range(5):
        ledger.block()
    view, following = ledger.view(), ledger.height + 1
    for valid_until in (following, ledger.height + 10):
        tx = transaction(ledger, person.key, valid_until=valid_until)
        assert StateCheck(view, following, ledger.registry).check(tx).org == person.org.id
    late = transaction(ledger, person.key, valid_until=ledger.height)
    assert refused_state(ledger, late) == "expired"
    early = transaction(ledger, person.key, valid_until=ledger.height + 11)
    assert refused_state(ledger, early) == "not_yet_valid"


def test_admission_knows_which_keys_sign_at_the_next_height() -> None:
    ledger = Ledger()
    person = ledger.person()
    assert refused_state(ledger, transaction(ledger, some_key("stranger"))) == "unknown_key"
    ledger.accept(ledger.op("id.key.rotate", rotation(ledger, person.id, person.key)), by=person)
    new = some_key("successor")
    assert refused_state(ledger, transaction(ledger, person.key)) == "key_revoked"
    StateCheck(ledger.view(), ledger.height + 1, ledger.registry).check(transaction(ledger, new))
    ledger.accept(ledger.op("id.key.revoke", KeyRevoke(new.public, 0)), by=new)
    assert refused_state(ledger, transaction(ledger, new)) == "key_revoked"


def test_a_transaction_travels_in_the_class_of_its_humblest_operation() -> None:
    ledger = Ledger()
    vote = ledger.op("gov.vote", CastVote(bytes(32), bytes(32), "approve"))
    clinical = ledger.op("id.kem.set", KemSet(bytes(32), b""))
    who = ledger.person()
    assert ledger.registry.traffic(ledger.tx(vote, by=who)) is Traffic.GOVERNANCE
    assert ledger.registry.traffic(ledger.tx(vote, clinical, by=who)) is Traffic.CLINICAL


def proposal(ledger: Ledger, transactions: Sequence[Transaction]) -> tuple[Header, Parent]:
    """A good next block on a parent of our choice."""
    parent = Parent(
        ledger.height, some_id("parent"), some_id("result"), ledger.time_ms, ledger.validators
    )
    header = Header(
        1, ledger.chain_id, ledger.height + 1, ledger.time_ms + 1,
        ledger.validators.validators[0].key, parent.block_hash, parent.result_hash,
        ledger.validators.hash(), merkle.root([tx.id for tx in transactions]), len(transactions),
    )  # fmt: skip
    return header, parent


def reason(
    ledger: Ledger,
    header: Header,
    parent: Parent,
    transactions: Sequence[Transaction],
    *,
    seen: frozenset[bytes] = frozenset(),
    formed: frozenset[bytes] = frozenset(),
) -> str | None:
    return check_block(
        header,
        parent,
        [tx.id for tx in transactions],
        transactions,
        chain_id=ledger.chain_id,
        view=ledger.view(),
        registry=ledger.registry,
        seen=seen.__contains__,
        formed=formed.__contains__,
        time_ms_max=ledger.time_ms + 1_000,
    )


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("chain_id", some_id("x"), "chain"),
        ("height", 2, "height"),
        ("parent", some_id("x"), "parent"),
        ("parent_result", EMPTY_HASH, "parent_result"),
        ("validators_hash", EMPTY_HASH, "validators_hash"),
        ("proposer", some_key("x").public, "proposer"),
        ("time_ms", 1_800_000_000_000, "time_not_after_parent"),
        ("time_ms", 1_800_000_001_001, "time_ahead"),
        ("txs_root", EMPTY_HASH, "txs_root"),
        ("tx_count", 2, "tx_count"),
    ],
)
def test_each_fact_of_the_header_is_checked(field: str, value: object, expected: str) -> None:
    ledger = Ledger()
    transactions = [transaction(ledger, ledger.person().key)]
    header, parent = proposal(ledger, transactions)
    assert reason(ledger, header, parent, transactions) is None
    changed = msgspec.structs.replace(header, **{field: value})
    assert reason(ledger, changed, parent, transactions) == expected


def test_each_transaction_of_the_block_is_checked() -> None:
    ledger = Ledger()
    key = ledger.person().key
    good = transaction(ledger, key)
    cases: list[tuple[Transaction, str]] = [
        (transaction(ledger, key, valid_until=0), "transaction_expired"),
        (transaction(ledger, key, valid_until=5_000), "transaction_not_yet_valid"),
        (transaction(ledger, key, chain_id=some_id("x")), "transaction_chain"),
        (
            transaction(ledger, key, operation=Operation("id.kem.set", 1, b"\x90")),
            "transaction_body",
        ),
    ]
    for bad, expected in cases:
        header, parent = proposal(ledger, [good, bad])
        assert reason(ledger, header, parent, [good, bad]) == expected
    header, parent = proposal(ledger, [good])
    assert reason(ledger, header, parent, [good], seen=frozenset({good.id})) == (
        "transaction_replayed"
    )
    header, parent = proposal(ledger, [good, good])
    assert reason(ledger, header, parent, [good, good]) == "duplicate_in_block"


def test_bodies_are_decoded_unless_they_were_before(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger()
    old, new = transaction(ledger, ledger.person().key), transaction(ledger, ledger.person().key)
    header, parent = proposal(ledger, [old, new])
    decoded: list[Operation] = []
    decode_body = Registry.decode_body

    def counted(registry: Registry, operation: Operation) -> Wire:
        decoded.append(operation)
        return decode_body(registry, operation)

    monkeypatch.setattr(Registry, "decode_body", counted)
    assert reason(ledger, header, parent, [old, new], formed=frozenset({old.id})) is None
    assert decoded == list(new.body.operations)
    # It says nothing about the rest.
    late = proposal(ledger, [old])
    seen = formed = frozenset({old.id})
    assert reason(ledger, *late, [old], seen=seen, formed=formed) == "transaction_replayed"


def test_a_block_of_too_many_transactions_is_refused_by_its_count() -> None:
    ledger = Ledger()
    ids = [number.to_bytes(32, "big") for number in range(BLOCK_TXS_MAX + 1)]
    header, parent = proposal(ledger, [])
    refusal = check_block(
        header, parent, ids, [], chain_id=ledger.chain_id, view=ledger.view(),
        registry=ledger.registry, seen=lambda _: False,
    )  # fmt: skip
    assert refusal == "too_many_transactions"


def test_a_type_that_not_every_node_may_know_is_left_to_execution() -> None:
    ledger = Ledger()
    person: Person = ledger.person()
    foreign = transaction(ledger, person.key, operation=Operation("no.such", 1, b""))
    header, parent = proposal(ledger, [foreign])
    assert reason(ledger, header, parent, [foreign]) is None
    assert ledger.block(foreign)[0].code != OK
