"""May validators vote for this block? A function of block, parent and committed state.

What a block contains may still fail when it is executed, and then leaves receipts. Here is what no
honest proposer does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from medquorum import merkle
from medquorum.block import Header, ValidatorSet
from medquorum.transaction import Transaction
from node.ledger.admission import Window
from node.ledger.context import View
from node.ledger.errors import AdmissionError, TxError
from node.ledger.limits import BLOCK_BYTES_MAX, BLOCK_OPERATIONS_MAX, BLOCK_TXS_MAX
from node.ledger.recoveries import RecoveryDue, recovery_refusal
from node.ledger.registry import Registry


@dataclass(frozen=True, slots=True)
class Parent:
    """What the block must follow.

    `validators` is the set that votes on the block. Of height 0: the chain id as block hash.
    `recovery` is what named that set, if the result of the parent did not.
    """

    height: int
    block_hash: bytes
    result_hash: bytes
    time_ms: int
    validators: ValidatorSet
    recovery: RecoveryDue | None = None


def check_block(
    header: Header,
    parent: Parent,
    tx_ids: Sequence[bytes],
    transactions: Sequence[Transaction],
    *,
    chain_id: bytes,
    view: View,
    registry: Registry,
    seen: Callable[[bytes], bool],
    formed: Callable[[bytes], bool] = lambda _tx_id: False,
    time_ms_max: int | None = None,
) -> str | None:
    """Why the block must not be voted for, as a stable snake_case reason; or None.

    `view` is the state after the parent, `seen` tells whether an id was committed within the
    window, and `formed` whether the transaction of an id has passed `check_form` on this node
    already, with the same registry. `time_ms_max` bounds the time of a fresh proposal; leave it out
    for blocks that others have certified. Signatures are checked elsewhere.
    """
    return (
        _check_header(header, parent, chain_id, time_ms_max)
        or _check_list(header, tx_ids, transactions)
        or _check_transactions(
            header,
            transactions,
            chain_id,
            view=view,
            registry=registry,
            seen=seen,
            formed=formed,
        )
        or _check_recovery(parent.recovery, transactions, view)
    )


def _check_header(
    header: Header, parent: Parent, chain_id: bytes, time_ms_max: int | None
) -> str | None:
    if header.chain_id != chain_id:
        return "chain"
    if header.height != parent.height + 1:
        return "height"
    if header.parent != parent.block_hash:
        return "parent"
    if header.parent_result != parent.result_hash:
        return "parent_result"
    if header.validators_hash != parent.validators.hash():
        return "validators_hash"
    if all(validator.key != header.proposer for validator in parent.validators.validators):
        return "proposer"
    if header.time_ms <= parent.time_ms:
        return "time_not_after_parent"
    if time_ms_max is not None and header.time_ms > time_ms_max:
        return "time_ahead"
    return None


def _check_recovery(
    due: RecoveryDue | None, transactions: Sequence[Transaction], view: View
) -> str | None:
    return None if due is None else recovery_refusal(due, transactions, view)


def _check_list(
    header: Header, tx_ids: Sequence[bytes], transactions: Sequence[Transaction]
) -> str | None:
    if len(tx_ids) > BLOCK_TXS_MAX:
        return "too_many_transactions"
    if header.tx_count != len(tx_ids):
        return "tx_count"
    if header.txs_root != merkle.root(tx_ids):
        return "txs_root"
    if len(set(tx_ids)) != len(tx_ids):
        return "duplicate_in_block"
    if [tx.id for tx in transactions] != list(tx_ids):
        return "transactions_do_not_match"
    if sum(len(tx.raw) for tx in transactions) > BLOCK_BYTES_MAX:
        return "too_many_bytes"
    if sum(len(tx.body.operations) for tx in transactions) > BLOCK_OPERATIONS_MAX:
        return "too_many_operations"
    return None


def _check_transactions(
    header: Header,
    transactions: Sequence[Transaction],
    chain_id: bytes,
    *,
    view: View,
    registry: Registry,
    seen: Callable[[bytes], bool],
    formed: Callable[[bytes], bool],
) -> str | None:
    window = Window.of(view, header.height)
    for tx in transactions:
        if tx.body.chain_id != chain_id:
            return "transaction_chain"
        try:
            window.check(tx)
        except AdmissionError as error:
            return f"transaction_{error.code}"
        if seen(tx.id):
            return "transaction_replayed"
        # An id is the hash of all bodies: what was once decodable under it always is.
        if not formed(tx.id) and not _decodable(tx, registry):
            return "transaction_body"
    return None


def _decodable(tx: Transaction, registry: Registry) -> bool:
    """Whether the bodies have the shape that every node knows.

    Only first versions of built-in types count: what was installed later may be absent on some
    nodes, and validators must agree on what a valid block is. There the executor decides, by what
    is active.
    """
    for operation in tx.body.operations:
        entry = registry.entry(operation.type, operation.version)
        if entry is None or not entry.from_genesis:
            continue
        try:
            registry.decode_body(operation)
        except TxError:
            return False
    return True
