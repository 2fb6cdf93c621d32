"""Who made the last blocks: what the turns to propose are a function of (docs/spec/pbft.md, W1)."""

from __future__ import annotations

from collections import deque

from medquorum.block import Header, ValidatorSet
from node.ledger.params import ROTA_CYCLES_MAX
from storage.chain import ChainStore


class RecentProposers:
    """Whom the headers name that the validators of the next height voted on, back to a limit.

    The limit is two of the longest rotas that these validators can have, whatever is in force now:
    so a node that has just started knows as much as one that has been up for a year.
    """

    def __init__(self, blocks: ChainStore, tip: int, validators: ValidatorSet) -> None:
        self._set_hash = validators.hash()
        self._names: deque[bytes] = deque(maxlen=_heights_max(validators))
        for height in range(tip, max(0, tip - _heights_max(validators)), -1):
            header = blocks.header(height)
            if header is None or header.validators_hash != self._set_hash:
                break
            self._names.appendleft(header.proposer)

    def advance(self, header: Header, next_validators: ValidatorSet) -> None:
        """The chain has grown by a block. Of other validators, nobody has made one yet."""
        set_hash = next_validators.hash()
        if header.validators_hash != set_hash:
            self._set_hash = set_hash
            self._names = deque(maxlen=_heights_max(next_validators))
            return
        self._names.append(header.proposer)

    def names(self) -> tuple[bytes, ...]:
        """By height, the last one last."""
        return tuple(self._names)


def _heights_max(validators: ValidatorSet) -> int:
    return 2 * ROTA_CYCLES_MAX * len(validators.validators)
