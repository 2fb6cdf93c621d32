"""Batches of gossip, and what a bad payload costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from medquorum.codec import decode, encode
from node.limits import GOSSIP_BATCH_BYTES, GOSSIP_BATCH_TXS
from node.network import Network, batches
from node.wire import FrameKind, Tip
from p2p.model import Frame, Lane

PEER = b"\x01" + bytes(32)


class Counted:
    """Counts reasons."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def dropped(self, reason: str) -> None:
        """One more."""
        self.reasons.append(reason)


class Links:
    """A transport that remembers whom it cut off."""

    def __init__(self) -> None:
        self.cut: list[tuple[bytes, str]] = []

    def send(self, peer: bytes, lane: Lane, kind: int, payload: bytes) -> bool:
        """Takes everything."""
        del peer, lane, kind, payload
        return True

    def connected(self) -> tuple[bytes, ...]:
        """One peer."""
        return (PEER,)

    def disconnect(self, peer: bytes, reason: str) -> None:
        """Cut off."""
        self.cut.append((peer, reason))


def make_network() -> tuple[Network, Links, Counted]:
    """A network without a roster, which gossip does not need."""
    links, counted = Links(), Counted()
    nobody: Any = None  # blocks and heights are heard from strangers too
    network = Network(bytes(33), nobody, counted)
    network.attach(links)
    return network, links, counted


@given(st.lists(st.binary(max_size=200_000), max_size=30))
def test_batches_keep_every_transaction_in_order_and_within_the_limits(raws: list[bytes]) -> None:
    found = batches(raws)
    assert [raw for batch in found for raw in batch] == raws
    for batch in found:
        assert 1 <= len(batch) <= GOSSIP_BATCH_TXS
        assert len(batch) == 1 or sum(map(len, batch)) <= GOSSIP_BATCH_BYTES


async def test_a_payload_that_does_not_decode_costs_the_peer_its_connection() -> None:
    network, links, counted = make_network()
    seen: list[int] = []

    async def on_tip(_peer: bytes, payload: bytes) -> None:
        seen.append(decode(Tip, payload, size_max=64).height)

    network.handle(FrameKind.TIP, on_tip)
    payloads: Sequence[bytes] = (encode(Tip(1, 7)), b"\x93", b"\x92\x01\xcd\x00\x07")
    for payload in payloads:
        await network.on_frame(Frame(PEER, Lane.BULK, FrameKind.TIP, payload))
    assert seen == [7]
    assert links.cut == [(PEER, "bad_payload_malformed"), (PEER, "bad_payload_non_canonical")]
    assert counted.reasons == ["bad_payload_malformed", "bad_payload_non_canonical"]


async def test_a_kind_without_a_handler_is_counted_and_harmless() -> None:
    network, links, counted = make_network()
    await network.on_frame(Frame(PEER, Lane.BULK, FrameKind.BLOCKS, b""))
    assert counted.reasons == ["unhandled_kind"]
    assert links.cut == []
