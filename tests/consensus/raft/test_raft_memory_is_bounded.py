"""What a Raft engine keeps of one height has its limits, and what it reports is signed."""

from __future__ import annotations

import pytest

from consensus.engine import (
    Evidence,
)
from consensus.held import Block
from consensus.limits import (
    BLOCKS_MAX,
    FUTURE_BYTES_MAX,
    FUTURE_PEERS_MAX,
    RESULTS_MAX,
    SAID_ROUNDS_MAX,
)
from consensus.messages import (
    Status,
    encode_message,
)
from consensus.raft import blocks
from consensus.raft.future import EarlyMessages
from consensus.raft.messages import (
    Append,
    Decision,
    Grant,
    append_bytes,
    ballot_bytes,
)
from consensus.statements import evidence_of
from medquorum.invariants import InvariantBroken
from tests.support.engine_world import CHAIN_ID, make_result, sign
from tests.support.lone_raft import (
    BLOCK,
    BODY,
    KEYS,
    LEADER,
    VALIDATORS,
    certificate,
    engine_of,
    header_for,
)


def ballot(by: bytes, term: int, candidate: bytes) -> Grant:
    return Grant(1, term, by, candidate, sign(by, ballot_bytes(CHAIN_ID, 1, term, candidate)))


def test_memory_of_one_height_is_bounded() -> None:
    engine = engine_of(0)
    core = engine._core
    for number in range(3 * BLOCKS_MAX):
        key = b"%032d" % number
        blocks.keep(core, Block(key, BLOCK, BODY, LEADER))
    assert len(core.state.blocks.seen) <= BLOCKS_MAX + 1
    for number in range(2 * RESULTS_MAX):
        key = b"%032d" % number
        core.state.blocks.executing = key
        blocks.on_executed(core, key, make_result(key, VALIDATORS))
    assert len(core.state.blocks.results) <= RESULTS_MAX
    for term in range(4 * SAID_ROUNDS_MAX + 5):
        core.remember(ballot(KEYS[0], term, LEADER))
    assert len(core.state.said) == 4 * SAID_ROUNDS_MAX


def test_the_waiting_room_has_so_many_places_and_so_many_bytes() -> None:
    """Rule H2."""
    room = EarlyMessages()
    for number in range(2 * FUTURE_PEERS_MAX):
        assert room.add(b"%d" % number, Decision(2, certificate(1, 2)))
    assert not room.add(b"one more", Decision(2, certificate(1, 2)))
    room = EarlyMessages()
    header = header_for(2)
    signature = sign(LEADER, append_bytes(CHAIN_ID, 2, 0, header.hash()))
    large = Append(2, 0, LEADER, header, bytes(FUTURE_BYTES_MAX // 2), signature)
    assert room.add(b"1", large)
    assert room.add(b"2", large)
    assert not room.add(b"3", large)


def test_only_what_somebody_signed_is_evidence() -> None:
    status = encode_message(Status(1, 0))
    with pytest.raises(InvariantBroken):
        evidence_of(Evidence(LEADER, "equivocation", status, status))
