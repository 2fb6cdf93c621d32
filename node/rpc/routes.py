"""How a route is declared. Serving it and describing it (openapi.py) read the same declaration, so
the two cannot disagree.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Generic, Literal, TypeVar

import msgspec
from aiohttp import web
from msgspec import Meta

from medquorum.codec import INT_MAX
from medquorum.encoding import from_hex
from node.limits import WAIT_SECONDS_MAX
from node.rpc.errors import wrong_field
from node.services import Services

JSON: Final = "application/json"
MSGPACK: Final = "application/msgpack"
EVENT_STREAM: Final = "text/event-stream"
WAIT_SECONDS: Final = 10.0
DIGITS_MAX: Final = len(str(INT_MAX))

Hex = Annotated[str, Meta(pattern="^([0-9a-f]{2})*$", description="Bytes, lower-case hexadecimal.")]
Base64 = Annotated[
    str, Meta(pattern="^[A-Za-z0-9_-]*$", description="Bytes, base64url without padding.")
]
Seconds = Annotated[float, Meta(ge=0, le=WAIT_SECONDS_MAX, description="How long to wait.")]
HeightParam = Annotated[int, Meta(ge=0, le=INT_MAX)]


class Params(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The query parameters that every GET takes. `min_height`: answer only once this node has
    committed that height, for readers who must see their own writes. `consistency`: `linearizable`
    answers only once this node has committed everything that was decided anywhere when it was
    asked; `local` is what it has.
    """

    min_height: HeightParam = 0
    consistency: Literal["local", "linearizable"] = "local"
    timeout: Seconds = WAIT_SECONDS


class PostParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """No query parameters."""


ParamsT = TypeVar("ParamsT", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Call(Generic[ParamsT]):
    """A request whose form is checked. `media` is the content type of `body`, empty without one."""

    request: web.Request
    services: Services
    params: ParamsT
    body: bytes = b""
    media: str = ""

    def path(self, name: str) -> str:
        """A part of the path."""
        return self.request.match_info[name]

    def path_bytes(self, name: str, size: int | None = None) -> bytes:
        """A part of the path that is hexadecimal. Raises FieldsError."""
        try:
            return from_hex(self.path(name), size=size)
        except ValueError as error:
            raise wrong_field(f"/{name}", "hex", f"{name}: {error}") from None

    def path_int(self, name: str) -> int:
        """A part of the path that is a number below 2^53. Raises FieldsError."""
        text = self.path(name)
        if not (text.isascii() and text.isdigit()) or len(text) > DIGITS_MAX or int(text) > INT_MAX:
            raise wrong_field(f"/{name}", "integer", f"{name} is not a number below 2^53")
        return int(text)


@dataclass(frozen=True, slots=True)
class Answer:
    """A kind of answer: a structure as JSON, or, without one, bytes of the media type."""

    summary: str
    kind: object = None
    media: str = JSON


@dataclass(frozen=True, slots=True)
class Body:
    """What a request carries: for each content type the structure that is documented, or None for
    plain bytes. `bytes_max` is checked before anything is read.
    """

    bytes_max: int
    media: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route(Generic[ParamsT]):
    """One operation. `name` is its id in the document; `problems` are the codes that it may answer
    with, beside those that any route may (endpoint.COMMON_PROBLEMS). A stream has no end in time.
    """

    method: Literal["GET", "POST", "PUT"]
    path: str
    name: str
    tag: str
    summary: str
    params: type[ParamsT]
    handle: Callable[[Call[ParamsT]], Awaitable[web.StreamResponse]]
    answers: Mapping[int, Answer]
    problems: tuple[str, ...] = ()
    body: Body | None = None
    signed: bool = False
    stream: bool = False
    free_params: bool = False
    """The handler reads the query string itself: its parameters depend on the path."""
    path_help: Mapping[str, str] = field(default_factory=dict)


# Any stands for 'each route has parameters of its own', which Python's generics cannot say.
AnyRoute = Route[Any]


def answer(
    value: object, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """A structure as JSON."""
    return web.Response(
        status=status, body=msgspec.json.encode(value), content_type=JSON, headers=headers
    )
