"""How many transactions an organisation may submit through this node: a token bucket each."""

from __future__ import annotations

from collections.abc import Callable

from node.limits import QUOTA_ORGS_MAX
from p2p.ratelimit import TokenBucket


class Quotas:
    """`clock` is monotonic, in seconds. Whoever was not seen for long starts afresh."""

    def __init__(self, per_second: float, burst: int, clock: Callable[[], float]) -> None:
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._buckets: dict[bytes, TokenBucket] = {}

    def take(self, org: bytes) -> bool:
        """Whether the organisation may submit one more now."""
        bucket = self._buckets.pop(org, None)
        if bucket is None:
            bucket = TokenBucket(self._per_second, self._burst, self._clock())
        self._buckets[org] = bucket
        while len(self._buckets) > QUOTA_ORGS_MAX:
            del self._buckets[next(iter(self._buckets))]
        return bucket.take(self._clock())
