"""A hospital that is down is not waited for at each of its turns, and has them back by itself."""

from __future__ import annotations

import time
from typing import Final

import msgspec
import pytest

from devnet import api
from devnet.limits import POLL_S
from devnet.netfile import NodeInfo
from devnet.network import Network
from tests.support.network import WAIT_S, block_at, cheap_transaction, client_of, height_of

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(180),
    pytest.mark.engines("pbft", why="Raft has no turns"),
]

ROTA: Final = 8
"""Two turns of each of four validators."""


class Turns(msgspec.Struct, frozen=True):
    """Whose turn it is, as a node sees it."""

    height: int
    round: int
    proposer: str
    passed_over: list[str]


def turns_at(node: NodeInfo, height: int) -> Turns:
    """The turns of the height after this one, in its first round."""
    block_at(node, height)
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        # A block is there a moment before the engine has heard that it is.
        seen = api.get_as(Turns, node.rpc, "/v1/consensus")
        if seen is not None and seen.height > height:
            assert (seen.height, seen.round) == (height + 1, 0), "an idle chain goes nowhere"
            return seen
        time.sleep(POLL_S)
    raise AssertionError(f"{node.name} does not begin height {height + 1}")


def grow(network: Network, by: int = 0) -> int:
    """One more block, or more, one at a time; the height of the last."""
    height = height_of(network.nodes[0])
    for _ in range(max(1, by)):
        tx = cheap_transaction(network, height=height)
        with client_of(network, 0) as client:
            status = client.submit(tx, wait="committed", timeout_s=WAIT_S)
        assert status.state == "committed"
        height = height_of(network.nodes[0])
    return height


def test_a_validator_that_is_down_is_passed_over_until_the_rota_ends(network: Network) -> None:
    down = network.nodes[2]
    others = [node for node in network.nodes if node is not down]
    network.kill(down)
    height = grow(network)
    while turns_at(network.nodes[0], height).passed_over == []:
        height = grow(network)
        assert height <= 3 * ROTA, "it never had a turn"
    # Everybody knows it from the headers, and from nothing else: one that starts now does as well.
    network.kill(others[1])
    network.start([others[1]])
    network.wait_ready([others[1]])
    seen = [turns_at(node, height) for node in others]
    assert all(turns == seen[0] for turns in seen)
    assert seen[0].passed_over == [down.validator_key]
    network.start([down])
    network.wait_ready([down])
    assert turns_at(down, height) == seen[0], "it accepts that, too"
    while (height + 1) % ROTA != 0:
        assert turns_at(down, height).passed_over == [down.validator_key]
        height = grow(network)
    # A new rota: it has gone longest without a block, so it comes first, and proposes.
    seen = [turns_at(node, height) for node in network.nodes]
    assert all(turns == seen[0] for turns in seen)
    assert (seen[0].proposer, seen[0].passed_over) == (down.validator_key, [])
    assert grow(network) == height + 1
    assert turns_at(network.nodes[0], height + 1).passed_over == []
