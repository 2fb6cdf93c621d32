"""Recoveries of the small chain of chain.py: their state holds the keys of four organisations."""

from __future__ import annotations

from collections.abc import Sequence

from medquorum.codec import encode
from medquorum.history import Certified
from medquorum.keys import possession_bytes
from medquorum.recovery import (
    KEYS_NAMESPACE,
    KEYS_PREFIX,
    Authority,
    KeyRow,
    RecoveredValidator,
    Recovery,
    RecoveryStatement,
    RootSignature,
)
from storage.kv import Batch
from storage.memory import MemoryKV
from storage.state import StateStore
from tests.support.chain import Chain, key_for

ORGS = {name: bytes([0x40 + i]) * 32 for i, name in enumerate("abcd")}
NEW = ("w", "x", "y", "z")
LATER = ("e", "f")
HEIGHT = 3
"""The last height that is certified before the disaster."""


def org_of(name: str) -> bytes:
    """The organisation that operates a validator; those of NEW and LATER belong to a, b, c, d."""
    if name in NEW:
        return ORGS["abcd"[NEW.index(name)]]
    return ORGS["abcd"[LATER.index(name)]] if name in LATER else ORGS[name]


def root_of(name: str) -> bytes:
    """The root key of the organisation."""
    return key_for(f"root of {name}").public


def key_rows() -> dict[bytes, KeyRow]:
    """The rows of the state: root keys, one that was replaced, one that ended, and a person's."""
    rows = {root_of(name): KeyRow(b"", org, 0, 0, 0) for name, org in ORGS.items()}
    rows[root_of("old a")] = KeyRow(b"", ORGS["a"], 0, 50, 0)
    rows[root_of("ended a")] = KeyRow(b"", ORGS["a"], 0, HEIGHT + 1, 0)
    rows[root_of("stranger")] = KeyRow(b"", b"\x77" * 32, 0, 0, 0)
    rows[root_of("person")] = KeyRow(b"\x66" * 32, ORGS["d"], 0, 0, 0)
    return rows


class Disaster:
    """A chain of four validators of four organisations that stands still after HEIGHT."""

    def __init__(self) -> None:
        kv = MemoryKV()
        self._state = StateStore(kv, keep_versions=1)
        keys = {KEYS_PREFIX + key: encode(row) for key, row in key_rows().items()}
        update = self._state.prepare(0, {KEYS_NAMESPACE: keys, "payments": {b"p": b"1"}})
        batch = Batch()
        update.stage(batch)
        kv.write(batch, sync=False)
        self._state.committed(update)
        orgs = {**ORGS, **{name: org_of(name) for name in NEW + LATER}}
        self.chain = Chain(state_root=update.root, orgs=orgs)
        for height in range(1, HEIGHT + 1):
            self.chain.add([self.chain.transaction(f"before {height}")])

    @property
    def last(self) -> Certified:
        """The last certified height."""
        return self.chain.blocks[-1].certified

    def authority(self, name: str) -> Authority:
        """The proof of a key."""
        key = root_of(name)
        row, proof = self._state.proof(KEYS_NAMESPACE, KEYS_PREFIX + key)
        assert row is not None
        return Authority(key, row, proof.siblings)

    def statement(
        self, *, counter: int = 1, reason: str = "site.lost", names: Sequence[str] = NEW
    ) -> RecoveryStatement:
        """Continue the last block under `names`."""
        chain_id, at = self.chain.chain_id, self.last
        validators = []
        for name in names:
            vote = key_for(f"{name} votes")
            proof = vote.sign(possession_bytes(chain_id, org_of(name), vote.public))
            node = key_for(f"{name} node").public
            validators.append(RecoveredValidator(vote.public, node, org_of(name), proof))
        return RecoveryStatement(
            chain_id, counter, at.header.height, at.header.hash(), at.result.hash(),
            tuple(validators), reason,
        )  # fmt: skip

    def sign(
        self, statement: RecoveryStatement, names: Sequence[str] = ("a", "b", "c")
    ) -> Recovery:
        """The statement, signed by the root keys of these."""
        message = statement.signing_bytes()
        signatures = [
            RootSignature(self.authority(name), key_for(f"root of {name}").sign(message))
            for name in names
        ]
        signatures.sort(key=lambda signed: signed.authority.key)
        return Recovery(statement, self._state.sub_roots(), tuple(signatures))
