"""Keys, as an engine sees them: something that signs, and something that checks signatures."""

from __future__ import annotations

from typing import Protocol


class VoteSigner(Protocol):
    """Signs votes with the validator's key.

    Pure: Ed25519 gives the same signature for the same bytes.
    """

    @property
    def public(self) -> bytes:
        """The validator key."""
        ...

    def sign(self, message: bytes) -> bytes:
        """The signature of `message`."""
        ...


class Verify(Protocol):
    """Checks a signature. Pure and total."""

    def __call__(self, public: bytes, message: bytes, signature: bytes, /) -> bool:
        """Whether `signature` is `public`'s of `message`."""
        ...
