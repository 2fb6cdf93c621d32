"""What a node knows of the last proposers does not depend on when it started."""

from __future__ import annotations

from dataclasses import replace

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from medquorum.block import Header, ValidatorSet
from node.ledger.params import ROTA_CYCLES_MAX
from node.recent import RecentProposers
from storage.chain import ChainStore
from storage.kv import Batch
from storage.memory import MemoryKV
from tests.support.chain_builder import next_block, stage_genesis, validator_set

FEW = validator_set(1)
MANY = validator_set(1, 2, 3, 4)


def grow(store: ChainStore, kv: MemoryKV, proposer: int, following: ValidatorSet) -> Header:
    """Commit a block that names this proposer."""
    block = next_block(store, 0, next_validators=following)
    known = store.validators(block.header.height).validators
    header = msgspec.structs.replace(block.header, proposer=known[proposer % len(known)].key)
    batch = Batch()
    certificate = msgspec.structs.replace(block.certificate, block_hash=header.hash())
    store.stage(batch, replace(block, header=header, certificate=certificate))
    kv.write(batch, sync=True)
    return header


def new_chain() -> tuple[ChainStore, MemoryKV]:
    """A chain of MANY at height 0."""
    kv = MemoryKV()
    store, batch = ChainStore(kv), Batch()
    stage_genesis(store, batch, MANY)
    kv.write(batch, sync=True)
    return store, kv


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=40))
@settings(max_examples=40, deadline=None)
def test_a_restart_at_any_height_gives_what_was_known_before(steps: list[tuple[int, bool]]) -> None:
    store, kv = new_chain()
    following, expected = MANY, list[bytes]()
    running = RecentProposers(store, 0, MANY)
    for proposer, changes in steps:
        voters = following
        if changes:
            following = FEW if following == MANY else MANY
        header = grow(store, kv, proposer, following)
        running.advance(header, following)
        expected = [*expected, header.proposer] if following == voters else []
        assert running.names() == tuple(expected[-2 * ROTA_CYCLES_MAX * len(voters.validators) :])
        restarted = RecentProposers(store, header.height, following)
        assert restarted.names() == running.names()


def test_a_longer_chain_takes_no_more_memory() -> None:
    store, kv = new_chain()
    limit = 2 * ROTA_CYCLES_MAX * len(MANY.validators)
    running = RecentProposers(store, 0, MANY)
    for number in range(limit + 5):
        header = grow(store, kv, number, MANY)
        running.advance(header, MANY)
    assert len(running.names()) == limit
    assert RecentProposers(store, limit + 5, MANY).names() == running.names()
