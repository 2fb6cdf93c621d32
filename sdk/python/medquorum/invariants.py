"""The check for promises that our own code makes to itself."""

from __future__ import annotations


class InvariantBroken(Exception):  # noqa: N818 - a fact about us, not an error of a caller
    """Our own code broke a promise. Whoever catches it may report and stop, never go on signing."""


def require(condition: bool, message: str) -> None:
    """Raise InvariantBroken unless `condition` holds. Unlike assert, it survives `python -O`."""
    if not condition:
        raise InvariantBroken(message)
