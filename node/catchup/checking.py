"""What can be said of certified blocks before their turn comes: on threads, for many at once.

All of it is a function of the blocks and of the validators that the chain so far names
(docs/spec/network.md, N5 and N11).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from medquorum import merkle
from medquorum.block import ValidatorSet
from medquorum.certificate import verify_certificate
from medquorum.errors import DecodeError, VerificationError
from medquorum.quorum import EngineName
from medquorum.transaction import Transaction
from node.threads import Worker
from node.verifier import signatures_hold
from node.wire import CertifiedBlock


class BadBlockError(Exception):
    """A peer's block does not check out; `reason` says how."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class CheckedBlock:
    """A block whose transactions are those of its header, and rightly signed.

    Its certificate holds under the validators with the hash `under`, which is empty if it has not
    been checked. That they are the validators of its height is for the caller to see.
    """

    block: CertifiedBlock
    transactions: tuple[Transaction, ...]
    tx_ids: tuple[bytes, ...]
    under: bytes


class Checker:
    """Checks blocks of one chain on the threads of `worker`."""

    def __init__(self, engine: EngineName, worker: Worker) -> None:
        self._engine = engine
        self._worker = worker

    async def check(
        self, blocks: Sequence[CertifiedBlock], first: int, validators: ValidatorSet
    ) -> list[CheckedBlock]:
        """All that can be checked of blocks that one peer gave as those from `first` on.

        `validators` are those of the next height. Blocks that name other ones follow a change that
        is still to be executed; their certificates are left for later. Raises BadBlockError.
        """
        checked = await self._worker.run(self._examine, blocks, first, validators)
        transactions = [tx for block in checked for tx in block.transactions]
        if not all(await signatures_hold(self._worker, transactions)):
            raise BadBlockError("transaction_signature")
        return checked

    async def certify(self, block: CertifiedBlock, validators: ValidatorSet) -> None:
        """Check the certificate alone. Raises BadBlockError."""
        await self._worker.run(self._verify, block, validators)

    def _examine(
        self, blocks: Sequence[CertifiedBlock], first: int, validators: ValidatorSet
    ) -> list[CheckedBlock]:
        _check_links(blocks, first)
        set_hash = validators.hash()
        known = [block for block in blocks if block.header.validators_hash == set_hash]
        # The last one first: its quorum vouches for the chain of hashes that leads to it, so a peer
        # that made blocks up is found out before anything else of them is looked at.
        for block in reversed(known):
            self._verify(block, validators)
        return [_opened(block, set_hash) for block in blocks]

    def _verify(self, block: CertifiedBlock, validators: ValidatorSet) -> None:
        try:
            verify_certificate(
                engine=self._engine,
                header=block.header,
                result=block.result,
                certificate=block.certificate,
                validators=validators,
            )
        except VerificationError as error:
            raise BadBlockError(error.reason) from None


def _check_links(blocks: Sequence[CertifiedBlock], first: int) -> None:
    """Consecutive heights, each of which names the block before and its result."""
    for height, block in enumerate(blocks, first):
        if block.header.height != height:
            raise BadBlockError("height")
    for before, after in pairwise(blocks):
        if after.header.parent != before.header.hash():
            raise BadBlockError("parent")
        if after.header.parent_result != before.result.hash():
            raise BadBlockError("parent_result")


def _opened(block: CertifiedBlock, set_hash: bytes) -> CheckedBlock:
    try:
        transactions = tuple(Transaction.decode(raw) for raw in block.transactions)
    except DecodeError as error:
        raise BadBlockError(error.code) from None
    tx_ids = tuple(tx.id for tx in transactions)
    if merkle.root(tx_ids) != block.header.txs_root:
        raise BadBlockError("txs_root")
    under = set_hash if block.header.validators_hash == set_hash else b""
    return CheckedBlock(block, transactions, tx_ids, under)
