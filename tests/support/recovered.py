"""Disasters of the chain of signed_chain.py: recoveries as organisations would sign them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from medquorum.keys import possession_bytes
from medquorum.recovery import RecoveredValidator
from medquorum.recovery_file import RecoveryFile
from medquorum.transaction import Transaction
from node.chain import Chain
from node.recovery_proposals import propose_recovery
from tests.support.cluster import key_of
from tests.support.signed_chain import SignedChain

NEW = (4, 5, 6, 7)
"""Validators whose keys are new, one of each founder."""


def new_validators(chain: Chain, numbers: Sequence[int] = NEW) -> list[RecoveredValidator]:
    """Validators 4 and up with fresh vote keys, on machines of the founders 0 and up."""
    found = []
    for place, number in enumerate(numbers):
        org = chain.genesis.organisations[place].org
        vote, node = key_of(f"vote{number}"), key_of(f"node{number}").public
        proof = vote.sign(possession_bytes(chain.chain_id, org, vote.public))
        found.append(RecoveredValidator(vote.public, node, org, proof))
    return found


def signed(file: RecoveryFile, orgs: Sequence[int] = (0, 1, 2)) -> RecoveryFile:
    """The file with the signatures of these organisations, handed in by the first."""
    for org in orgs:
        file = file.sign(key_of(f"org{org}"))
    return file.combined(key_of(f"org{orgs[0]}"))


def recovery_of(
    chain: Chain,
    *,
    numbers: Sequence[int] = NEW,
    orgs: Sequence[int] = (0, 1, 2),
    reason: str = "site.lost",
) -> RecoveryFile:
    """A recovery of the chain as it is."""
    return signed(propose_recovery(chain, new_validators(chain, numbers), reason), orgs)


def handed_in(file: RecoveryFile) -> Transaction:
    """What its first block begins with."""
    assert file.transaction is not None
    return file.transaction


def grown_past_a_disaster(path: Path) -> SignedChain:
    """A chain of validators 0 to 3 up to height 5, then of 4 to 7 up to 8; the last of each set
    never signs.
    """
    chain = SignedChain(path)
    chain.grow(5)
    file = recovery_of(chain.chain)
    chain.chain.expect(handed_in(file))
    chain.add(handed_in(file))
    chain.grow(2)
    return chain
