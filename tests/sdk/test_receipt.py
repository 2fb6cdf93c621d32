"""Receipts prove what became of a transaction, and nothing else can be made of them."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medquorum.block import Attribute, Event, TxOutcome
from medquorum.errors import VerificationError
from medquorum.receipt import Receipt, verify_receipt
from tests.support.chain import Chain, genesis_of


def _chain() -> Chain:
    """Two changes of the validator set, and a block of three transactions after them."""
    chain = Chain()
    chain.add()
    chain.add(next_names=("a", "b", "c", "e"))
    chain.add(next_names=("f", "b", "c", "e"))
    transactions = [chain.transaction("alone")]
    # Six events, of which the transaction's stand in the first half: their paths would be the same
    # among seven.
    chain.add(transactions, events=[Event(i // 2, 0, "rec.anchored", ()) for i in range(6)])
    transactions = [chain.transaction(f"t{i}") for i in range(3)]
    events = [Event(i % 3, 0, "rec.anchored", (Attribute("n", i),)) for i in range(5)]
    chain.add(transactions, events=events, codes=["ok", "E_CONSENT", "ok"])
    return chain


CHAIN = _chain()
FILE = CHAIN.receipt(5, 1).dump()
VERIFIED = verify_receipt(FILE, CHAIN.genesis)


def reason_of(receipt: Receipt) -> str:
    with pytest.raises(VerificationError) as caught:
        receipt.verify(CHAIN.genesis)
    return caught.value.reason


def test_a_receipt_says_what_happened_where_and_who_certified_it() -> None:
    block = CHAIN.blocks[4]
    assert VERIFIED.tx_id == block.transactions[1].id
    assert (VERIFIED.height, VERIFIED.index, VERIFIED.code) == (5, 1, "E_CONSENT")
    assert not VERIFIED.succeeded
    assert verify_receipt(CHAIN.receipt(5, 0).dump(), CHAIN.genesis).succeeded
    assert VERIFIED.operations == block.transactions[1].body.operations
    assert VERIFIED.signers == block.transactions[1].body.signers
    assert VERIFIED.events == (block.events[1], block.events[4])
    assert len(VERIFIED.certified_by) == 3
    assert VERIFIED.block_hash == block.certified.header.hash()


@settings(max_examples=400, deadline=None)
@given(position=st.integers(0, len(FILE) - 1), byte=st.integers(0, 255))
def test_no_changed_byte_leaves_a_receipt(position: int, byte: int) -> None:
    changed = FILE[:position] + bytes([byte]) + FILE[position + 1 :]
    if changed == FILE:
        return
    with pytest.raises(VerificationError):
        verify_receipt(changed, CHAIN.genesis)


@pytest.mark.parametrize("file", [FILE, CHAIN.receipt(5, 0).dump(), CHAIN.receipt(4, 0).dump()])
def test_a_changed_bit_anywhere_is_noticed(file: bytes) -> None:
    """Each byte in turn; its lowest bit, which makes another digit of a digit."""
    for position, byte in enumerate(file):
        changed = file[:position] + bytes([byte ^ 1]) + file[position + 1 :]
        with pytest.raises(VerificationError):
            verify_receipt(changed, CHAIN.genesis)


@settings(max_examples=100, deadline=None)
@given(position=st.integers(0, len(FILE)), extra=st.binary(min_size=1, max_size=3))
def test_nothing_can_be_added_to_a_receipt(position: int, extra: bytes) -> None:
    with pytest.raises(VerificationError):
        verify_receipt(FILE[:position] + extra + FILE[position:], CHAIN.genesis)


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_bytes_from_anywhere_raise_only_verification_errors(data: bytes) -> None:
    with pytest.raises(VerificationError):
        verify_receipt(data, CHAIN.genesis)


def test_the_file_has_one_form() -> None:
    parsed = json.loads(FILE)
    for other in (
        json.dumps(parsed).encode(),
        FILE.rstrip(b"\n"),
        FILE.replace(b"\n", b"\r\n"),
        FILE.replace(b'"code"', b'"\\u0063ode"'),
        b"\xef\xbb\xbf" + FILE,
    ):
        with pytest.raises(VerificationError, match="receipt_form"):
            verify_receipt(other, CHAIN.genesis)


@pytest.mark.parametrize("field", ["tx_id", "height", "code"])
def test_the_readable_head_must_agree_with_the_proof(field: str) -> None:
    parsed = json.loads(FILE)
    parsed[field] = {"tx_id": "00" * 32, "height": 6, "code": "ok"}[field]
    changed = (json.dumps(parsed, indent=2) + "\n").encode()
    with pytest.raises(VerificationError, match="receipt_form"):
        verify_receipt(changed, CHAIN.genesis)


def test_a_receipt_of_another_chain_does_not_verify() -> None:
    with pytest.raises(VerificationError, match="chain_id"):
        verify_receipt(FILE, genesis_of(("a", "b", "c", "d", "e")))


def test_every_part_is_checked_against_the_certified_roots() -> None:
    receipt = Receipt.load(FILE)
    other = CHAIN.receipt(5, 0)
    assert reason_of(replace(receipt, transaction=other.transaction)) == "tx_path"
    assert reason_of(replace(receipt, tx_path=other.tx_path)) == "tx_path"
    assert reason_of(replace(receipt, outcome_path=other.outcome_path)) == "outcome_path"
    better = TxOutcome(receipt.transaction.id, 1, "ok", 0)
    assert reason_of(replace(receipt, outcome=better)) == "outcome_path"
    foreign = TxOutcome(bytes(32), 1, "E_CONSENT", 0)
    assert reason_of(replace(receipt, outcome=foreign)) == "outcome_tx"
    assert reason_of(replace(receipt, events=other.events)) == "event_tx"
    assert reason_of(replace(receipt, events=())) == "event_count"
    assert reason_of(replace(receipt, events=receipt.events[::-1])) == "event_order"
    invented = replace(receipt.events[0], event=Event(1, 0, "pay.minted", ()))
    assert reason_of(replace(receipt, events=(invented,))) == "event_path"
    expired = replace(receipt, transaction=CHAIN.transaction("t1", valid_until=4))
    assert reason_of(expired) == "tx_expired"


def test_a_wrong_signature_on_the_transaction_is_seen() -> None:
    raw = CHAIN.blocks[4].transactions[1].raw
    parsed = json.loads(FILE)
    flipped = raw[:-1] + bytes([raw[-1] ^ 1])
    parsed["transaction"] = base64.urlsafe_b64encode(flipped).rstrip(b"=").decode()
    changed = (json.dumps(parsed, indent=2) + "\n").encode()
    with pytest.raises(VerificationError, match="tx_signature"):
        verify_receipt(changed, CHAIN.genesis)


def test_the_history_must_be_whole_ordered_and_certified() -> None:
    receipt = Receipt.load(FILE)
    first, second = receipt.history
    assert reason_of(replace(receipt, history=())) == "certificate_validators"
    assert reason_of(replace(receipt, history=(second,))) == "certificate_validators"
    assert reason_of(replace(receipt, history=(first,))) == "certificate_validators"
    assert reason_of(replace(receipt, history=(first, first, second))) == "history_order"
    wrong_set = replace(first, validators=second.validators)
    assert reason_of(replace(receipt, history=(wrong_set, second))) == "history_set"
    calm = replace(first, at=CHAIN.blocks[0].certified, validators=CHAIN.genesis.validator_set())
    assert reason_of(replace(receipt, history=(calm, first, second))) == "history_change"
    forged = replace(first, at=replace(first.at, result=second.at.result))
    assert reason_of(replace(receipt, history=(forged, second))) == "certificate_result"


def test_a_history_beyond_the_block_is_refused() -> None:
    chain = Chain()
    chain.add([chain.transaction()])
    chain.add(next_names=("a", "b", "c", "e"))
    receipt = replace(chain.receipt(1, 0), history=tuple(chain.changes))
    with pytest.raises(VerificationError, match="receipt_history"):
        receipt.verify(chain.genesis)
