"""Committed blocks made up for tests of storage: right in form, signed by nobody."""

from __future__ import annotations

from medquorum import merkle
from medquorum.block import Event, Header, Result, TxOutcome, Validator, ValidatorSet
from medquorum.certificate import CommitCertificate, pack_signers
from medquorum.codec import encode
from medquorum.hashing import EMPTY_HASH
from storage.chain import ChainStore, CommittedBlock
from storage.kv import Batch

CHAIN_ID = b"\x11" * 32


def validator_set(*numbers: int) -> ValidatorSet:
    """Validators with made-up keys, told apart by their numbers."""
    return ValidatorSet(
        tuple(
            Validator(b"\x01" + bytes([n]) * 32, b"\x01" + bytes([n + 100]) * 32, bytes([n]) * 32)
            for n in numbers
        )
    )


def result_of(height: int, next_validators: ValidatorSet, root: bytes = EMPTY_HASH) -> Result:
    """A result that differs by height."""
    return Result(root, height.to_bytes(32, "big"), merkle.EMPTY_ROOT, next_validators.hash())


def next_block(
    store: ChainStore,
    tx_count: int,
    *,
    next_validators: ValidatorSet | None = None,
    state_root: bytes = EMPTY_HASH,
) -> CommittedBlock:
    """The block that follows the store's tip, with `tx_count` made-up transactions."""
    height = store.tip() + 1
    validators = store.validators(height)
    following = validators if next_validators is None else next_validators
    parent, parent_result = store.header(height - 1), store.result(height - 1)
    transactions = tuple(b"tx %d of height %d" % (i, height) for i in range(tx_count))
    tx_ids = tuple(height.to_bytes(16, "big") + i.to_bytes(16, "big") for i in range(tx_count))
    header = Header(
        version=1,
        chain_id=CHAIN_ID,
        height=height,
        time_ms=1_000 * height,
        proposer=validators.validators[0].key,
        parent=CHAIN_ID if parent is None else parent.hash(),
        parent_result=EMPTY_HASH if parent_result is None else parent_result.hash(),
        validators_hash=validators.hash(),
        txs_root=merkle.root(tx_ids),
        tx_count=tx_count,
    )
    result = result_of(height, following, state_root)
    signers = pack_signers([0], len(validators.validators))
    certificate = CommitCertificate(
        "pbft", height, 0, header.hash(), result.hash(), signers, (b"\x01" + bytes(64),)
    )
    return CommittedBlock(
        header=header,
        result=result,
        certificate=certificate,
        transactions=transactions,
        tx_ids=tx_ids,
        outcomes=tuple(TxOutcome(tx_id, i, "ok", 0) for i, tx_id in enumerate(tx_ids)),
        events=tuple(Event(i, 0, "test.happened", ()) for i in range(tx_count)),
        next_validators=following,
    )


def stage_genesis(
    store: ChainStore, batch: Batch, validators: ValidatorSet, *, state_root: bytes = EMPTY_HASH
) -> None:
    """Put a made-up genesis into `batch`."""
    result = result_of(0, validators, state_root)
    store.stage_genesis(batch, encode("genesis"), result, validators)
