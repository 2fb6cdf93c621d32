"""Published vectors of what proves: receipts, state proofs, Merkle lists."""

from __future__ import annotations

import json

from medquorum import merkle
from medquorum.block import Attribute, Event
from medquorum.codec import encode
from medquorum.errors import VerificationError
from medquorum.genesis import dump
from medquorum.receipt import verify_receipt
from medquorum.statetree import (
    StateProof,
    SubRoot,
    key_path,
    leaf_hash,
    node_hash,
    state_root,
    value_hash,
    verify_state,
)
from tests.support.chain import Chain

Json = dict[str, object]


def receipts() -> Json:
    """A receipt file with what it proves, and files that prove nothing, with the reason."""
    chain = Chain()
    chain.add(next_names=("a", "b", "c", "e"))
    transactions_ = [chain.transaction(f"t{i}") for i in range(3)]
    events = [Event(i, 0, "rec.anchored", (Attribute("n", i),)) for i in range(3)]
    chain.add(transactions_, events=events, codes=["ok", "E_CONSENT", "ok"])
    text = chain.receipt(2, 1).dump().decode()
    proven = verify_receipt(text.encode(), chain.genesis)
    parsed = json.loads(text)

    def changed(**fields: object) -> str:
        return json.dumps(parsed | fields, indent=2) + "\n"

    other = json.loads(chain.receipt(2, 0).dump())
    cases = {
        "without white space": json.dumps(parsed, separators=(",", ":")),
        "another height shown": changed(height=3),
        "no history": changed(history=[]),
        "another path": changed(tx_path=other["tx_path"]),
        "another transaction's outcome": changed(outcome=other["outcome"], code="ok"),
        "another transaction's events": changed(events=other["events"]),
    }
    return {
        "genesis": dump(chain.genesis).decode(),
        "receipt": text,
        "proves": {
            "tx_id": proven.tx_id.hex(),
            "height": proven.height,
            "index": proven.index,
            "time_ms": proven.time_ms,
            "code": proven.code,
            "block_hash": proven.block_hash.hex(),
            "signers": [key.hex() for key in proven.signers],
            "certified_by": [key.hex() for key in proven.certified_by],
        },
        "invalid": [
            {"name": name, "receipt": case, "error": _reason_of(case, chain)}
            for name, case in cases.items()
        ],
    }


def _reason_of(text: str, chain: Chain) -> str:
    try:
        verify_receipt(text.encode(), chain.genesis)
    except VerificationError as error:
        return error.reason
    return "ok"


def state_proofs() -> Json:
    """Proofs of presence and absence in a namespace of two keys, and proofs that do not hold."""
    keys = sorted((b"alpha", b"beta"), key=key_path)
    leaves = [key_path(key) + value_hash(b"value of " + key) for key in keys]
    hashes = [leaf_hash(leaf[:32], leaf[32:]) for leaf in leaves]
    depth = next(i for i in range(256) if _bit(leaves[0], i) != _bit(leaves[1], i))
    top = node_hash(*hashes)
    siblings: list[list[bytes]] = [[hashes[1]], [hashes[0]]]
    for level in reversed(range(depth)):
        pair = (bytes(32), top) if _bit(leaves[0], level) else (top, bytes(32))
        top = node_hash(*pair)
        siblings = [[bytes(32), *path] for path in siblings]
    sub_roots = (SubRoot("empty", bytes(32)), SubRoot("records", top))
    root = state_root(sub_roots)

    def case(name: str, key: bytes, value: bytes | None, path: list[bytes], leaf: bytes) -> Json:
        proof = StateProof(sub_roots, tuple(path), leaf)
        try:
            verify_state(root, "records", key, value, proof)
            error = "ok"
        except VerificationError as caught:
            error = caught.reason
        shown = None if value is None else value.hex()
        encoded = encode(proof).hex()
        return {"name": name, "key": key.hex(), "value": shown, "proof": encoded, "error": error}

    absent = next(
        key
        for key in (f"gamma {i}".encode() for i in range(1000))
        if all(_bit(key_path(key), i) == _bit(leaves[0], i) for i in range(depth + 1))
    )
    first = b"value of " + keys[0]
    return {
        "root": root.hex(),
        "namespace": "records",
        "cases": [
            case("present", keys[0], first, siblings[0], leaves[0]),
            case("present", keys[1], b"value of " + keys[1], siblings[1], leaves[1]),
            case("absent: another leaf stands there", absent, None, siblings[0], leaves[0]),
            case("another value", keys[0], b"x", siblings[0], leaves[0]),
            case("present, but said to be absent", keys[0], None, siblings[0], leaves[0]),
            case("absent, but said to be present", absent, b"x", siblings[0], leaves[0]),
            case("another path", keys[0], first, siblings[1], leaves[0]),
            case("a path that is too short", keys[0], first, siblings[0][1:], leaves[0]),
        ],
    }


def _bit(path: bytes, index: int) -> int:
    return path[index >> 3] >> (7 - (index & 7)) & 1


def lists() -> Json:
    """Roots and paths over lists of up to nine entries."""
    entries = [bytes([i]) * i for i in range(9)]
    return {
        "entries": [entry.hex() for entry in entries],
        "roots": [merkle.root(entries[:n]).hex() for n in range(10)],
        "counted_roots": [merkle.counted_root(entries[:n]).hex() for n in range(10)],
        "paths_in_all_nine": [[h.hex() for h in path] for path in merkle.paths(entries)],
    }
