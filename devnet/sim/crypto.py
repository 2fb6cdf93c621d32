"""Remembers the answers of libsodium: in one process every node would check the same votes again.

Signing and verifying are functions of their bytes, so a remembered answer is the answer. Bad
signatures are not remembered; there are few.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Final

import nacl.bindings

ANSWERS_KEPT: Final = 20_000


@contextmanager
def remembered_signatures() -> Iterator[None]:
    """While this lasts, libsodium is asked once for each signature."""
    sign, check = nacl.bindings.crypto_sign, nacl.bindings.crypto_sign_open
    nacl.bindings.crypto_sign = lru_cache(ANSWERS_KEPT)(sign)
    nacl.bindings.crypto_sign_open = lru_cache(ANSWERS_KEPT)(check)
    try:
        yield
    finally:
        nacl.bindings.crypto_sign, nacl.bindings.crypto_sign_open = sign, check
