"""Checks transaction signatures, once per node: in bulk, on threads; the few of a transaction that
comes alone, at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from medquorum.transaction import Transaction
from node.limits import INLINE_SIGNATURES_MAX, INTAKE_CHUNK_TXS
from node.threads import Worker


async def signatures_hold(worker: Worker, transactions: Sequence[Transaction]) -> list[bool]:
    """Whether all signatures of each transaction are right, in order.

    Chunks run in parallel where there are cores.
    """
    if sum(len(transaction.signatures) for transaction in transactions) <= INLINE_SIGNATURES_MAX:
        return _check(transactions)
    if len(transactions) <= INTAKE_CHUNK_TXS:
        return await worker.run(_check, transactions)
    chunks = [
        transactions[start : start + INTAKE_CHUNK_TXS]
        for start in range(0, len(transactions), INTAKE_CHUNK_TXS)
    ]
    answers = await asyncio.gather(*(worker.run(_check, chunk) for chunk in chunks))
    return [answer for chunk in answers for answer in chunk]


def _check(transactions: Sequence[Transaction]) -> list[bool]:
    return [transaction.signatures_hold() for transaction in transactions]
