"""The frame decoder: against a dumb twin on garbage, and rule by rule on what it must refuse."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p.errors import LinkEndedError
from p2p.frames import Control, FrameDecoder, SizeTable, encode_frame
from p2p.model import KindLimit, Lane
from p2p.reasons import Reason

KINDS = {
    0: KindLimit("empty", Lane.BULK, bytes_max=0, per_second=1, burst=1),
    1: KindLimit("small", Lane.BULK, bytes_max=5, per_second=1, burst=1),
    2: KindLimit("large", Lane.BULK, bytes_max=300, per_second=1, burst=1),
    3: KindLimit("vote", Lane.CONSENSUS, bytes_max=300, per_second=1, burst=1),
}
TABLE = SizeTable(Lane.BULK, KINDS)

Outcome = tuple[list[tuple[int, bytes]], Reason | None]


def decode_dumbly(stream: bytes) -> Outcome:
    """The twin: looks at the whole stream at once, one rule a line."""
    frames: list[tuple[int, bytes]] = []
    while len(stream) >= 5:
        length, kind = int.from_bytes(stream[:4], "big"), stream[4]
        if length == 0:
            return frames, Reason.EMPTY_FRAME
        if kind == 3:
            return frames, Reason.KIND_ON_WRONG_LANE
        sizes = {0: 0, 1: 5, 2: 300, Control.PING: 8, Control.PONG: 8, Control.GOODBYE: 32}
        if kind not in sizes:
            return frames, Reason.UNKNOWN_KIND
        if length - 1 > sizes[kind]:
            return frames, Reason.OVERSIZED_FRAME
        if len(stream) < 4 + length:
            break
        frames.append((kind, stream[5 : 4 + length]))
        stream = stream[4 + length :]
    return frames, None


def decode(chunks: list[bytes]) -> Outcome:
    decoder = FrameDecoder(TABLE)
    frames: list[tuple[int, bytes]] = []
    try:
        for chunk in chunks:
            frames.extend(decoder.feed(chunk))
            assert decoder.buffered_bytes <= 300
    except LinkEndedError as error:
        return frames, error.reason
    return frames, None


def chop(stream: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    return [stream[a:b] for a, b in pairwise(places) if a < b]


good_frames = st.one_of(
    st.just(encode_frame(0, b"")),
    st.binary(max_size=5).map(lambda payload: encode_frame(1, payload)),
    st.binary(max_size=300).map(lambda payload: encode_frame(2, payload)),
)
wild_frames = st.builds(
    lambda length, kind, rest: length.to_bytes(4, "big") + bytes([kind]) + rest,
    st.one_of(st.integers(0, 310), st.integers(0, 2**32 - 1)),
    st.one_of(st.integers(0, 4), st.integers(0, 255)),
    st.binary(max_size=20),
)
streams = st.lists(st.one_of(good_frames, good_frames, wild_frames, st.binary(max_size=9))).map(
    b"".join
)


@given(streams, st.lists(st.integers(0, 2_000)))
def test_any_stream_chopped_anyhow_decodes_like_the_dumb_twin(
    stream: bytes, cuts: list[int]
) -> None:
    assert decode(chop(stream, cuts)) == decode_dumbly(stream)


@given(st.lists(st.tuples(st.integers(1, 2), st.binary(max_size=5)), max_size=30))
def test_what_was_encoded_comes_out_byte_by_byte(frames: list[tuple[int, bytes]]) -> None:
    stream = b"".join(encode_frame(kind, payload) for kind, payload in frames)
    assert decode([bytes([byte]) for byte in stream]) == (frames, None)


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (b"\0\0\0\0\x01", Reason.EMPTY_FRAME),
        (b"\0\0\0\x07\x01", Reason.OVERSIZED_FRAME),
        (b"\xff\xff\xff\xff\x02", Reason.OVERSIZED_FRAME),
        (b"\0\0\0\x01\x09", Reason.UNKNOWN_KIND),
        (b"\0\0\0\x01\xff", Reason.UNKNOWN_KIND),
        (b"\0\0\0\x01\x03", Reason.KIND_ON_WRONG_LANE),
    ],
)
def test_a_bad_header_is_refused_before_any_payload(header: bytes, reason: Reason) -> None:
    assert decode([header]) == ([], reason)
    assert decode([encode_frame(1, b"good") + header]) == ([(1, b"good")], reason)


def test_an_announced_length_reserves_no_memory() -> None:
    size = 64 * 1024 * 1024
    kinds = {1: KindLimit("huge", Lane.BULK, bytes_max=size, per_second=1, burst=1)}
    decoder = FrameDecoder(SizeTable(Lane.BULK, kinds))
    tracemalloc.start()
    try:
        assert list(decoder.feed((size + 1).to_bytes(4, "big") + b"\x01" + b"x")) == []
        assert tracemalloc.get_traced_memory()[1] < 64 * 1024
    finally:
        tracemalloc.stop()


def test_a_payload_dripped_in_tiny_pieces_takes_no_more_memory_than_itself() -> None:
    size = 100_000
    kinds = {1: KindLimit("large", Lane.BULK, bytes_max=size, per_second=1, burst=1)}
    decoder = FrameDecoder(SizeTable(Lane.BULK, kinds))
    stream = encode_frame(1, bytes(size))
    tracemalloc.start()
    try:
        for place in range(0, len(stream) - 2, 2):
            assert list(decoder.feed(stream[place : place + 2])) == []
        assert tracemalloc.get_traced_memory()[1] < 3 * size
    finally:
        tracemalloc.stop()
