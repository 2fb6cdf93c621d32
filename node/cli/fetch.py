"""One request to a node for what is only shown: no retries, and none of the client's imports."""

from __future__ import annotations

from typing import Final, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import Request, urlopen

import click
import msgspec

from node.cli.exits import Ended, Exit

T = TypeVar("T")

_ANSWER_BYTES_MAX: Final = 16 * 1024 * 1024
_RETRYABLE_FROM: Final = 500


class _Problem(msgspec.Struct):
    code: str
    detail: str = ""


class RefusedEnd(Ended):
    """A node refused; `problem` is the code that it gave, or empty."""

    def __init__(self, code: Exit, message: str, problem: str) -> None:
        super().__init__(code, message)
        self.problem = problem


def get(
    rpc: str, path: str, query: dict[str, str] | None = None, *, timeout_s: float = 10.0
) -> bytes:
    """The body of a successful answer. Ends the command with TEMPORARY if there is none, and with
    NO if the node refuses.
    """
    suffix = f"?{urlencode(query)}" if query else ""
    return _answered(Request(_url(rpc, path, "--rpc") + suffix), timeout_s)  # noqa: S310 - by _url


def post_json(kind: type[T], ops: str, path: str, value: object, *, timeout_s: float = 10.0) -> T:
    """The same for something that a node is told to do, on its operators' port."""
    request = Request(  # noqa: S310 - _url has checked the scheme
        _url(ops, path, "--ops"),
        data=msgspec.json.encode(value),
        headers={"Content-Type": "application/json"},
        method="POST",
    )
    return _decoded(kind, ops, _answered(request, timeout_s))


def _url(base: str, path: str, option: str) -> str:
    if urlsplit(base).scheme not in {"http", "https"}:
        raise click.BadParameter(f"{base} is not an http(s) address", param_hint=option)
    return f"{base.rstrip('/')}/{path}"


def _answered(request: Request, timeout_s: float) -> bytes:
    url = request.full_url
    try:
        with urlopen(request, timeout=timeout_s) as answer:  # noqa: S310 - _url checked the scheme
            body: bytes = answer.read(_ANSWER_BYTES_MAX)
    except HTTPError as error:
        with error:
            found = _refusal(error.read(_ANSWER_BYTES_MAX))
        code = Exit.TEMPORARY if error.code >= _RETRYABLE_FROM else Exit.NO
        problem = "" if found is None else found.code
        told = "" if found is None else f", {found.code}: {found.detail}"
        raise RefusedEnd(code, f"{url}: HTTP {error.code}{told}", problem) from None
    except URLError as error:
        raise Ended(Exit.TEMPORARY, f"{url}: no answer ({error.reason})") from None
    except (OSError, ValueError) as error:
        raise Ended(Exit.TEMPORARY, f"{url}: no answer ({error})") from None
    return body


def get_json(
    kind: type[T],
    rpc: str,
    path: str,
    query: dict[str, str] | None = None,
    *,
    timeout_s: float = 10.0,
) -> T:
    """The answer as a `kind`. Ends the command with CONFIG if it is none."""
    return _decoded(kind, rpc, get(rpc, path, query, timeout_s=timeout_s))


def _decoded(kind: type[T], base: str, body: bytes) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Ended(Exit.CONFIG, f"{base} answers, but not as a node does") from None


def _refusal(body: bytes) -> _Problem | None:
    try:
        return msgspec.json.decode(body, type=_Problem)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
