"""Blocks, headers, and the validators who certify them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
from aiohttp import web
from msgspec import UNSET, Meta, UnsetType

from medquorum.history import Certified
from node.errors import GoneError
from node.limits import PAGE_DEFAULT, PAGE_MAX
from node.receipts import certified_at, history_before, require_kept
from node.rpc.errors import HeightError
from node.rpc.routes import Answer, AnyRoute, Call, HeightParam, Hex, Params, Route, answer
from node.rpc.view import Json, RawCertified, RawChange, raw, raw_change, view
from storage.chain import ChainStore

LATEST: Final = "latest"


class HeadersParams(Params, frozen=True):
    """A page of headers."""

    first: HeightParam = msgspec.field(name="from", default=1)
    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX)] = PAGE_DEFAULT


class AtHeightParams(Params, frozen=True):
    """What is asked about, or the newest height there is."""

    height: HeightParam | UnsetType = UNSET


class HeaderDocument(msgspec.Struct, frozen=True):
    """A certified height without its transactions. `raw` has what the validators signed."""

    height: int
    hash: Hex
    header: Json
    result: Json
    certificate: Json
    raw: RawCertified


class BlockDocument(msgspec.Struct, frozen=True):
    """A certified block. `raw` has what the validators signed."""

    height: int
    hash: Hex
    header: Json
    result: Json
    certificate: Json
    tx_ids: list[Hex]
    raw: RawCertified


class HeadersDocument(msgspec.Struct, frozen=True):
    """Headers in ascending order. `next` is where to go on, absent at the tip."""

    headers: list[HeaderDocument]
    next: int | UnsetType = UNSET


class ValidatorDocument(msgspec.Struct, frozen=True):
    """A member that votes."""

    key: Hex
    node_key: Hex
    org: Hex


class ValidatorsDocument(msgspec.Struct, frozen=True):
    """Who votes at `height`, and every change of the set before it, for whoever verifies."""

    height: int
    validators: list[ValidatorDocument]
    history: list[RawChange]


async def get_block(call: Call[Params]) -> web.StreamResponse:
    """A block by its height."""
    chain = call.services.chain
    tip = chain.tip.height
    height = tip if call.path("height") == LATEST else call.path_int("height")
    check_height(height, tip)
    return answer(await call.services.readers.run(_block, chain.blocks, height))


async def get_headers(call: Call[HeadersParams]) -> web.StreamResponse:
    """A page of headers."""
    services, params = call.services, call.params
    tip = services.chain.tip.height
    first = max(params.first, 1)
    heights = range(first, min(first + params.limit, tip + 1))
    headers = await services.readers.run(_headers, services.chain.blocks, heights)
    after = first + params.limit
    return answer(HeadersDocument(headers, after if after <= tip else UNSET))


async def get_validators(call: Call[AtHeightParams]) -> web.StreamResponse:
    """The validators of a height, the next one by default."""
    services = call.services
    tip = services.chain.tip.height
    asked = call.params.height
    height = tip + 1 if isinstance(asked, UnsetType) else max(asked, 1)
    if height > tip + 1:
        raise HeightError("height_in_future", "who votes there is not decided yet", height)
    return answer(await services.readers.run(_validators, services.chain.blocks, height))


def check_height(height: int, tip: int) -> None:
    """Raise HeightError unless a certified block has this height."""
    if height == 0:
        raise HeightError("not_found", "the first block has height 1", height)
    if height > tip:
        raise HeightError("height_in_future", f"the newest height here is {tip}", height)


def found(certified: Certified | None, height: int, oldest: int) -> Certified:
    """What is stored of a height up to the tip. Raises GoneError if it is not here: then the chain
    here began with a snapshot, and from its `oldest` block on all are.
    """
    if certified is None:
        raise GoneError("the header", height, oldest)
    return certified


def _block(blocks: ChainStore, height: int) -> BlockDocument:
    require_kept(blocks, height)
    certified = found(certified_at(blocks, height), height, blocks.oldest_block())
    tx_ids = [outcome.tx_id.hex() for outcome in blocks.outcomes(height)]
    shown = _header(certified)
    return BlockDocument(
        shown.height,
        shown.hash,
        shown.header,
        shown.result,
        shown.certificate,
        tx_ids,
        shown.raw,
    )


def _headers(blocks: ChainStore, heights: Sequence[int]) -> list[HeaderDocument]:
    oldest = blocks.oldest_block()
    return [_header(found(certified_at(blocks, height), height, oldest)) for height in heights]


def _header(certified: Certified) -> HeaderDocument:
    header = certified.header
    return HeaderDocument(
        header.height,
        header.hash().hex(),
        view(header),
        view(certified.result),
        view(certified.certificate),
        raw(certified),
    )


def _validators(blocks: ChainStore, height: int) -> ValidatorsDocument:
    members = blocks.validators(height).validators
    return ValidatorsDocument(
        height,
        [ValidatorDocument(v.key.hex(), v.node_key.hex(), v.org.hex()) for v in members],
        [raw_change(change) for change in history_before(blocks, height)],
    )


ROUTES: Final[tuple[AnyRoute, ...]] = (
    Route(
        method="GET",
        path="/v1/blocks/{height}",
        name="getBlock",
        tag="chain",
        summary="A certified block.",
        params=Params,
        handle=get_block,
        answers={200: Answer("The block", BlockDocument)},
        problems=("not_found", "height_in_future", "pruned"),
        path_help={"height": "A height, or latest."},
    ),
    Route(
        method="GET",
        path="/v1/headers",
        name="getHeaders",
        tag="chain",
        summary="Certified headers in ascending order.",
        params=HeadersParams,
        handle=get_headers,
        answers={200: Answer("A page of headers", HeadersDocument)},
        problems=("pruned",),
    ),
    Route(
        method="GET",
        path="/v1/validators",
        name="getValidators",
        tag="chain",
        summary="Who votes at a height, and how the set came to be.",
        params=AtHeightParams,
        handle=get_validators,
        answers={200: Answer("The validators", ValidatorsDocument)},
        problems=("height_in_future",),
    ),
)
