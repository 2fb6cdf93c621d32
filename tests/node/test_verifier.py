"""Signatures are checked alike on the event loop and on the threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from medquorum.keys import SigningKey
from medquorum.transaction import Transaction, assemble
from node.limits import INLINE_SIGNATURES_MAX
from node.threads import Worker
from node.verifier import signatures_hold
from tests.support.cluster import make_transaction

P = ParamSpec("P")
R = TypeVar("R")

KEY = SigningKey(bytes(32))
GOOD = [make_transaction(bytes(32), KEY, number, valid_until=9) for number in range(8)]


def forged(tx: Transaction) -> Transaction:
    """With a signature of the right form that its signer never made."""
    return assemble(tx.body_bytes, [bytes([sig[0] ^ 1]) + sig[1:] for sig in tx.signatures])


class CountedWorker(Worker):
    """Counts how often somebody goes to its threads."""

    hops = 0

    @override
    async def run(self, call: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """As the worker's."""
        self.hops += 1
        return await super().run(call, *args, **kwargs)


@given(st.lists(st.booleans(), max_size=len(GOOD)))
async def test_each_is_answered_by_its_own_signatures(right: list[bool]) -> None:
    transactions = [tx if good else forged(tx) for tx, good in zip(GOOD, right, strict=False)]
    worker = CountedWorker("verifier")
    try:
        assert await signatures_hold(worker, transactions) == right
    finally:
        worker.close()
    assert worker.hops == (0 if len(right) <= INLINE_SIGNATURES_MAX else 1)
