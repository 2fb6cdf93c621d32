"""What a consortium may tune about records and consent."""

from __future__ import annotations

from typing import Final

from node.ledger.txtype import Param

_SECOND_MS: Final = 1_000
_HOUR_MS: Final = 3_600_000
_DAY_MS: Final = 24 * _HOUR_MS

REQUEST_TTL: Final = "rec.request_ttl_ms"
RECEIPT_DEADLINE: Final = "rec.receipt_deadline_ms"
GRANT_TERM: Final = "cons.grant_term_ms_max"

PARAMS: Final = (
    Param(
        REQUEST_TTL,
        default=_HOUR_MS // 4,
        minimum=10 * _SECOND_MS,
        maximum=_DAY_MS,
        summary="milliseconds for which an access request waits for the custodian's decision",
    ),
    Param(
        RECEIPT_DEADLINE,
        default=_HOUR_MS,
        minimum=10 * _SECOND_MS,
        maximum=7 * _DAY_MS,
        summary="milliseconds after a permit until a missing receipt raises rec.receipt_missing",
    ),
    Param(
        GRANT_TERM,
        default=2 * 365 * _DAY_MS,
        minimum=_DAY_MS,
        maximum=30 * 365 * _DAY_MS,
        summary="milliseconds from now that the end of a grant may lie ahead",
    ),
)
