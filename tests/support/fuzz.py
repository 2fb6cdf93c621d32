"""Bytes that were once right: what a peer or a client sends that is broken, or wants to break us.

fuzzer = Fuzzer(random.Random(7), corpus)
for _ in range(1_000): send(fuzzer.draw())
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Final

import msgpack

NUMBERS: Final = (0, 1, -1, 127, 128, 255, 2**16, 2**31, 2**32 - 1, 2**53, 2**63, 2**64 - 1)
GROWN_BYTES_MAX: Final = 4_096


class Fuzzer:
    """Draws from a corpus of genuine payloads, and changes each a little, in one way or several."""

    def __init__(self, rng: random.Random, corpus: Sequence[bytes]) -> None:
        self._rng = rng
        self._corpus = list(corpus)
        self._ways: tuple[Callable[[bytes], bytes], ...] = (
            self._flip,
            self._cut,
            self._grow,
            self._swap,
            self._splice,
            self._noise,
            self._restructure,
            self._restructure,
        )

    def draw(self) -> bytes:
        """Another payload; now and then a genuine one, said again."""
        payload = self._rng.choice(self._corpus)
        for _ in range(self._rng.choice((0, 1, 1, 1, 2, 3))):
            payload = self._rng.choice(self._ways)(payload)
        return payload

    def _flip(self, payload: bytes) -> bytes:
        changed = bytearray(payload or b"\0")
        changed[self._rng.randrange(len(changed))] ^= 1 << self._rng.randrange(8)
        return bytes(changed)

    def _cut(self, payload: bytes) -> bytes:
        return payload[: self._rng.randint(0, len(payload))]

    def _grow(self, payload: bytes) -> bytes:
        at = self._rng.randint(0, len(payload))
        more = self._rng.randbytes(1) * self._rng.randint(1, GROWN_BYTES_MAX)
        return payload[:at] + more + payload[at:]

    def _swap(self, payload: bytes) -> bytes:
        """Two parts change places."""
        low, high = sorted(self._rng.randint(0, len(payload)) for _ in range(2))
        return payload[high:] + payload[low:high] + payload[:low]

    def _splice(self, payload: bytes) -> bytes:
        other = self._rng.choice(self._corpus)
        return payload[: self._rng.randint(0, len(payload))] + other[-len(payload) // 2 :]

    def _noise(self, payload: bytes) -> bytes:
        return self._rng.randbytes(self._rng.randint(0, len(payload) + 1))

    def _restructure(self, payload: bytes) -> bytes:
        """Well-formed, with something else in one place: a number, a length, a kind of thing."""
        try:
            value = msgpack.unpackb(payload, strict_map_key=False)
            return bytes(msgpack.packb(self._changed(value)))
        except (ValueError, TypeError, msgpack.UnpackException):
            return self._flip(payload)

    def _changed(self, value: object) -> object:
        match value:
            case list() if value and self._rng.uniform(0, 1) < 0.8:
                at = self._rng.randrange(len(value))
                return [*value[:at], self._changed(value[at]), *value[at + 1 :]]
            case list():
                return self._rng.choice(([], value * 2, value[:-1], [value], None))
            case bool() | int():
                return self._rng.choice(NUMBERS)
            case bytes():
                return self._rng.choice(
                    (b"", value[:-1], value + b"\0", bytes(len(value)), self._flip(value), 7)
                )
            case str():
                return self._rng.choice(("", value * 50, value[:-1], "\0", "\u202e" + value, 7))
            case _:
                return self._rng.choice((None, 0, b"", "", [], {}, True, 1.5))
