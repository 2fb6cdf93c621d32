"""Hands the leadership of a Raft chain over on an operator's wish: POST /transfer-leadership."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from aiohttp import web
from msgspec import Meta

from medquorum.encoding import from_hex
from node.limits import WAIT_SECONDS_MAX
from node.ops.asked import asked
from node.rpc.errors import wrong_field
from node.services import Services

TRANSFER_SECONDS: Final = 10.0


class TransferRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`to`: how the key of the next leader begins, hexadecimal; empty: whoever is best placed."""

    to: str = ""
    timeout: Annotated[float, Meta(gt=0, le=WAIT_SECONDS_MAX)] = TRANSFER_SECONDS


class TransferDocument(msgspec.Struct, frozen=True):
    """Who led before, and who leads now."""

    before: str
    leader: str


async def transfer(services: Services, request: web.Request) -> TransferDocument:
    """Hand over and wait until it is done. Raises RefusedError."""
    wish = await asked(request, TransferRequest, services.allowed_hosts)
    try:
        to = from_hex(wish.to)
    except ValueError as error:
        raise wrong_field("/to", "hex", f"to: {error}") from None
    handed = await services.leadership.transfer(to, wish.timeout)
    return TransferDocument(handed.before.hex(), handed.leader.hex())
