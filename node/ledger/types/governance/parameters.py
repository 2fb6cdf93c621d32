"""What a consortium may tune about its own decisions."""

from __future__ import annotations

from typing import Final

from node.ledger.txtype import Param

PROPOSAL_MS: Final = "gov.proposal_ms"
EMERGENCY_PAUSE_MS_MAX: Final = "gov.emergency_pause_ms_max"
EMERGENCY_REST_MS: Final = "gov.emergency_rest_ms"

_HOUR_MS: Final = 60 * 60 * 1000
_DAY_MS: Final = 24 * _HOUR_MS

PARAMS: Final = (
    Param(
        PROPOSAL_MS,
        default=30 * _DAY_MS,
        minimum=_HOUR_MS,
        maximum=365 * _DAY_MS,
        summary="how long a proposal can be voted on and carried out",
    ),
    Param(
        EMERGENCY_PAUSE_MS_MAX,
        default=_DAY_MS,
        minimum=_HOUR_MS,
        maximum=7 * _DAY_MS,
        summary="how long two organisations alone may pause a module",
    ),
    Param(
        EMERGENCY_REST_MS,
        default=7 * _DAY_MS,
        minimum=_DAY_MS,
        maximum=90 * _DAY_MS,
        summary="rest after a pause before two organisations alone may pause the module again",
    ),
)
