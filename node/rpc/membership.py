"""Looking ahead: could the validators decide if the set were another one?"""

from __future__ import annotations

from typing import Final, Literal

import msgspec
from aiohttp import web

from medquorum.block import Validator, ValidatorSet
from medquorum.encoding import from_hex
from medquorum.hashing import HASH_BYTES
from medquorum.keys import PUBLIC_KEY_BYTES
from node.errors import RefusedError
from node.ledger.decisions import PROPOSALS
from node.ledger.membership import NAMESPACE
from node.ledger.proposals import ValidatorAdd, ValidatorRemove, ValidatorReplace
from node.ledger.types.governance.changes import change_proposed, validators_after
from node.rpc.errors import FieldsError, wrong_field
from node.rpc.problems import SeatDocument, seat_document
from node.rpc.routes import Answer, AnyRoute, Call, Hex, Params, Route, answer
from node.services import Services

NOBODY: Final = bytes(32)
"""Whose a newcomer is does not matter to whether it is there."""


class ForecastParams(Params, frozen=True):
    """The change in question: that of a `proposal`, or one that nobody has proposed yet. `add` and
    `by` are node keys, `remove` and `replace` vote keys. Without any, the set of today.
    """

    proposal: Hex = ""
    add: Hex = ""
    remove: Hex = ""
    replace: Hex = ""
    by: Hex = ""


class ForecastDocument(msgspec.Struct, frozen=True):
    """What the validators could do after the change, as this node sees them now: `needed` of them
    must vote to decide anything, `ready` are there. If it is not `safe`, `detail` says why, and
    this node refuses its clients' transactions that bring the change closer (quorum_at_risk).
    """

    safe: bool
    engine: Literal["pbft", "raft"]
    ready: int
    needed: int
    detail: str
    validators: list[SeatDocument]


async def get_forecast(call: Call[ForecastParams]) -> web.StreamResponse:
    """Who would be there to vote."""
    services = call.services
    found = services.forecast(_after(services, call.params))
    return answer(
        ForecastDocument(
            safe=found.safe,
            engine=services.chain.genesis.engine,
            ready=found.ready,
            needed=found.needed,
            detail="" if found.safe else found.complaint(),
            validators=[seat_document(seat) for seat in found.seats],
        )
    )


def _after(services: Services, params: ForecastParams) -> ValidatorSet:
    before = services.chain.tip.validators
    asked = [
        name for name in ("proposal", "add", "remove", "replace") if getattr(params, name) != ""
    ]
    if len(asked) > 1:
        raise FieldsError(f"one change at a time, not {' and '.join(asked)}", ())
    if (params.by != "") != (params.replace != ""):
        raise wrong_field("/by", "missing", "replace and by go together")
    if params.proposal != "":
        proposal = _bytes("proposal", params.proposal, HASH_BYTES)
        return _after_proposal(services, before, proposal)
    if params.add != "":
        newcomer = Validator(b"", _bytes("add", params.add, PUBLIC_KEY_BYTES), NOBODY)
        return ValidatorSet((*before.validators, newcomer))
    if params.remove != "":
        leaving = _voter(before, "remove", params.remove)
        return validators_after(before, ValidatorRemove(leaving))
    if params.replace != "":
        leaving = _voter(before, "replace", params.replace)
        change = ValidatorReplace(leaving, b"", _bytes("by", params.by, PUBLIC_KEY_BYTES), b"")
        return validators_after(before, change)
    return before


def _after_proposal(services: Services, before: ValidatorSet, proposal: bytes) -> ValidatorSet:
    view = services.chain.view()
    if not PROPOSALS.has(view.read(NAMESPACE), proposal):
        raise RefusedError("not_found", "there is no such proposal")
    change = change_proposed(view, proposal)
    if change is None:
        raise wrong_field("/proposal", "kind", "the proposal changes no validators")
    carried_out = {v.key for v in before.validators}
    if isinstance(change, ValidatorAdd) and change.key in carried_out:
        return before
    return validators_after(before, change)


def _voter(before: ValidatorSet, name: str, text: str) -> bytes:
    key = _bytes(name, text, PUBLIC_KEY_BYTES)
    if all(validator.key != key for validator in before.validators):
        raise RefusedError("not_found", f"{name}: no validator votes with this key")
    return key


def _bytes(name: str, text: str, size: int) -> bytes:
    try:
        return from_hex(text, size=size)
    except ValueError as error:
        raise wrong_field(f"/{name}", "hex", f"{name}: {error}") from None


ROUTES: Final[tuple[AnyRoute, ...]] = (
    Route(
        method="GET",
        path="/v1/validators/forecast",
        name="getForecast",
        tag="chain",
        summary="Whether a quorum would be there after a change of the validators.",
        params=ForecastParams,
        handle=get_forecast,
        answers={200: Answer("Who would be there", ForecastDocument)},
        problems=("not_found",),
    ),
)
