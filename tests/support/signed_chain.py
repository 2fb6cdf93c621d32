"""A real chain of node.chain, grown in one process: its blocks are executed, and certified by keys
of the cluster in cluster.py, without any network.
"""

from __future__ import annotations

from pathlib import Path

from medquorum import merkle
from medquorum.block import Header
from medquorum.certificate import VoteTag, make_certificate, vote_bytes
from medquorum.genesis import Genesis
from medquorum.quorum import quorum
from medquorum.transaction import Transaction
from node.chain import Chain
from node.ledger.registry import Registry
from node.ledger.types import BUILT_IN
from storage.kv import KV
from storage.leveldb import LevelDB
from tests.support.cluster import key_of, make_genesis, make_transaction

REGISTRY = Registry(BUILT_IN)


def open_leveldb(path: Path) -> KV:
    """A database, created if need be."""
    return LevelDB(path)


class SignedChain:
    """One member's copy of a chain of four validators. `signers` are those that sign here: any
    three of them certify, so copies may differ in their certificates.
    """

    def __init__(
        self, path: Path, *, signers: tuple[int, ...] = (0, 1, 2), genesis: Genesis | None = None
    ) -> None:
        self.genesis = make_genesis(4) if genesis is None else genesis
        self.kv = open_leveldb(path)
        self.chain = Chain(self.kv, self.genesis, REGISTRY, keep_versions=10)
        self._signers = signers
        self._nonce = 0

    def transaction(self) -> Transaction:
        """A transaction that is refused when it is executed, and remembered."""
        self._nonce += 1
        key = key_of("org0")
        return make_transaction(self.chain.chain_id, key, self._nonce, valid_until=500)

    def skip_nonces(self, count: int) -> None:
        """Make other transactions from now on."""
        self._nonce += count

    def grow(self, blocks: int, *, txs: int = 2) -> None:
        """Add blocks."""
        for _ in range(blocks):
            self.add(*(self.transaction() for _ in range(txs)))

    def add(self, *transactions: Transaction) -> None:
        """Add one block of these."""
        tip, chain = self.chain.tip, self.chain
        tx_ids = tuple(tx.id for tx in transactions)
        members = tip.validators.validators
        header = Header(
            version=1,
            chain_id=chain.chain_id,
            height=tip.height + 1,
            time_ms=tip.time_ms + 1_000,
            proposer=members[tip.height % len(members)].key,
            parent=tip.block_hash,
            parent_result=tip.result_hash,
            validators_hash=tip.validators.hash(),
            txs_root=merkle.root(tx_ids),
            tx_count=len(tx_ids),
        )
        executed = chain.execute(header, transactions)
        payload = (header.hash(), executed.result.hash())
        message = vote_bytes(VoteTag.COMMIT, chain.chain_id, header.height, 0, payload)
        keys = {key_of(f"vote{i}").public: key_of(f"vote{i}") for i in range(10)}
        votes = {i: keys[members[i].key].sign(message) for i in self._signers if i < len(members)}
        assert len(votes) >= quorum("pbft", len(members))
        certificate = make_certificate(
            engine="pbft",
            height=header.height,
            round_=0,
            block_hash=payload[0],
            result_hash=payload[1],
            votes=votes,
            n=len(members),
        )
        chain.advance(executed, chain.write(executed, certificate))

    def close(self) -> None:
        """Close the database."""
        self.kv.close()
