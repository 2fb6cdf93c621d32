"""Token buckets: how much of each kind a peer may send, and how often an address may try.

A bucket holds up to `burst` tokens and gains `per_second` of them; one event takes one token. Time
is an argument, in seconds of a monotonic clock.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Mapping

from p2p.limits import CONTROL_KIND_MIN, KIND_MAX, Limits
from p2p.model import KindLimit


class TokenBucket:
    """A bucket that starts full."""

    __slots__ = ("_burst", "_per_second", "_tokens", "_updated")

    def __init__(self, per_second: float, burst: int, now: float) -> None:
        self._per_second = per_second
        self._burst = float(burst)
        self._tokens = self._burst
        self._updated = now

    def take(self, now: float) -> bool:
        """Take one token, or say that there is none."""
        tokens = self._tokens + (now - self._updated) * self._per_second
        tokens = min(tokens, self._burst)
        self._updated = now
        if tokens < 1.0:
            self._tokens = tokens
            return False
        self._tokens = tokens - 1.0
        return True


class PeerRates:
    """The buckets of one peer. They outlive its connections: reconnecting refills nothing."""

    __slots__ = ("_buckets", "_control", "_excess")

    def __init__(self, kinds: Mapping[int, KindLimit], limits: Limits, now: float) -> None:
        self._buckets = {
            kind: TokenBucket(limit.per_second, limit.burst, now) for kind, limit in kinds.items()
        }
        self._control = TokenBucket(limits.control_per_second, limits.control_burst, now)
        for kind in range(CONTROL_KIND_MIN, KIND_MAX + 1):
            self._buckets[kind] = self._control
        self._excess = TokenBucket(limits.excess_frames_per_second, limits.excess_frames_burst, now)

    def allow(self, kind: int, now: float) -> bool:
        """Whether a frame of this kind is within its rate."""
        return self._buckets[kind].take(now)

    def tolerate(self, now: float) -> bool:
        """Whether one more frame over its rate is still an accident and not a habit."""
        return self._excess.take(now)


class AttemptRates:
    """How often each address may connect. Bounded: the address seen longest ago is forgotten.

    IPv6 addresses count by their /64, the least that a single customer is given (RFC 6177).
    """

    __slots__ = ("_buckets", "_limits")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def allow(self, address: str, now: float) -> bool:
        """Whether `address` (of `address_group`) may try once more."""
        bucket = self._buckets.get(address)
        if bucket is None:
            limits = self._limits
            bucket = TokenBucket(
                limits.attempts_per_address_s, limits.attempts_per_address_burst, now
            )
            self._buckets[address] = bucket
            if len(self._buckets) > limits.addresses_tracked_max:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(address)
        return bucket.take(now)

    def __len__(self) -> int:
        return len(self._buckets)


def address_group(host: str) -> str:
    """What counts as one origin: an IPv4 address, or the /64 of an IPv6 address."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address), 64), strict=False))
