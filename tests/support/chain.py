"""A small certified chain, built by hand from the SDK alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from medquorum import merkle
from medquorum.block import Event, Header, Result, TxOutcome, Validator, ValidatorSet
from medquorum.certificate import VoteTag, make_certificate, vote_bytes
from medquorum.codec import encode
from medquorum.genesis import Genesis, GenesisOrg
from medquorum.hashing import EMPTY_HASH
from medquorum.history import Certified, SetChange
from medquorum.keys import SigningKey, derive_seed
from medquorum.quorum import quorum
from medquorum.receipt import Receipt, make_receipt
from medquorum.recovery import Recovery
from medquorum.transaction import Operation, Transaction, build, sign

GENESIS_TIME_MS = 1_790_000_000_000
ORG = b"\x11" * 32


def key_for(purpose: str) -> SigningKey:
    """A key that is the same in every run."""
    return SigningKey(derive_seed(b"medquorum tests", purpose))


def validator(name: str, org: bytes = ORG) -> Validator:
    """The validator `name`, of the only organisation unless it is said."""
    return Validator(key_for(f"{name} votes").public, key_for(f"{name} node").public, org)


def genesis_of(names: Sequence[str], orgs: Mapping[str, bytes] | None = None) -> Genesis:
    """A pbft chain that these validators founded."""
    org = GenesisOrg(ORG, "hospital", b"\x22" * 32, "xx", key_for("root").public, "https://example")
    founders = tuple(validator(n, (orgs or {}).get(n, ORG)) for n in names)
    return Genesis(1, "test-chain", GENESIS_TIME_MS, "pbft", (), (org,), founders)


@dataclass(frozen=True, slots=True)
class Block:
    """A certified block with all that a node stores of it."""

    certified: Certified
    transactions: tuple[Transaction, ...]
    outcomes: tuple[TxOutcome, ...]
    events: tuple[Event, ...]


@dataclass(slots=True)
class Chain:
    """Grows by `add`. The names are those of the validators that vote on the next height; `orgs`
    are the organisations of those that are not of the only one.
    """

    names: tuple[str, ...] = ("a", "b", "c", "d")
    state_root: bytes = EMPTY_HASH
    blocks: list[Block] = field(default_factory=list)
    changes: list[SetChange] = field(default_factory=list)
    orgs: Mapping[str, bytes] = field(default_factory=dict)
    genesis: Genesis = field(init=False)

    def __post_init__(self) -> None:
        self.genesis = genesis_of(self.names, self.orgs)

    @property
    def chain_id(self) -> bytes:
        """The id of this chain."""
        return self.genesis.chain_id()

    def validators(self, names: Sequence[str]) -> ValidatorSet:
        """The set of these validators."""
        return ValidatorSet(tuple(validator(n, self.orgs.get(n, ORG)) for n in names))

    def recover(self, recovery: Recovery, names: tuple[str, ...]) -> None:
        """Continue the last block under `names`, as organisations have signed."""
        self.changes.append(SetChange(self.blocks[-1].certified, self.validators(names), recovery))
        self.names = names

    def transaction(self, purpose: str = "tx", *, valid_until: int = 1000) -> Transaction:
        """A signed transaction, the same in every run."""
        key = key_for(f"signer of {purpose}")
        operations = [Operation("rec.anchor", 1, encode((purpose, 7)))]
        body = build(
            chain_id=self.chain_id,
            nonce=derive_seed(b"nonce", purpose)[:16],
            valid_until=valid_until,
            operations=operations,
            signers=[key.public],
        )
        return sign(body, [key])

    def add(
        self,
        transactions: Sequence[Transaction] = (),
        *,
        events: Sequence[Event] = (),
        codes: Sequence[str] = (),
        next_names: tuple[str, ...] | None = None,
    ) -> Block:
        """Certify the next block; the set changes to `next_names` after it."""
        voters = self.validators(self.names)
        after_names = next_names or self.names
        after = self.validators(after_names)
        codes = codes or ["ok"] * len(transactions)
        outcomes = tuple(
            TxOutcome(tx.id, i, code, 0)
            for i, (tx, code) in enumerate(zip(transactions, codes, strict=True))
        )
        height = len(self.blocks) + 1
        parent = self.blocks[-1].certified if self.blocks else None
        header = Header(
            1,
            self.chain_id,
            height,
            GENESIS_TIME_MS + 1000 * height,
            voters.validators[0].key,
            parent.header.hash() if parent else self.chain_id,
            parent.result.hash() if parent else EMPTY_HASH,
            voters.hash(),
            merkle.root([tx.id for tx in transactions]),
            len(transactions),
        )
        result = Result(
            self.state_root,
            merkle.root([encode(outcome) for outcome in outcomes]),
            merkle.counted_root([encode(event) for event in events]),
            after.hash(),
        )
        certified = self._certify(header, result)
        block = Block(certified, tuple(transactions), outcomes, tuple(events))
        self.blocks.append(block)
        if after != voters:
            self.changes.append(SetChange(certified, after))
            self.names = after_names
        return block

    def _certify(self, header: Header, result: Result) -> Certified:
        payload = (header.hash(), result.hash())
        message = vote_bytes(VoteTag.COMMIT, self.chain_id, header.height, 0, payload)
        needed = quorum("pbft", len(self.names))
        votes = {i: key_for(f"{self.names[i]} votes").sign(message) for i in range(needed)}
        certificate = make_certificate(
            engine="pbft",
            height=header.height,
            round_=0,
            block_hash=payload[0],
            result_hash=payload[1],
            votes=votes,
            n=len(self.names),
        )
        return Certified(header, result, certificate)

    def receipt(self, height: int, index: int) -> Receipt:
        """The receipt of one transaction."""
        block = self.blocks[height - 1]
        return make_receipt(
            transaction=block.transactions[index],
            outcomes=block.outcomes,
            tx_ids=[tx.id for tx in block.transactions],
            index=index,
            block=block.certified,
            history=[c for c in self.changes if c.at.header.height < height],
            events=block.events,
        )
