"""Validators that do not mind when a key says elsewhere what it did not say here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

from consensus.pbft import evidence as pbft_evidence
from consensus.pbft import twin as pbft_twin
from devnet.sim.patching import Patch


@contextmanager
def shameless(keys: Collection[bytes]) -> Iterator[None]:
    """While this is open, validators with these keys never recognise a twin of theirs.

    A copy of a validator that plays a liar must not stop because of the other copy.
    """
    true: Callable[..., None] = pbft_twin._check

    def check(core: Any, *rest: object) -> None:
        if core.me not in keys:
            true(core, *rest)

    with Patch() as patch:
        patch.set(pbft_twin, "_check", check)
        yield


@contextmanager
def signers_blurred(keys: Collection[bytes]) -> Iterator[None]:
    """While this is open, nobody asks who it was that signed a proof which holds.

    A search merges states whose certificates differ in signers only. So it may show a validator a
    signature inside a proof that was given in another branch: neither its signer (rule X4) nor
    anybody else (section 7) may wonder about that. Votes that come alone are judged as ever.
    """
    with shameless(keys), Patch() as patch:
        for name in ("check_justification", "check_prepared", "check_decision"):
            patch.set(pbft_evidence, name, lambda *_: None)
        yield
