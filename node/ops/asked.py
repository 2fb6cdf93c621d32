"""What an operator asks a node to do, as opposed to what they look at: POST with JSON.

It changes something, so a page in the operator's browser must not be able to ask for it: the body
has to be JSON, which no other origin may send unasked, and the Host an address or a name of ours,
which no page that was rebound to us can send.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final, TypeVar
from urllib.parse import urlsplit

import msgspec
from aiohttp import web

from node.errors import RefusedError
from node.rpc.middleware import host_allowed
from node.rpc.routes import JSON

BODY_BYTES_MAX: Final = 1024

T = TypeVar("T")


async def asked(request: web.Request, kind: type[T], allowed_hosts: tuple[str, ...]) -> T:
    """The wish in the body. Raises RefusedError."""
    _check_host(request, allowed_hosts)
    if request.content_type != JSON:
        raise RefusedError("unsupported_media_type", f"the body has to be {JSON}")
    data = await request.content.read(BODY_BYTES_MAX + 1)
    if len(data) > BODY_BYTES_MAX:
        raise RefusedError("too_large", "the body is too large")
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RefusedError("malformed", str(error)) from None


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
