"""Hands the leadership of a Raft chain over on an operator's wish: POST /transfer-leadership.

It changes who leads, so a page in the operator's browser must not be able to ask for it: the body
has to be JSON, which no other origin may send unasked, and the Host an address or a name of ours,
which no page that was rebound to us can send.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated, Final
from urllib.parse import urlsplit

import msgspec
from aiohttp import web
from msgspec import Meta

from medquorum.encoding import from_hex
from node.errors import RefusedError
from node.limits import WAIT_SECONDS_MAX
from node.rpc.errors import wrong_field
from node.rpc.middleware import host_allowed
from node.rpc.routes import JSON
from node.services import Services

BODY_BYTES_MAX: Final = 1024
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
    _check_host(request, services.allowed_hosts)
    if request.content_type != JSON:
        raise RefusedError("unsupported_media_type", f"the body has to be {JSON}")
    data = await request.content.read(BODY_BYTES_MAX + 1)
    if len(data) > BODY_BYTES_MAX:
        raise RefusedError("too_large", "the body is too large")
    try:
        wish = msgspec.json.decode(data, type=TransferRequest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RefusedError("malformed", str(error)) from None
    try:
        to = from_hex(wish.to)
    except ValueError as error:
        raise wrong_field("/to", "hex", f"to: {error}") from None
    handed = await services.leadership.transfer(to, wish.timeout)
    return TransferDocument(handed.before.hex(), handed.leader.hex())


def _check_host(request: web.Request, allowed_hosts: tuple[str, ...]) -> None:
    header = request.headers.get("Host", "")
    allowed = frozenset(host.lower() for host in allowed_hosts)
    if not host_allowed(header, allowed) and not _is_address(header):
        raise RefusedError("policy_denied", "this node is not called by that host name")


def _is_address(header: str) -> bool:
    try:
        ip_address(urlsplit(f"//{header}").hostname or "")
    except ValueError:
        return False
    return True
