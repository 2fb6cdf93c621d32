"""The published vectors are fresh, and an independent MessagePack library reads them the same."""

from __future__ import annotations

import json
from hashlib import sha256

import msgpack
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from medquorum.builder import Draft
from medquorum.genesis import load
from medquorum.keys import SigningKey, verify
from medquorum.receipt import verify_receipt
from tests.support.vectors import DIRECTORY, SUBJECTS, text_of


def vectors(subject: str) -> dict[str, object]:
    parsed: dict[str, object] = json.loads((DIRECTORY / f"{subject}.json").read_text("utf-8"))
    return parsed


def cases(subject: str, part: str) -> list[dict[str, object]]:
    found = vectors(subject)[part]
    assert isinstance(found, list)
    return found


def plain(value: object) -> object:
    """The value that a vector shows."""
    match value:
        case {"hex": str(text)}:
            return bytes.fromhex(text)
        case list():
            return [plain(item) for item in value]
        case _:
            return value


def from_hex(value: object) -> bytes:
    assert isinstance(value, str)
    return bytes.fromhex(value)


@pytest.mark.parametrize("subject", SUBJECTS)
def test_the_published_vectors_are_fresh(subject: str) -> None:
    assert (DIRECTORY / f"{subject}.json").read_text("utf-8") == text_of(subject)


def test_an_independent_library_reads_and_writes_the_same_values() -> None:
    for case in cases("encoding", "valid"):
        raw = from_hex(case["encoded"])
        assert msgpack.unpackb(raw, raw=False) == plain(case["value"])
        assert msgpack.packb(plain(case["value"]), use_bin_type=True) == raw


def test_every_invalid_vector_is_refused() -> None:
    for subject in ("encoding", "transactions", "receipts", "evidence"):
        assert [c["name"] for c in cases(subject, "invalid") if c["error"] == "ok"] == []


def test_transactions_follow_from_their_parts_without_our_code() -> None:
    for case in cases("transactions", "valid"):
        seeds, operations = case["seeds"], case["operations"]
        assert isinstance(seeds, list)
        assert isinstance(operations, list)
        keys = [Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed)) for seed in seeds]
        body = msgpack.packb(
            [
                1,
                from_hex(case["chain_id"]),
                from_hex(case["nonce"]),
                case["valid_until"],
                [[op["type"], op["version"], bytes.fromhex(op["body"])] for op in operations],
                [b"\x01" + key.public_key().public_bytes_raw() for key in keys],
            ],
            use_bin_type=True,
        )
        message = b"medquorum/tx/v1\x00" + body
        signatures = [b"\x01" + key.sign(message) for key in keys]
        assert sha256(message).hexdigest() == case["id"]
        assert msgpack.packb([body, signatures], use_bin_type=True) == from_hex(case["raw"])


def test_votes_are_signed_over_the_shown_bytes() -> None:
    key = SigningKey(from_hex(vectors("blocks")["vote_seed"]))
    votes = cases("blocks", "votes")
    assert len({vote["message"] for vote in votes}) == len(votes)
    for vote in votes:
        assert verify(key.public, from_hex(vote["message"]), from_hex(vote["signature"]))


def test_the_published_receipt_verifies() -> None:
    published = vectors("receipts")
    text, genesis = published["receipt"], published["genesis"]
    assert isinstance(text, str)
    assert isinstance(genesis, str)
    proven, shown = verify_receipt(text.encode(), load(genesis.encode())), published["proves"]
    assert isinstance(shown, dict)
    assert (proven.tx_id.hex(), proven.height, proven.code) == (
        shown["tx_id"],
        shown["height"],
        shown["code"],
    )


def test_the_published_draft_loads() -> None:
    published = vectors("drafts")
    text = published["draft"]
    assert isinstance(text, str)
    assert [key.hex() for key in Draft.load(text.encode()).missing] == published["missing"]


def test_the_sealed_record_opens_without_our_code() -> None:
    sealed = vectors("vault")["sealed"]
    assert isinstance(sealed, dict)
    ciphertext = from_hex(sealed["ciphertext"])
    aad = from_hex(sealed["chain_id"]) + from_hex(sealed["rec_id"]) + (1).to_bytes(8, "big")
    text = AESGCM(from_hex(sealed["key"])).decrypt(ciphertext[:12], ciphertext[12:], aad)
    assert text.decode() == sealed["resource"]


def test_evidence_convicts_without_our_code() -> None:
    founded = load(str(vectors("evidence")["genesis"]).encode())
    for case in cases("evidence", "valid"):
        raw = from_hex(case["evidence"])
        validator, height, *statements = msgpack.unpackb(raw, raw=False)
        assert (validator, height) == (from_hex(case["validator"]), case["height"])
        assert sha256(b"medquorum/evidence/v1\0" + raw).hexdigest() == case["id"]
        packed = [msgpack.packb(statement, use_bin_type=True) for statement in statements]
        assert packed[0] < packed[1]
        for tag, round_, payload, signature in statements:
            place = [founded.chain_id(), tag, height, round_, payload]
            said = b"medquorum/vote/v1\0" + msgpack.packb(place, use_bin_type=True)
            # Raises if the signature does not hold.
            Ed25519PublicKey.from_public_bytes(validator[1:]).verify(signature[1:], said)
