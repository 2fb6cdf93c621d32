"""Votes of a validator that the chain shows and its sign state does not know.

A sign state is durable before a signature leaves, so it is never behind what others certified with
that signature. If it is, an older copy of it was put back, or a new one was made for a key that had
voted; and with it the validator could vote again where it voted before (docs/spec/storage.md, G5).
"""

from __future__ import annotations

from pathlib import Path

from medquorum.certificate import unpack_signers
from medquorum.genesis import Genesis
from node.errors import IdentityError
from storage.chain import ChainStore
from storage.signstate import SignState


def signed_above(blocks: ChainStore, genesis: Genesis, key: bytes, above: int) -> int | None:
    """The last height above `above` whose certificate here holds a signature by `key`.

    Looks at the certificates of heights on which the key had a seat, the newest first, until one
    has it: at hardly any if the sign state is right, or if it is wrong and the key votes. Whoever
    stores certificates has verified them. Raises DamagedStoreError, DiskFailedError.
    """
    stop = blocks.tip() + 1
    changes = [(height + 1, voters) for height, voters, _ in blocks.set_changes(stop)]
    for since, voters in reversed([(1, genesis.validator_set()), *changes]):
        keys = [validator.key for validator in voters.validators]
        for height in reversed(range(max(since, above + 1), stop)) if key in keys else ():
            certificate = blocks.certificate(height)
            if certificate is None:
                continue
            if keys.index(key) in unpack_signers(certificate.signers, len(keys)):
                return height
        stop = min(stop, since)
    return None


def require_all_known(path: Path, blocks: ChainStore, genesis: Genesis, key: bytes) -> None:
    """Raise IdentityError if the sign state of `key` at `path` does not know a vote that is here,
    where one that is missing knows none. Raises what opening it raises.
    """
    last = SignState.open(path).last if SignState.exists(path) else None
    height = signed_above(blocks, genesis, key, 0 if last is None else last[0])
    if height is not None:
        raise IdentityError(
            f"{key.hex()} signed height {height} of this chain, and {path} does not know it: with"
            " an old or a new one this validator could vote twice. If its latest one cannot be put"
            " back, move the key away and rejoin with a new one, by governance"
        )
