"""What a consortium may tune about identities."""

from __future__ import annotations

from typing import Final

from node.ledger.txtype import Param

OVERLAP_HEIGHTS_MAX: Final = "id.overlap_heights_max"
CREDENTIAL_MS_MAX: Final = "id.credential_ms_max"

_DAY_MS: Final = 24 * 60 * 60 * 1000

PARAMS: Final = (
    Param(
        OVERLAP_HEIGHTS_MAX,
        default=10_000,
        minimum=0,
        maximum=1_000_000,
        summary="for how many heights a key and its successor may both sign",
    ),
    Param(
        CREDENTIAL_MS_MAX,
        default=3 * 365 * _DAY_MS,
        minimum=_DAY_MS,
        maximum=10 * 365 * _DAY_MS,
        summary="how far ahead a credential may expire; none is without an end",
    ),
)
