"""Content types in and out, and bodies that are never larger than their limit."""

from __future__ import annotations

from aiohttp import web

from node.errors import RefusedError
from node.rpc.errors import NotAcceptableError
from node.rpc.limits import BODY_BYTES_OVERHEAD
from node.rpc.problems import PROBLEM_TYPE
from node.rpc.routes import AnyRoute

_ACCEPT_PARTS_MAX = 32


def check_accept(request: web.Request, route: AnyRoute) -> None:
    """Raise NotAcceptableError unless the client takes what the route answers with."""
    header = request.headers.get("Accept", "")
    if header in ("*/*", "") or header.strip() == "":
        return
    offered = {one.media for one in route.answers.values()} | {PROBLEM_TYPE}
    wanted = header.split(",")[:_ACCEPT_PARTS_MAX]
    if not any(_matches(part, media) for part in wanted for media in offered):
        raise NotAcceptableError(f"this answers with {', '.join(sorted(offered))}")


def _matches(part: str, media: str) -> bool:
    kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
    if any(_is_zero(parameter) for parameter in parameters):
        return False
    return kind in ("*/*", media, media.split("/", 1)[0] + "/*")


def _is_zero(parameter: str) -> bool:
    return parameter.startswith("q=") and parameter[2:].strip("0.") == ""


async def read_body(request: web.Request, route: AnyRoute) -> tuple[bytes, str]:
    """The body and its content type, within the route's limit.

    The declared length is checked before a byte is read, the real one while reading. Raises
    RefusedError: `unsupported_media_type`, `too_large`, `malformed`.
    """
    if route.body is None:
        if request.body_exists:
            raise RefusedError("malformed", "this request has no body")
        return b"", ""
    media = request.content_type
    if media not in route.body.media or "Content-Type" not in request.headers:
        accepted = " or ".join(route.body.media)
        raise RefusedError("unsupported_media_type", f"the body must be {accepted}")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise RefusedError("unsupported_media_type", "bodies are not compressed")
    size_max = route.body.bytes_max + BODY_BYTES_OVERHEAD
    if (request.content_length or 0) > size_max:
        raise RefusedError("too_large", f"the body has more than {size_max} bytes")
    parts: list[bytes] = []
    size = 0
    async for part in request.content.iter_any():
        size += len(part)
        if size > size_max:
            raise RefusedError("too_large", f"the body has more than {size_max} bytes")
        parts.append(part)
    return b"".join(parts), media
