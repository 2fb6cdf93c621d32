"""Entries of the ledger's state, with the proof that they are what the validators certified."""

from __future__ import annotations

from typing import Final

import msgspec
from aiohttp import web
from msgspec import UnsetType

from medquorum.codec import encode
from medquorum.encoding import to_base64url
from node.errors import GoneError
from node.rpc.blocks import AtHeightParams, check_height
from node.rpc.errors import HeightError
from node.rpc.routes import Answer, AnyRoute, Base64, Call, Hex, Route, answer
from node.services import Services
from storage.errors import HeightAheadError, PrunedError


class StateDocument(msgspec.Struct, frozen=True):
    """The value of a key after `height`, null if it is absent, and everything that proves it: to a
    client that knows which validators vote at this height.
    """

    value: Hex | None
    height: int
    proof: Base64
    header: Base64
    result: Base64
    certificate: Base64
    validators: Base64


async def get_state(call: Call[AtHeightParams]) -> web.StreamResponse:
    """An entry with its proof."""
    services = call.services
    tip = services.chain.tip.height
    asked = call.params.height
    height = tip if isinstance(asked, UnsetType) else asked
    check_height(height, tip)
    key = call.path_bytes("key")
    return answer(
        await services.readers.brief(_read, services, call.path("namespace"), key, height)
    )


def _read(services: Services, namespace: str, key: bytes, height: int) -> StateDocument:
    chain = services.chain
    signed = services.signed.at(chain.blocks, height)
    try:
        value, proof = chain.state.proof(namespace, key, height)
    except PrunedError as error:
        raise GoneError("the state", height, error.oldest) from None
    except HeightAheadError:
        raise HeightError("height_in_future", "that height is not here yet", height) from None
    return StateDocument(
        value=None if value is None else value.hex(),
        height=height,
        proof=to_base64url(encode(proof)),
        header=to_base64url(signed.header),
        result=to_base64url(signed.result),
        certificate=to_base64url(signed.certificate),
        validators=to_base64url(signed.validators),
    )


ROUTES: Final[tuple[AnyRoute, ...]] = (
    Route(
        method="GET",
        path="/v1/state/{namespace}/{key}",
        name="getState",
        tag="ledger",
        summary="An entry of the state, with a proof of its value or absence.",
        params=AtHeightParams,
        handle=get_state,
        answers={200: Answer("The entry", StateDocument)},
        problems=("not_found", "height_in_future", "pruned"),
        path_help={"namespace": "The name of a module.", "key": "The key, hexadecimal."},
    ),
)
