"""HTTP to one node: retries until a deadline, problems as typed errors, answers of bounded size.

Everything that this package sends can be sent twice without harm: transactions are known by the
hash of their content, reads change nothing, and vault calls are idempotent. So after a lost
connection the request is simply sent again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from secrets import randbelow
from typing import Final, TypeVar
from urllib.parse import quote, urlsplit

import aiohttp
import msgspec

from medquorum.errors import (
    AnswerError,
    ClientError,
    ProblemError,
    UnreachableError,
    VerificationError,
)
from medquorum.limits import RESPONSE_BYTES_MAX

T = TypeVar("T")
Headers = Mapping[str, str]

CHAIN_HEADER: Final = "MedQuorum-Chain-Id"
PROBLEM_TYPE: Final = "application/problem+json"
JSON_TYPE: Final = "application/json"
MSGPACK_TYPE: Final = "application/msgpack"
_STATUS_ERRORS_FROM: Final = 400
# What proxies say when the node behind them does not answer.
_GATEWAY_STATUSES: Final = frozenset({502, 503, 504})


@dataclass(frozen=True, slots=True)
class Retry:
    """How long to keep trying. Pauses double from `pause_s_min` to `pause_s_max`, each shortened at
    random by up to a half.
    """

    deadline_s: float = 30.0
    attempt_s: float = 10.0
    """Time for one attempt, beyond the time that the node was asked to wait."""
    pause_s_min: float = 0.05
    pause_s_max: float = 2.0

    def pause_s(self, attempt: int) -> float:
        """How long to wait after failed attempt number `attempt`, counted from 0."""
        longest = min(self.pause_s_max, self.pause_s_min * 2.0 ** min(attempt, 32))
        return longest * (1 - randbelow(501) / 1000)


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `sign` makes headers from the path, anew for each attempt: they carry the time.

    A signed request has no query.
    """

    method: str
    path: str
    query: Mapping[str, str]
    body: bytes = b""
    content_type: str | None = None
    wait_s: float = 0.0
    sign: Callable[[str], Headers] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer."""

    status: int
    body: bytes

    def json(self, kind: type[T]) -> T:
        """The body as a `kind`. Raises AnswerError."""
        try:
            return msgspec.json.decode(self.body, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise AnswerError(f"not what the interface promises: {error}") from None


class _Problem(msgspec.Struct):
    code: str
    detail: str = ""
    retryable: bool = False
    retry_after_ms: int | None = None
    txid: str | None = None
    oldest: int | None = None


class Connection:
    """Requests to one node. Made and closed by the client."""

    def __init__(
        self, base_url: str, session: aiohttp.ClientSession, retry: Retry, chain_id: bytes | None
    ) -> None:
        self._base = base_url.rstrip("/")
        self._session = session
        self._chain_id = chain_id
        self.retry: Final = retry

    async def send(self, request: Request) -> Answer:
        """Send until an answer comes or the deadline passes. Raises a ClientError or
        VerificationError `chain_id`.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.retry.deadline_s + request.wait_s
        attempt = 0
        while True:
            left = deadline - loop.time()
            try:
                return await self._attempt(
                    request, min(left, self.retry.attempt_s + request.wait_s)
                )
            except ClientError as error:
                pause = _pause_s(error, self.retry.pause_s(attempt))
                if pause is None or loop.time() + pause >= deadline:
                    raise
            attempt += 1
            await asyncio.sleep(pause)

    @asynccontextmanager
    async def stream(
        self, path: str, query: Mapping[str, str], headers: Headers
    ) -> AsyncIterator[aiohttp.StreamReader]:
        """One streaming answer, whose silence the caller must watch. Raises a ClientError."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self.retry.attempt_s)
        with _unreachable():
            async with self._session.get(
                self._url(path), params=query, headers=headers, timeout=timeout
            ) as response:
                await self._check(response)
                yield response.content

    async def _attempt(self, request: Request, timeout_s: float) -> Answer:
        url = self._url(request.path)
        headers = {} if request.sign is None else dict(request.sign(urlsplit(url).path))
        if request.content_type is not None:
            headers["Content-Type"] = request.content_type
        timeout = aiohttp.ClientTimeout(total=timeout_s)
        with _unreachable():
            async with self._session.request(
                request.method,
                url,
                params=request.query,
                data=request.body or None,
                headers=headers,
                timeout=timeout,
                allow_redirects=False,
            ) as response:
                await self._check(response)
                return Answer(response.status, await _read(response))

    async def _check(self, response: aiohttp.ClientResponse) -> None:
        named = response.headers.get(CHAIN_HEADER)
        if self._chain_id is not None and named not in {None, self._chain_id.hex()}:
            raise VerificationError("chain_id", "the node serves another chain")
        if response.status >= _STATUS_ERRORS_FROM:
            raise _error_of(response, await _read(response))
        if not 200 <= response.status < 300:  # noqa: PLR2004 - the class of success
            raise AnswerError(f"HTTP {response.status} where none was expected")

    def _url(self, path: str) -> str:
        return f"{self._base}/{quote(path)}"


def _pause_s(error: ClientError, pause_s: float) -> float | None:
    match error:
        case ProblemError(retryable=True):
            return max(pause_s, (error.retry_after_ms or 0) / 1000)
        case UnreachableError():
            return pause_s
        case _:
            return None


@contextmanager
def _unreachable() -> Iterator[None]:
    try:
        yield
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise UnreachableError(f"no answer: {str(error) or type(error).__name__}") from error


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > RESPONSE_BYTES_MAX:
            raise AnswerError(f"an answer of more than {RESPONSE_BYTES_MAX} bytes")
    return bytes(body)


def _error_of(response: aiohttp.ClientResponse, body: bytes) -> ClientError:
    if response.content_type == PROBLEM_TYPE:
        try:
            problem = msgspec.json.decode(body, type=_Problem)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return AnswerError(f"HTTP {response.status} with a problem that cannot be read")
        return ProblemError(
            status=response.status,
            code=problem.code,
            detail=problem.detail,
            retryable=problem.retryable,
            retry_after_ms=problem.retry_after_ms,
            tx_id=problem.txid,
            oldest=problem.oldest,
        )
    if response.status in _GATEWAY_STATUSES:
        return UnreachableError(f"HTTP {response.status} from something before the node")
    return AnswerError(f"HTTP {response.status} without a problem document")
