"""How many votes decide. Each engine has its own arithmetic; a chain's genesis fixes the engine, so
no chain mixes them.

pbft: any two quorums share a correct validator although f of n may lie.   raft: any two majorities
share a validator.
"""

from __future__ import annotations

from typing import Final, Literal, assert_never

EngineName = Literal["pbft", "raft"]
VALIDATORS_MAX: Final = 100


def faulty(n: int) -> int:
    """f: how many of `n` validators may be Byzantine under pbft."""
    return (n - 1) // 3


def may_lie(engine: EngineName, n: int) -> int:
    """How many of `n` validators may say anything at all without harm. Under raft none: it is made
    for validators that may crash.
    """
    return faulty(n) if engine == "pbft" else 0


def quorum(engine: EngineName, n: int) -> int:
    """How many distinct validators of `n` make a certificate.

    pbft: floor((n + f) / 2) + 1, which equals ceil(2n / 3) whenever n > 3f; 2f + 1 would be too few
    unless n = 3f + 1 (arXiv 1901.07160).
    """
    match engine:
        case "pbft":
            return (n + faulty(n)) // 2 + 1
        case "raft":
            return n // 2 + 1
        case _:
            assert_never(engine)
