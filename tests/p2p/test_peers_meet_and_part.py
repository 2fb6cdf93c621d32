"""Dialling, colliding, coming back, being banned and being voted out."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import replace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p.dialer import Backoff
from p2p.errors import AddressError
from p2p.frames import encode_frame
from p2p.handshake import Introduction
from p2p.hello import Hello, encode_goodbye
from p2p.limits import Limits
from p2p.peers import newcomer_wins
from p2p.reasons import Reason
from p2p.streams import Stream
from p2p.transport import Frame, Lane, PeerAddress
from tests.support.p2p import (
    BLOCK,
    CHAIN,
    LIMITS,
    VOTE,
    goodbye,
    introduced,
    keys_in_order,
    running,
)


async def test_a_peer_that_restarts_is_found_again() -> None:
    one, two = keys_in_order(2)
    async with running(two) as b:
        async with running(one, peers=[b.address]) as a:
            await a.until_connected(b.key)
            port = a.transport.port
        await b.watch.until(lambda: b.watch.changes == [(a.key, True), (a.key, False)])
        b.transport.set_peers([PeerAddress(one.public, "127.0.0.1", port)])
        await b.until_dropped(Reason.DIAL_FAILED)
        async with running(one, port=port) as a:
            await a.until_connected(b.key)
            await b.until_connected(a.key)
            assert a.transport.send(b.key, Lane.CONSENSUS, VOTE, b"back")
            assert (await b.until_received(1))[0].payload == b"back"


async def test_a_peer_says_goodbye_when_it_shuts_down() -> None:
    one, two = keys_in_order(2)
    async with running(two) as b:
        async with running(one, peers=[b.address]) as a:
            await a.until_connected(b.key)
            await b.until_connected(a.key)
        await b.until_dropped(Reason.SHUTTING_DOWN, count=2)
        assert b.transport.peers_info()[0].last_reason == "peer said shutting_down"


async def test_nodes_that_all_dial_each_other_end_with_one_connection_a_lane() -> None:
    keys = keys_in_order(5)
    async with AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(running(key)) for key in keys]
        addresses = [node.address for node in nodes]
        for node in nodes:
            node.transport.set_peers(addresses)
        for node in nodes:
            await node.until_connected(*(other.key for other in nodes if other is not node))
        for node in nodes:
            for other in nodes:
                if other is not node:
                    assert node.transport.send(other.key, Lane.CONSENSUS, VOTE, node.key)
        for node in nodes:
            frames = await node.until_received(4)
            assert sorted(frame.peer for frame in frames) == sorted(
                other.key for other in nodes if other is not node
            )
            assert all(frame.peer == frame.payload for frame in frames)
            # Nobody was ever reported lost while the duplicates were sorted out.
            assert sorted(node.watch.changes) == sorted(
                (other.key, True) for other in nodes if other is not node
            )
        for node in nodes:
            for info in node.transport.peers_info():
                for lane in info.lanes:
                    # Both ends agree on who dialled the connection that stays.
                    other = next(n for n in nodes if n.key == info.node_key)
                    mirror = next(i for i in other.transport.peers_info() if i.node_key == node.key)
                    assert lane.up
                    assert lane.dialled_by_us != mirror.lanes[lane.lane].dialled_by_us


def introduction(dialler: bytes, instance: bytes) -> Introduction:
    stream = cast(Stream, None)  # the rule looks at who dialled, never at the connection
    return Introduction(b"", Lane.BULK, Hello(1, 1, CHAIN, 1, instance, "x"), dialler, stream)


@given(st.permutations([b"small", b"large"]))
def test_both_ends_keep_the_same_connection_in_whatever_order_they_see_them(
    order: list[bytes],
) -> None:
    standing = introduction(order[0], bytes(16))
    newcomer = introduction(order[1], bytes(16))
    stays = newcomer if newcomer_wins(standing, newcomer) else standing
    assert stays.dialler == min(order)


@pytest.mark.parametrize("dialler", [b"small", b"large"])
def test_a_restarted_peer_replaces_what_its_predecessor_left(dialler: bytes) -> None:
    newcomer = introduction(dialler, b"\1" * 16)
    assert newcomer_wins(introduction(b"small", bytes(16)), newcomer)
    assert newcomer_wins(introduction(b"large", bytes(16)), newcomer)


async def test_a_superseded_connection_loses_no_frame_that_was_under_way() -> None:
    one, two = keys_in_order(2)
    async with (
        running(one) as a,
        introduced(a, two, Lane.BULK) as (reader, writer),
        introduced(a, two, Lane.BULK, instance=b"\1" * 16) as (_, second),
    ):
        writer.write(encode_frame(BLOCK, b"under way"))
        second.write(encode_frame(BLOCK, b"next"))
        frames = await a.until_received(2)
        assert {frame.payload for frame in frames} == {b"next", b"under way"}
        writer.write(encode_goodbye(Reason.SUPERSEDED))
        assert await goodbye(reader, writer) == Reason.SUPERSEDED
        await a.until_dropped(Reason.SUPERSEDED)
        assert a.watch.drops == {Reason.SUPERSEDED: 1}
        assert a.transport.send(two.public, Lane.BULK, BLOCK, b"")


async def test_a_peer_that_announces_a_successor_but_never_brings_one_is_let_go() -> None:
    one, two = keys_in_order(2)
    async with running(one, limits=replace(LIMITS, linger_s_max=0.05)) as a:
        async with introduced(a, two, Lane.BULK) as (reader, writer):
            writer.write(encode_goodbye(Reason.SUPERSEDED))
            assert await goodbye(reader, writer) == Reason.SUPERSEDED
        await a.until_dropped(Reason.SUPERSEDED)
        assert not a.transport.send(two.public, Lane.BULK, BLOCK, b"")


async def test_what_lingers_is_bounded_and_ends_with_a_disconnection() -> None:
    one, two = keys_in_order(2)
    async with AsyncExitStack() as stack:
        a = await stack.enter_async_context(running(one, limits=replace(LIMITS, lingering_max=2)))
        links = [
            await stack.enter_async_context(introduced(a, two, Lane.BULK, instance=bytes([n]) * 16))
            for n in range(4)
        ]
        await a.until_dropped(Reason.SUPERSEDED)
        assert await goodbye(*links[0]) == Reason.SUPERSEDED
        a.transport.disconnect(two.public, "forged_vote")
        await a.until_dropped(Reason.MISBEHAVED, count=3)
        for _, writer in links[1:]:
            writer.write(encode_frame(BLOCK, b"too late"))
        for reader, _ in links[1:]:
            await reader.read()
        assert a.watch.frames == []


async def test_a_disconnected_peer_is_kept_out_for_a_while_and_longer_each_time() -> None:
    one, two = keys_in_order(2)
    now = 1_000.0
    async with running(one, clock=lambda: now) as a, running(two, peers=[a.address]) as b:
        for count, seconds in enumerate([30.0, 60.0, 120.0], start=1):
            await a.until_connected(b.key)
            a.transport.disconnect(b.key, "forged_vote")
            assert not a.transport.send(b.key, Lane.CONSENSUS, VOTE, b"")
            [info] = a.transport.peers_info()
            assert (info.ban_reason, info.banned_s, info.bans) == ("forged_vote", seconds, count)
            assert a.watch.drops["forged_vote"] == count
            refusals = b.watch.drops[Reason.BANNED]
            await b.until_dropped(Reason.BANNED, count=refusals + 1)
            now += seconds - 0.01
            refusals = b.watch.drops[Reason.BANNED]
            await b.until_dropped(Reason.BANNED, count=refusals + 1)
            now += 0.02
        await a.until_connected(b.key)
        assert a.transport.peers_info()[0].ban_reason == ""


async def test_nothing_of_a_disconnected_peer_is_handled_any_more() -> None:
    one, two = keys_in_order(2)
    seen: list[bytes] = []

    async def on_frame(frame: Frame) -> None:
        seen.append(frame.payload)
        a.transport.disconnect(frame.peer, "forged_block")

    async with (
        running(one, on_frame=on_frame) as a,
        introduced(a, two, Lane.BULK) as (reader, writer),
    ):
        writer.write(encode_frame(BLOCK, b"forged") * 100)
        assert await goodbye(reader, writer) == Reason.MISBEHAVED
    assert seen == [b"forged"]


async def test_a_member_that_is_voted_out_is_dropped_and_one_voted_in_is_dialled() -> None:
    one, two, three = keys_in_order(3)
    members = {one.public, two.public}
    async with running(two) as b, running(three) as c:
        peers = [b.address, c.address]
        limits = replace(LIMITS, backoff_s_min=3_600, backoff_s_max=3_600)
        async with running(
            one, peers=peers, limits=limits, is_member=lambda key: key in members
        ) as a:
            await a.until_connected(b.key)
            members.remove(b.key)
            members.add(c.key)
            a.transport.recheck_membership()
            assert a.transport.connected() == ()
            # Not even the long wait after the first refusal stands in a new member's way.
            await a.until_connected(c.key)
            await a.until_dropped(Reason.NOT_MEMBER, count=2)
            await b.until_dropped(Reason.NOT_MEMBER, count=2)
            assert a.watch.changes[:2] == [(b.key, True), (b.key, False)]


async def test_addresses_can_be_replaced_while_connections_stand() -> None:
    one, two, three = keys_in_order(3)
    async with running(two) as b, running(three) as c, running(one, peers=[b.address]) as a:
        await a.until_connected(b.key)
        a.transport.set_peers([a.address, c.address])
        await a.until_connected(b.key, c.key)
        infos = {info.node_key: info for info in a.transport.peers_info()}
        assert infos[b.key].address is None
        assert infos[c.key].address == ("127.0.0.1", c.transport.port)
        with pytest.raises(AddressError):
            a.transport.set_peers([c.address, PeerAddress(c.key, "127.0.0.1", 1)])


@given(st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=60))
def test_waits_grow_within_their_bounds_and_start_anew_after_a_reset(draws: list[float]) -> None:
    limits = replace(Limits(), backoff_s_min=0.5, backoff_s_max=20.0)
    drawn = iter(draws * 2)
    backoff = Backoff(limits, lambda: next(drawn))
    for _ in range(2):
        for failures in range(len(draws)):
            ceiling = min(0.5 * 2**failures, 20.0)
            assert ceiling / 2 <= backoff.next_s() <= ceiling
        backoff.reset()
