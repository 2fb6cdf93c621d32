"""A proposal is judged by its header before anything is fetched for it (rule P4)."""

from __future__ import annotations

import msgspec
import pytest

from consensus.engine import Build, Effects, Received
from consensus.messages import NO_JUSTIFICATION, Proposal, proposal_bytes
from consensus.pbft.engine import PbftEngine
from medquorum.block import Header
from tests.support.engine_world import (
    CHAIN_ID,
    TestSigner,
    genesis_started,
    make_header,
    sign,
    validator_set,
    verify,
)
from tests.support.engines import TIMING

VALIDATORS = validator_set(4)
KEYS = tuple(validator.key for validator in VALIDATORS.validators)
STARTED = genesis_started(VALIDATORS)
PROPOSER = KEYS[1]
BODY = b"a body"
GOOD = make_header(
    Build(1, 0, PROPOSER, STARTED.parent_hash, STARTED.parent_result_hash, VALIDATORS.hash(), 1),
    BODY,
    STARTED.parent_time_ms + 1,
)


def proposed(header: Header) -> Effects:
    """What an engine does about a proposal with this header."""
    engine = PbftEngine.recover(
        chain_id=CHAIN_ID,
        signer=TestSigner(KEYS[0]),
        verify=verify,
        timing=TIMING,
        started=STARTED,
        records=(),
    )
    engine.start()
    signature = sign(PROPOSER, proposal_bytes(CHAIN_ID, 1, 0, header.hash()))
    proposal = Proposal(1, 0, PROPOSER, header, BODY, NO_JUSTIFICATION, signature)
    return engine.step(Received(PROPOSER, proposal))


def test_a_header_of_this_height_is_looked_at() -> None:
    effects = proposed(GOOD)
    assert effects.faults == ()
    assert len(effects.requests) == 1


@pytest.mark.parametrize(
    ("field", "value", "fault"),
    [
        ("chain_id", bytes(32), "header_chain"),
        ("height", 2, "header_height"),
        ("parent", bytes(32), "header_parent"),
        ("parent_result", b"\x01" * 32, "header_parent_result"),
        ("validators_hash", bytes(32), "header_validators"),
        ("time_ms", STARTED.parent_time_ms, "header_time"),
        ("proposer", KEYS[2], "header_proposer"),
    ],
)
def test_a_header_of_elsewhere_is_blamed_on_who_brings_it(
    field: str, value: object, fault: str
) -> None:
    """Rule P4."""
    effects = proposed(msgspec.structs.replace(GOOD, **{field: value}))
    assert [blamed.reason for blamed in effects.faults] == [fault]
    assert (effects.requests, effects.send) == ((), ())
