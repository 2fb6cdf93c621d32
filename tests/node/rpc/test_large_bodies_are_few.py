"""Only requests whose bodies are large are bounded in number as such: by what they say of their
length, or by what their route would take if they do not say.
"""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from node.errors import RefusedError
from node.rpc import txs
from node.rpc.endpoint import LargeBodies
from node.rpc.limits import LARGE_BODY_BYTES
from node.rpc.routes import AnyRoute


def route(name: str) -> AnyRoute:
    return next(one for one in txs.ROUTES if one.name == name)


BATCH, ONE, STATUS = (
    route("submitTransactions"),
    route("submitTransaction"),
    route("getTransaction"),
)


@pytest.mark.parametrize("declared", [None, LARGE_BODY_BYTES + 1, 10**12])
def test_large_bodies_are_bounded(declared: int | None) -> None:
    large = LargeBodies(2)
    with ExitStack() as held:
        for _ in range(2):
            held.enter_context(large.one(BATCH, declared))
        with pytest.raises(RefusedError) as refused, large.one(BATCH, declared):
            pass
        assert refused.value.code == "rate_limited"
        assert refused.value.retry_after_ms > 0
        # Small ones still find room.
        held.enter_context(large.one(BATCH, LARGE_BODY_BYTES))
        held.enter_context(large.one(ONE, None))
        held.enter_context(large.one(STATUS, None))
    with large.one(BATCH, declared):
        pass


def test_small_batches_are_not_bounded_as_large_ones() -> None:
    large = LargeBodies(1)
    with ExitStack() as held:
        for _ in range(50):
            held.enter_context(large.one(BATCH, 1_000))
