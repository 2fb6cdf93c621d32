"""Building and signing: what people see in a draft is what they sign."""

from __future__ import annotations

import json
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from medquorum.builder import Draft, TransactionBuilder
from medquorum.codec import U53, Bytes32, Name, Wire, decode, encode
from medquorum.errors import MalformedError, MedQuorumError, VerificationError
from medquorum.keys import SigningKey
from medquorum.schema import body_from_json, field_names, json_schema
from medquorum.transaction import Transaction

CHAIN = b"\x01" * 32
ANN, BOB = SigningKey(b"\x02" * 32), SigningKey(b"\x03" * 32)


class Share(Wire):
    """A part of the whole."""

    account: Bytes32
    amount: U53


class Invoice(Wire):
    """Every shape that a body can have."""

    ref: Bytes32
    kind: Literal["visit", "stay"]
    payer: Annotated[bytes, Meta(max_length=32)]
    shares: Annotated[tuple[Share, ...], Meta(max_length=4)]
    tags: tuple[Name, ...]
    period: tuple[U53, U53]


SCHEMA = json.loads(json.dumps(json_schema(Invoice)))
BODY = Invoice(b"\x09" * 32, "stay", b"", (Share(b"\x08" * 32, 7),), ("a", "b"), (1, 2))
FIELDS: dict[str, object] = {
    "ref": "09" * 32,
    "kind": "stay",
    "payer": "",
    "shares": [{"amount": 7, "account": "08" * 32}],
    "tags": ["a", "b"],
    "period": [1, 2],
}


def draft() -> Draft:
    builder = TransactionBuilder(CHAIN, valid_until=9).operation("pay.invoice.issue", BODY)
    return builder.signer(ANN.public, BOB.public).build()


def test_the_id_is_known_before_anybody_signs() -> None:
    unsigned = draft()
    transaction = unsigned.sign(BOB).sign(ANN).complete()
    assert transaction.id == unsigned.tx_id
    assert transaction.signatures_hold()
    assert Transaction.decode(transaction.raw).body.signers == (ANN.public, BOB.public)


def test_no_two_builders_make_the_same_transaction() -> None:
    assert draft().tx_id != draft().tx_id


def test_a_draft_is_not_complete_before_everyone_signed() -> None:
    half = draft().sign(ANN)
    assert half.missing == (BOB.public,)
    with pytest.raises(VerificationError, match="draft_incomplete"):
        half.complete()


def test_only_named_signers_sign_and_only_rightly() -> None:
    with pytest.raises(VerificationError, match="draft_signer"):
        draft().sign(SigningKey.generate())
    with pytest.raises(VerificationError, match="draft_signature"):
        draft().add_signature(ANN.public, BOB.sign(b"something else"))


def test_a_draft_travels_as_a_file_and_comes_back_with_signatures() -> None:
    first = draft()
    on_the_island = Draft.load(first.dump()).sign(ANN)
    back = Draft.load(on_the_island.dump()).sign(BOB)
    assert back.complete().raw == first.sign(ANN, BOB).complete().raw


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tx_id", "00" * 32),
        ("chain_id", "00" * 32),
        ("valid_until", 10),
        ("operations", ["cons.revoke/1"]),
        ("signatures", {ANN.public.hex(): "01" + "00" * 64}),
    ],
)
def test_a_file_cannot_show_other_than_what_is_signed(field: str, value: object) -> None:
    parsed = {**json.loads(draft().dump()), field: value}
    with pytest.raises(VerificationError):
        Draft.load((json.dumps(parsed, indent=2) + "\n").encode())


@given(st.binary(max_size=100))
def test_files_from_anywhere_raise_only_verification_errors(data: bytes) -> None:
    with pytest.raises(VerificationError):
        Draft.load(data)


def test_bounds_are_checked_when_building() -> None:
    with pytest.raises(MalformedError):
        TransactionBuilder(CHAIN, valid_until=9).signer(ANN.public).build()
    with pytest.raises(MalformedError):
        builder = TransactionBuilder(CHAIN, valid_until=-1).operation("a", BODY)
        builder.signer(ANN.public).build()
    with pytest.raises(MalformedError, match="twice"):
        builder = TransactionBuilder(CHAIN, valid_until=1).operation("a", BODY)
        builder.signer(ANN.public, ANN.public).build()


def test_a_published_schema_is_enough_to_build_the_same_bytes() -> None:
    assert body_from_json(SCHEMA, FIELDS) == encode(BODY)
    built = TransactionBuilder(CHAIN, valid_until=9).operation_from_json("x", SCHEMA, FIELDS)
    assert built.signer(ANN.public).build().body.operations[0].body == encode(BODY)


def test_a_schema_lists_the_fields_in_wire_order() -> None:
    assert field_names(Invoice) == tuple(SCHEMA["$defs"]["Invoice"]["properties"])
    assert SCHEMA["$defs"]["Invoice"]["properties"]["ref"]["minLength"] == 64


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"extra": 1}, "extra unknown"),
        ({"ref": 1}, "body.ref: hexadecimal"),
        ({"ref": "AB"}, "body.ref: not lower-case"),
        ({"shares": [{"amount": 1}]}, r"body.shares\[0\]: account missing"),
        ({"shares": {}}, "body.shares: an array"),
        ({"shares": [7]}, r"body.shares\[0\]: an object"),
        ({"period": [1]}, "2 items"),
        ({"kind": True}, "booleans"),
        ({"kind": None}, "body.kind"),
        ({"period": [1, 2.5]}, r"body.period\[1\]"),
        ({"period": [1, -1]}, "integer"),
    ],
)
def test_fields_that_do_not_fit_are_named(change: dict[str, object], complaint: str) -> None:
    with pytest.raises(MalformedError, match=complaint):
        body_from_json(SCHEMA, {**FIELDS, **change})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(
    schema=st.dictionaries(st.sampled_from(["$ref", "type", "properties", "items"]), JSON),
    value=JSON,
)
def test_schemas_from_anywhere_raise_only_our_errors(
    schema: dict[str, object], value: object
) -> None:
    try:
        body_from_json(schema, value)
    except MedQuorumError:
        return


@given(
    st.builds(
        Invoice,
        st.binary(min_size=32, max_size=32),
        st.sampled_from(["visit", "stay"]),
        st.binary(max_size=32),
        st.lists(
            st.builds(Share, st.binary(min_size=32, max_size=32), st.integers(0, 2**53 - 1)),
            max_size=4,
        ).map(tuple),
        st.lists(st.from_regex(r"[a-z][a-z0-9]{0,5}", fullmatch=True), max_size=3).map(tuple),
        st.tuples(st.integers(0, 2**53 - 1), st.integers(0, 2**53 - 1)),
    )
)
def test_json_fields_and_structures_give_the_same_bytes(body: Invoice) -> None:
    fields = {
        "ref": body.ref.hex(),
        "kind": body.kind,
        "payer": body.payer.hex(),
        "shares": [{"account": s.account.hex(), "amount": s.amount} for s in body.shares],
        "tags": list(body.tags),
        "period": list(body.period),
    }
    raw = body_from_json(SCHEMA, fields)
    assert raw == encode(body)
    assert decode(Invoice, raw, size_max=10_000) == body
