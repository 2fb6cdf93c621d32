"""What a refusal looks like: `application/problem+json` (RFC 9457), every one with a code of the
SDK's error catalogue.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from aiohttp import web
from msgspec import UNSET, UnsetType

from medquorum.catalogue import entry
from node.errors import GoneError, QuorumAtRiskError, RefusedError
from node.forecast import Seat, Standing
from node.rpc.errors import FieldsError, HeightError, NotAcceptableError
from node.vault.errors import DeniedError

PROBLEM_TYPE: Final = "application/problem+json"


_CATALOGUED: Final = {"unknown_type": "schema_violation"}
"""What admission tells more finely than the catalogue."""


class FaultDocument(msgspec.Struct, frozen=True):
    """One part of the request that is wrong."""

    pointer: str
    code: str


class SeatDocument(msgspec.Struct, frozen=True):
    """A validator of the set in question, and whether it is there to vote. `behind` counts blocks
    that it lacks; a newcomer does not vote today.
    """

    key: str
    node_key: str
    org: str
    standing: Standing
    behind: int
    newcomer: bool


class ProblemDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A refusal. `code` is for programs, `detail` for a person; `retryable` says whether the same
    request may succeed later; of what is `pruned`, `oldest` is the first height that is here;
    `missing` are the validators for want of which it was refused.
    `trace_id` finds the request in the node's log.
    """

    type: str
    title: str
    status: int
    detail: str
    code: str
    retryable: bool
    trace_id: str
    retry_after_ms: int | UnsetType = UNSET
    txid: str | UnsetType = UNSET
    rule: str | UnsetType = UNSET
    height: int | UnsetType = UNSET
    oldest: int | UnsetType = UNSET
    errors: Sequence[FaultDocument] | UnsetType = UNSET
    missing: Sequence[SeatDocument] | UnsetType = UNSET


def document(refused: RefusedError, trace_id: str) -> ProblemDocument:
    """The document of a refusal. A code that is in no catalogue is shown as `internal`: a client
    must be able to look up every code that it meets.
    """
    code = _CATALOGUED.get(refused.code, refused.code)
    known = entry(code)
    status = None if known is None else known.status
    if known is None or status is None:
        return document(RefusedError("internal", f"no catalogue has {code}"), trace_id)
    return ProblemDocument(
        type=f"docs/errors.md#{known.code}",
        title=known.titles["en"],
        status=refused.status if isinstance(refused, NotAcceptableError) else status,
        detail=refused.detail,
        code=known.code,
        retryable=known.retryable,
        trace_id=trace_id,
        retry_after_ms=refused.retry_after_ms or UNSET,
        txid=refused.tx_id.hex() if refused.tx_id else UNSET,
        rule=refused.rule if isinstance(refused, DeniedError) else UNSET,
        height=refused.height if isinstance(refused, HeightError | GoneError) else UNSET,
        oldest=refused.oldest if isinstance(refused, GoneError) else UNSET,
        errors=[FaultDocument(fault.pointer, fault.code) for fault in refused.faults]
        if isinstance(refused, FieldsError)
        else UNSET,
        missing=[seat_document(seat) for seat in refused.forecast.missing]
        if isinstance(refused, QuorumAtRiskError)
        else UNSET,
    )


def seat_document(seat: Seat) -> SeatDocument:
    """A validator for programs."""
    return SeatDocument(
        key=seat.validator.key.hex(),
        node_key=seat.validator.node_key.hex(),
        org=seat.validator.org.hex(),
        standing=seat.sighting.standing,
        behind=seat.sighting.behind,
        newcomer=seat.newcomer,
    )


def response(refused: RefusedError, trace_id: str) -> web.Response:
    """The answer to a refused request."""
    shown = document(refused, trace_id)
    headers = {}
    if refused.retry_after_ms:
        headers["Retry-After"] = str(-(-refused.retry_after_ms // 1000))
    return web.Response(
        status=shown.status,
        body=msgspec.json.encode(shown),
        content_type=PROBLEM_TYPE,
        headers=headers,
    )
