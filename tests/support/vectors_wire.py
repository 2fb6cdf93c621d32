"""Published vectors of what travels: encoding, transactions, blocks, votes, drafts."""

from __future__ import annotations

from medquorum.builder import TransactionBuilder
from medquorum.certificate import VoteTag, vote_bytes
from medquorum.codec import decode_plain, encode, encode_plain
from medquorum.errors import DecodeError
from medquorum.genesis import dump
from medquorum.keys import derive_seed
from medquorum.statetree import (
    SubRoot,
)
from medquorum.transaction import Operation, Transaction, build, sign
from tests.support.chain import Chain, key_for

Json = dict[str, object]


def _plain(value: object) -> object:
    """A value of the canonical subset as JSON: bytes become {"hex": ...}."""
    match value:
        case bytes():
            return {"hex": value.hex()}
        case list():
            return [_plain(item) for item in value]
        case _:
            return value


def encoding() -> Json:
    """Plain values with their bytes, and bytes that are refused, with the code of the refusal."""
    values: list[object] = [
        0, 1, 127, 128, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**53 - 1,
        b"", b"\x00", bytes(255), bytes(256),
        "", "a", "é", "医院", "\U0001f600", "x" * 31, "x" * 32, "x" * 255, "x" * 256,
        [], [[]], [1, b"\x02", "3"], list(range(15)), list(range(16)),
    ]  # fmt: skip
    refused = {
        "integer in two bytes where one is enough": "cc01",
        "integer in three bytes where two are enough": "cd00ff",
        "signed form of a positive integer": "d001",
        "negative integer": "ff",
        "2^53": "cf0020000000000000",
        "nil": "c0",
        "false": "c2",
        "true": "c3",
        "float 1.0": "cb3ff0000000000000",
        "map": "80",
        "extension type": "d40100",
        "string with a longer length than needed": "d90161",
        "bytes with a longer length than needed": "c5000161",
        "array with a longer length than needed": "dc0000",
        "trailing byte": "0100",
        "nothing": "",
        "truncated array": "9201",
        "string that is not UTF-8": "a1ff",
        "lone surrogate in a string": "a3eda080",
        "nil inside an array": "91c0",
    }
    return {
        "valid": [{"value": _plain(v), "encoded": encode_plain(v).hex()} for v in values],
        "invalid": [
            {"name": name, "encoded": raw, "error": refusal_of(bytes.fromhex(raw))}
            for name, raw in refused.items()
        ],
    }


def refusal_of(raw: bytes) -> str:
    """The code with which plain bytes are refused, or "ok"."""
    try:
        decode_plain(raw, size_max=2**20)
    except DecodeError as error:
        return error.code
    return "ok"


def tx_refusal_of(raw: bytes) -> str:
    """The code with which a transaction is refused, "bad_signature", or "ok"."""
    try:
        transaction = Transaction.decode(raw)
    except DecodeError as error:
        return error.code
    return "ok" if transaction.signatures_hold() else "bad_signature"


def transactions() -> Json:
    """Transactions from their parts, and raw ones that are refused."""
    ann, bob = key_for("ann"), key_for("bob")
    chain_id = Chain().chain_id
    one = Operation("rec.anchor", 1, encode((b"\x01" * 32, 7)))
    two = Operation("pay.transfer", 2, encode((b"\x02" * 32, 2**53 - 1)))
    valid = []
    for operations, keys in (([one], [ann]), ([one, two], [bob, ann])):
        body = build(
            chain_id=chain_id,
            nonce=derive_seed(b"vectors", "nonce")[:16],
            valid_until=1000,
            operations=operations,
            signers=[key.public for key in keys],
        )
        transaction = sign(body, keys)
        valid.append(
            {
                "seeds": [key.seed.hex() for key in keys],
                "chain_id": chain_id.hex(),
                "nonce": transaction.body.nonce.hex(),
                "valid_until": 1000,
                "operations": [
                    {"type": op.type, "version": op.version, "body": op.body.hex()}
                    for op in operations
                ],
                "body": body.hex(),
                "id": transaction.id.hex(),
                "raw": transaction.raw.hex(),
            }
        )
    return {"valid": valid, "invalid": _refused_transactions(chain_id)}


def _refused_transactions(chain_id: bytes) -> list[Json]:
    key = key_for("ann")
    operation = ["rec.anchor", 1, b""]

    def raw(*, signatures: list[bytes] | None = None, **changes: object) -> bytes:
        fields: Json = {
            "version": 1,
            "chain_id": chain_id,
            "nonce": bytes(16),
            "valid_until": 9,
            "operations": [operation],
            "signers": [key.public],
        }
        body = encode_plain(list((fields | changes).values()))
        signed = [key.sign(b"medquorum/tx/v1\0" + body)] if signatures is None else signatures
        return encode_plain([body, signed])

    good = raw()
    cases = {
        "a signature with one bit flipped": good[:-1] + bytes([good[-1] ^ 1]),
        "a signature over nothing": raw(signatures=[key.sign(b"")]),
        "no signature": raw(signatures=[]),
        "two signatures for one signer": raw(signatures=[bytes(65), bytes(65)]),
        "the same signer twice": raw(signers=[key.public] * 2, signatures=[bytes(65)] * 2),
        "no operation": raw(operations=[]),
        "a nonce of 15 bytes": raw(nonce=bytes(15)),
        "version 2": raw(version=2),
        "an operation type in upper case": raw(operations=[["Rec.anchor", 1, b""]]),
        "an operation type that ends in a new line": raw(operations=[["rec.anchor\n", 1, b""]]),
        "an operation with a fourth field": raw(operations=[[*operation, 0]]),
        "trailing bytes": good + b"\x00",
        "more than 128 KiB": raw(operations=[["a", 1, bytes(65536)]] * 3),
    }
    return [
        {"name": name, "raw": case.hex(), "error": tx_refusal_of(case)}
        if len(case) < 100_000
        else {"name": name, "bytes": len(case), "error": tx_refusal_of(case)}
        for name, case in cases.items()
    ]


def blocks() -> Json:
    """Headers, results, validator sets and votes with their hashes and signatures."""
    chain = Chain()
    chain.add()
    block = chain.add([chain.transaction("t0"), chain.transaction("t1")])
    header, result = block.certified.header, block.certified.result
    validators = chain.genesis.validator_set()
    key = key_for("a votes")
    payload = (header.hash(), result.hash())
    votes = [
        {
            "tag": tag.value,
            "height": 2,
            "round": 3,
            "message": vote_bytes(tag, chain.chain_id, 2, 3, payload).hex(),
            "signature": key.sign(vote_bytes(tag, chain.chain_id, 2, 3, payload)).hex(),
        }
        for tag in VoteTag
    ]
    return {
        "genesis": dump(chain.genesis).decode(),
        "chain_id": chain.chain_id.hex(),
        "header": {"encoded": encode(header).hex(), "hash": header.hash().hex()},
        "result": {"encoded": encode(result).hex(), "hash": result.hash().hex()},
        "validators": {"encoded": encode(validators).hex(), "hash": validators.hash().hex()},
        "txs": {"ids": [tx.id.hex() for tx in block.transactions], "root": header.txs_root.hex()},
        "vote_seed": key.seed.hex(),
        "votes": votes,
        "certificate": encode(block.certified.certificate).hex(),
    }


def drafts() -> Json:
    """A transaction that waits for the second of its two signers."""
    ann, bob = key_for("ann"), key_for("bob")
    chain = Chain()
    builder = TransactionBuilder(chain.chain_id, valid_until=9, draw=bytes)
    builder.operation("rec.anchor", SubRoot("a", bytes(32)))
    draft = builder.signer(ann.public, bob.public).build().sign(bob)
    return {"draft": draft.dump().decode(), "missing": [key.hex() for key in draft.missing]}
