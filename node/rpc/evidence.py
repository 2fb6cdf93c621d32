"""Validators that contradicted themselves, as far as this node can prove it."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from aiohttp import web
from msgspec import Meta

from medquorum.codec import encode
from medquorum.encoding import from_hex, to_base64url
from medquorum.evidence import Accusation, Evidence, Statement
from medquorum.hashing import HASH_BYTES
from node.errors import RefusedError
from node.evidence.files import evidence_file
from node.limits import PAGE_DEFAULT, PAGE_MAX
from node.rpc.errors import HeightError, wrong_field
from node.rpc.routes import JSON, Answer, AnyRoute, Base64, Call, Hex, Params, Route, answer


class EvidenceParams(Params, frozen=True):
    """A page of evidence, by height: after the id of the last piece of the page before, against one
    validator or all.
    """

    after: str = ""
    validator: str = ""
    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX)] = PAGE_DEFAULT


class StatementDocument(msgspec.Struct, frozen=True):
    """What the validator said: `tag` X a proposal, P a PREPARE, C a COMMIT, R a wish for a round or
    a ballot, A an acknowledgement; `payload` what it signed beside height and round.
    """

    tag: str
    round: int
    payload: list[Hex | int]
    signature: Hex


class EvidenceDocument(msgspec.Struct, frozen=True):
    """Two statements that `validator` signed at `height` and no correct one signs both. `raw` is
    what a proposal to suspend it carries.
    """

    id: Hex
    validator: Hex
    kind: str
    height: int
    votes_today: bool
    first: StatementDocument
    second: StatementDocument
    raw: Base64


class EvidencePageDocument(msgspec.Struct, frozen=True):
    """A page of evidence. `next` goes on after it; empty if this is the last one."""

    total: int
    evidence: list[EvidenceDocument]
    next: Hex


async def list_evidence(call: Call[EvidenceParams]) -> web.StreamResponse:
    """A page of what this node holds."""
    params, book = call.params, call.services.evidence
    items = book.items()
    if params.after != "":
        known = book.get(_hex("after", params.after, HASH_BYTES))
        if known is None:
            raise RefusedError("not_found", "this node holds no evidence of the id 'after'")
        items = items[items.index(known) + 1 :]
    if params.validator != "":
        wanted = _hex("validator", params.validator)
        items = [item for item in items if item[0].validator == wanted]
    page = items[: params.limit]
    more = len(items) > len(page)
    shown = [_document(call, accusation, evidence) for accusation, evidence in page]
    return answer(EvidencePageDocument(len(book), shown, shown[-1].id if more else ""))


async def get_evidence(call: Call[Params]) -> web.StreamResponse:
    """One piece."""
    accusation, evidence = _found(call)
    return answer(_document(call, accusation, evidence))


async def get_evidence_file(call: Call[Params]) -> web.StreamResponse:
    """One piece as a file that convicts without a node."""
    _, evidence = _found(call)
    services = call.services
    data = await services.readers.run(evidence_file, services.chain.blocks, evidence)
    if data is None:
        detail = "this node does not keep the block below; another one does"
        raise HeightError("pruned", detail, evidence.height - 1)
    name = f'attachment; filename="{evidence.id().hex()}.evidence.json"'
    return web.Response(body=data, content_type=JSON, headers={"Content-Disposition": name})


def _found(call: Call[Params]) -> tuple[Accusation, Evidence]:
    found = call.services.evidence.get(call.path_bytes("id", HASH_BYTES))
    if found is None:
        raise RefusedError("not_found", "this node holds no such evidence")
    return found


def _document(
    call: Call[EvidenceParams] | Call[Params], accusation: Accusation, evidence: Evidence
) -> EvidenceDocument:
    members = call.services.chain.tip.validators.validators
    return EvidenceDocument(
        id=evidence.id().hex(),
        validator=accusation.validator.hex(),
        kind=accusation.kind.value,
        height=accusation.height,
        votes_today=any(member.key == accusation.validator for member in members),
        first=_said(evidence.first),
        second=_said(evidence.second),
        raw=to_base64url(encode(evidence)),
    )


def _said(statement: Statement) -> StatementDocument:
    return StatementDocument(
        statement.tag,
        statement.round,
        [part.hex() if isinstance(part, bytes) else part for part in statement.payload],
        statement.signature.hex(),
    )


def _hex(name: str, text: str, size: int | None = None) -> bytes:
    try:
        return from_hex(text, size=size)
    except ValueError as error:
        raise wrong_field(f"/{name}", "hex", f"{name}: {error}") from None


_ID: Final = {"id": "The id of the evidence, hexadecimal."}

ROUTES: Final[tuple[AnyRoute, ...]] = (
    Route(
        method="GET",
        path="/v1/evidence",
        name="listEvidence",
        tag="chain",
        summary="Validators that contradicted themselves, as this node can prove.",
        params=EvidenceParams,
        handle=list_evidence,
        answers={200: Answer("A page of evidence", EvidencePageDocument)},
        problems=("not_found",),
    ),
    Route(
        method="GET",
        path="/v1/evidence/{id}",
        name="getEvidence",
        tag="chain",
        summary="One piece of evidence.",
        params=Params,
        handle=get_evidence,
        answers={200: Answer("The evidence", EvidenceDocument)},
        problems=("not_found",),
        path_help=_ID,
    ),
    Route(
        method="GET",
        path="/v1/evidence/{id}/file",
        name="getEvidenceFile",
        tag="chain",
        summary="One file that convicts a validator, verified without a node.",
        params=Params,
        handle=get_evidence_file,
        answers={200: Answer("The file (docs/spec/evidence.md)", dict[str, object])},
        problems=("not_found", "pruned"),
        path_help=_ID,
    ),
)
