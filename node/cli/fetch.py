"""One GET of a node's API for what is only shown: no retries, and none of the client's imports."""

from __future__ import annotations

from typing import Final, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import urlopen

import click
import msgspec

from node.cli.exits import Ended, Exit

T = TypeVar("T")

_ANSWER_BYTES_MAX: Final = 16 * 1024 * 1024
_RETRYABLE_FROM: Final = 500


class _Problem(msgspec.Struct):
    code: str
    detail: str = ""


def get(
    rpc: str, path: str, query: dict[str, str] | None = None, *, timeout_s: float = 10.0
) -> bytes:
    """The body of a successful answer. Ends the command with TEMPORARY if there is none, and with
    NO if the node refuses.
    """
    if urlsplit(rpc).scheme not in {"http", "https"}:
        raise click.BadParameter(f"{rpc} is not an http(s) address", param_hint="--rpc")
    url = f"{rpc.rstrip('/')}/{path}" + (f"?{urlencode(query)}" if query else "")
    try:
        with urlopen(url, timeout=timeout_s) as answer:  # noqa: S310 - the scheme is checked above
            body: bytes = answer.read(_ANSWER_BYTES_MAX)
    except HTTPError as error:
        with error:
            refusal = _refusal(error.read(_ANSWER_BYTES_MAX))
        code = Exit.TEMPORARY if error.code >= _RETRYABLE_FROM else Exit.NO
        raise Ended(code, f"{url}: HTTP {error.code}{refusal}") from None
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
    body = get(rpc, path, query, timeout_s=timeout_s)
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Ended(Exit.CONFIG, f"{rpc} answers, but not as a node does") from None


def _refusal(body: bytes) -> str:
    try:
        problem = msgspec.json.decode(body, type=_Problem)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    return f", {problem.code}: {problem.detail}"
