"""Validators that do not mind when their own key speaks elsewhere (rule X4 is off for them)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

from consensus.pbft import twin as pbft_twin
from devnet.sim.patching import Patch


@contextmanager
def shameless(keys: Collection[bytes]) -> Iterator[None]:
    """While this is open, validators with these keys never recognise a twin of theirs.

    A copy of a validator that plays a liar must not stop because of the other copy. And a search
    that merges states whose certificates differ in signers only may show a validator a signature
    that it gave in another branch.
    """
    true: Callable[..., None] = pbft_twin._check

    def check(core: Any, *rest: object) -> None:
        if core.me not in keys:
            true(core, *rest)

    with Patch() as patch:
        patch.set(pbft_twin, "_check", check)
        yield
