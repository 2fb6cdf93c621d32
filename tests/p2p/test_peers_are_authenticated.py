"""Who gets in and who does not, over real sockets: each refusal has its name."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import ssl
from collections.abc import Callable
from dataclasses import replace

import pytest
import trustme

from medquorum.keys import SigningKey
from p2p.errors import AddressError, ListenError
from p2p.frames import Control, encode_frame
from p2p.hello import Hello, encode_hello
from p2p.reasons import Reason
from p2p.transport import Lane, PeerAddress, Transport
from tests.support.p2p import (
    BLOCK,
    CHAIN,
    KINDS,
    LIMITS,
    VOTE,
    Watch,
    dial_by_hand,
    goodbye,
    keys_in_order,
    running,
)


async def test_two_nodes_prove_their_keys_and_exchange_frames_on_both_lanes() -> None:
    one, two = keys_in_order(2)
    async with running(one) as a, running(two, peers=[a.address]) as b:
        await a.until_connected(b.key)
        await b.until_connected(a.key)
        assert a.transport.send(b.key, Lane.CONSENSUS, VOTE, b"vote")
        assert b.transport.broadcast(Lane.BULK, BLOCK, b"block") == 1
        [vote] = await b.until_received(1)
        [block] = await a.until_received(1)
    assert (vote.peer, vote.lane, vote.kind, vote.payload) == (a.key, Lane.CONSENSUS, VOTE, b"vote")
    assert (block.peer, block.lane, block.kind, block.payload) == (
        b.key,
        Lane.BULK,
        BLOCK,
        b"block",
    )
    assert (a.watch.sent_bytes, a.watch.received_bytes) == (4, 5)
    assert a.watch.changes == [(b.key, True), (b.key, False)]


async def test_a_non_member_that_dials_is_refused_by_name_on_both_sides() -> None:
    one, two = keys_in_order(2)
    async with (
        running(one, is_member=lambda key: key != two.public) as a,
        running(two, peers=[a.address]) as b,
    ):
        await a.until_dropped(Reason.NOT_MEMBER)
        await b.until_dropped(Reason.NOT_MEMBER)
        assert b.transport.peers_info()[0].last_reason == "refused by peer: not_member"
        assert a.watch.changes == []
        assert a.transport.peers_info() == ()


async def test_a_non_member_is_not_even_dialled() -> None:
    one, two = keys_in_order(2)
    asked: list[bytes] = []
    looked = asyncio.Event()

    def is_member(key: bytes) -> bool:
        asked.append(key)
        if len(asked) > 4:
            looked.set()
        return False

    async with running(one) as a, running(two, peers=[a.address], is_member=is_member) as b:
        await looked.wait()
        assert set(asked) == {a.key}
        assert b.transport.peers_info()[0].last_reason == Reason.NOT_MEMBER
        assert not a.watch.drops


async def test_a_node_of_another_chain_is_refused_by_name_on_both_sides() -> None:
    one, two = keys_in_order(2)
    async with running(one) as a, running(two, peers=[a.address], chain_id=bytes(32)) as b:
        # Whoever dials sees the other's certificate first and hangs up.
        await b.until_dropped(Reason.TLS_UNTRUSTED_CERTIFICATE)
        await a.until_dropped(Reason.HANDSHAKE_LOST)
        a.transport.set_peers([b.address])
        await a.until_dropped(Reason.TLS_UNTRUSTED_CERTIFICATE)
        assert a.watch.changes == b.watch.changes == []


async def test_another_key_than_the_dialled_one_is_an_impostor() -> None:
    one, two, three = keys_in_order(3)
    async with running(one) as a:
        wrong = PeerAddress(three.public, "127.0.0.1", a.transport.port)
        async with running(two, peers=[wrong]) as b:
            await b.until_dropped(Reason.IMPOSTOR)
            # The acceptor is told why the dialler hangs up.
            await a.until_dropped(Reason.IMPOSTOR)
            assert b.transport.connected() == a.transport.connected() == ()


async def test_a_node_that_dials_itself_is_refused() -> None:
    key = SigningKey.generate()
    async with running(key) as node:
        reader, writer = await dial_by_hand(node.transport.port, key)
        assert await goodbye(reader, writer) == Reason.SELF


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        (encode_hello(Hello(1, 1, bytes(32), 0, bytes(16), "x")), Reason.WRONG_CHAIN),
        (encode_hello(Hello(2, 9, CHAIN, 0, bytes(16), "x")), Reason.WRONG_VERSION),
        (encode_hello(Hello(0, 0, CHAIN, 0, bytes(16), "x")), Reason.WRONG_VERSION),
        (encode_hello(Hello(1, 1, CHAIN, 2, bytes(16), "x")), Reason.WRONG_LANE),
        (encode_hello(Hello(1, 1, CHAIN, 0, bytes(16), "\x1b[2J")), Reason.BAD_HELLO),
        (encode_hello(Hello(1, 1, CHAIN, 0, bytes(15), "x")), Reason.BAD_HELLO),
        (encode_frame(Control.HELLO, b"\xc1"), Reason.BAD_HELLO),
        (encode_frame(VOTE, b"too early"), Reason.BAD_HELLO),
        (b"\0\0\0\0\xff", Reason.BAD_HELLO),
        (b"\xff\xff\xff\xff\xff", Reason.BAD_HELLO),
        (b"GET / HTTP/1.1\r\n\r\n", Reason.BAD_HELLO),
    ],
)
async def test_a_bad_hello_is_answered_by_its_name(first: bytes, reason: Reason) -> None:
    one, two = keys_in_order(2)
    async with running(one) as a:
        reader, writer = await dial_by_hand(a.transport.port, two)
        writer.write(first)
        assert await goodbye(reader, writer) == reason
        await a.until_dropped(reason)
        assert a.transport.peers_info() == ()


async def test_a_version_range_that_overlaps_ours_is_accepted() -> None:
    one, two = keys_in_order(2)
    async with running(one) as a:
        reader, writer = await dial_by_hand(a.transport.port, two)
        writer.write(encode_hello(Hello(0, 9, CHAIN, Lane.BULK, bytes(16), "future 9.0")))
        header = await reader.readexactly(5)
        assert header[4] == Control.HELLO
        [info] = a.transport.peers_info()
        assert (info.software, info.connected) == ("future 9.0", False)
        assert [lane.up for lane in info.lanes] == [False, True]
        writer.close()
        await writer.wait_closed()


async def handshake_fails(context: ssl.SSLContext, port: int) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError)):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname="localhost"
        )
        try:
            # In TLS 1.3 the server's refusal of our certificate comes with the first read.
            await reader.readexactly(1)
        except asyncio.IncompleteReadError:
            raise ConnectionResetError from None
        finally:
            writer.transport.abort()


def with_foreign_authority() -> ssl.SSLContext:
    context = bare_client()
    trustme.CA().issue_cert("node.example").configure_cert(context)
    return context


def with_old_version() -> ssl.SSLContext:
    context = bare_client()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


def bare_client() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (with_foreign_authority, Reason.TLS_UNTRUSTED_CERTIFICATE),
        (with_old_version, Reason.TLS_VERSION),
        (bare_client, Reason.TLS_NO_CERTIFICATE),
    ],
)
async def test_a_client_that_breaks_the_rules_of_tls_is_refused_by_name(
    make: Callable[[], ssl.SSLContext], reason: Reason
) -> None:
    async with running(SigningKey.generate()) as node:
        await handshake_fails(make(), node.transport.port)
        await node.until_dropped(reason)


async def test_a_plaintext_client_is_refused_by_name() -> None:
    async with running(SigningKey.generate()) as node:
        reader, writer = await asyncio.open_connection("127.0.0.1", node.transport.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: node\r\n\r\n")
        await reader.read()
        writer.close()
        await writer.wait_closed()
        await node.until_dropped(Reason.TLS_NOT_SPOKEN)


@pytest.mark.parametrize("speaks_tls", [False, True])
async def test_a_peer_that_connects_and_says_nothing_is_dropped(speaks_tls: bool) -> None:
    one, two = keys_in_order(2)
    async with running(one, limits=replace(LIMITS, handshake_s_max=0.3)) as a:
        if speaks_tls:
            reader, writer = await dial_by_hand(a.transport.port, two)
        else:
            reader, writer = await asyncio.open_connection("127.0.0.1", a.transport.port)
        await reader.read()
        writer.close()
        await writer.wait_closed()
        await a.until_dropped(Reason.HANDSHAKE_TIMEOUT)


async def test_a_server_that_says_nothing_does_not_hold_the_dialler() -> None:
    one, two = keys_in_order(2)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = PeerAddress(two.public, "127.0.0.1", mute.getsockname()[1])
        limits = replace(LIMITS, handshake_s_max=0.2)
        async with running(one, peers=[address], limits=limits) as a:
            await a.until_dropped(Reason.HANDSHAKE_TIMEOUT, count=2)


@pytest.mark.parametrize("bound", ["unauthenticated_max", "unauthenticated_per_address_max"])
async def test_strangers_are_bounded_and_leave_room_again(bound: str) -> None:
    one, two = keys_in_order(2)
    async with running(one, limits=replace(LIMITS, **{bound: 2})) as a:
        idle = [await asyncio.open_connection("127.0.0.1", a.transport.port) for _ in range(2)]
        reader, writer = await asyncio.open_connection("127.0.0.1", a.transport.port)
        assert await reader.read() == b""
        assert a.watch.drops == {Reason.TOO_MANY_UNAUTHENTICATED: 1}
        for _, stranger in [*idle, (reader, writer)]:
            stranger.close()
            await stranger.wait_closed()
        await a.until_dropped(Reason.HANDSHAKE_LOST, count=2)
        async with running(two, peers=[a.address]) as b:
            await b.until_connected(a.key)


async def test_running_out_of_file_descriptors_is_counted_and_passes() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with running(SigningKey.generate(), limits=replace(LIMITS, accept_pause_s=0.01)) as node:
        with socket.socket() as client:
            client.setblocking(False)
            spare = os.dup(client.fileno())
            os.close(spare)
            resource.setrlimit(resource.RLIMIT_NOFILE, (spare, hard))
            try:
                address = ("127.0.0.1", node.transport.port)
                await asyncio.get_running_loop().sock_connect(client, address)
                await node.until_dropped(Reason.ACCEPT_FAILED, count=2)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        await node.until_dropped(Reason.HANDSHAKE_LOST)


async def test_an_address_may_not_try_too_often() -> None:
    limits = replace(LIMITS, attempts_per_address_burst=1, attempts_per_address_s=1e-9)
    async with running(SigningKey.generate(), limits=limits) as node:
        _, first = await asyncio.open_connection("127.0.0.1", node.transport.port)
        reader, second = await asyncio.open_connection("127.0.0.1", node.transport.port)
        assert await reader.read() == b""
        assert node.watch.drops == {Reason.TOO_MANY_ATTEMPTS: 1}
        for writer in (first, second):
            writer.close()
            await writer.wait_closed()


async def test_a_taken_port_is_an_error_that_names_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        watch = Watch()
        transport = Transport(
            node_key=SigningKey.generate(),
            chain_id=CHAIN,
            host="127.0.0.1",
            port=port,
            peers=[],
            is_member=lambda _: True,
            on_frame=watch.on_frame,
            on_peer=watch.on_peer,
            kinds=KINDS,
            observer=watch,
        )
        with pytest.raises(ListenError, match=str(port)) as caught:
            await transport.run()
        assert caught.value.port == port


@pytest.mark.parametrize(
    ("host", "port"),
    [("", 1), ("a..b", 1), ("node one", 1), ("x" * 254, 1), ("node", 0), ("node", 65536)],
)
def test_an_impossible_address_is_refused_before_anything_runs(host: str, port: int) -> None:
    with pytest.raises(AddressError):
        PeerAddress(SigningKey(bytes(32)).public, host, port)
