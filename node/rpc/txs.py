"""Transactions: submitting them, one or many, and asking what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Literal, TypeVar

import msgspec
from aiohttp import web
from msgspec import UNSET, Meta, UnsetType

from medquorum.encoding import from_base64url, from_hex
from medquorum.hashing import HASH_BYTES
from medquorum.transaction import TX_BYTES_MAX
from node.errors import RefusedError
from node.intake import Admission
from node.limits import BATCH_BYTES_MAX, BATCH_TXS_MAX
from node.receipts import raw_transaction, receipt_file
from node.rpc.middleware import TRACE_ID
from node.rpc.problems import ProblemDocument, document
from node.rpc.routes import (
    JSON,
    MSGPACK,
    WAIT_SECONDS,
    Answer,
    AnyRoute,
    Base64,
    Body,
    Call,
    Hex,
    Params,
    PostParams,
    Route,
    Seconds,
    answer,
)
from node.services import Services
from node.tracker import TxState, TxStatus

SUBMIT_PROBLEMS: Final = (
    "non_canonical",
    "too_large",
    "bad_signature",
    "unknown_key",
    "key_revoked",
    "wrong_chain",
    "unsupported_version",
    "expired",
    "not_yet_valid",
    "policy_denied",
    "quorum_at_risk",
    "mempool_full",
    "disk_low",
    "halted",
)

BodyT = TypeVar("BodyT", bound=msgspec.Struct)
Wait = Literal["none", "accepted", "committed"]


class SubmitParams(PostParams, frozen=True):
    """How long the submitter waits. Every answer comes after the checks, and after the transaction
    is on this node's disk; `none` and `accepted` ask for that and no more.
    """

    wait: Wait = "accepted"
    timeout: Seconds = WAIT_SECONDS


class TxParams(Params, frozen=True):
    """Whether to wait for a final state."""

    wait: Wait = "none"


class TxDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A transaction's state. The fields from `height` on are there once it stands in a block;
    `code` is "ok", or why operation `operation` was refused.
    """

    txid: Hex
    state: TxState
    height: int | UnsetType = UNSET
    index: int | UnsetType = UNSET
    code: str | UnsetType = UNSET
    operation: int | UnsetType = UNSET
    receipt_url: str | UnsetType = UNSET
    duplicate: bool | UnsetType = UNSET
    problem: ProblemDocument | UnsetType = UNSET


class SubmitBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A signed transaction."""

    tx: Base64


class BatchBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Signed transactions."""

    txs: Annotated[list[Base64], Meta(max_length=BATCH_TXS_MAX)]


class StatesBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Ids of transactions."""

    txids: Annotated[list[Hex], Meta(max_length=BATCH_TXS_MAX)]


class StatesDocument(msgspec.Struct, frozen=True):
    """Where each stands, in the order of the ids."""

    results: list[TxDocument]


class BatchDocument(msgspec.Struct, frozen=True):
    """What became of each, in the order of the batch. A refused one carries its `problem`."""

    results: list[TxDocument]


_RawBatch = Annotated[list[bytes], Meta(max_length=BATCH_TXS_MAX)]
_batch_raw: Final[msgspec.msgpack.Decoder[list[bytes]]] = msgspec.msgpack.Decoder(_RawBatch)


async def submit(call: Call[SubmitParams]) -> web.StreamResponse:
    """Admit one transaction and answer with where it stands after the wait."""
    check_open(call.services)
    raw = call.body if call.media == MSGPACK else _decode_one(call.body)
    admission = (await call.services.intake.submit([raw], local=True))[0]
    if admission.refusal is not None:
        call.services.metrics.rejected(admission.refusal.code)
        raise admission.refusal
    tracker = call.services.tracker
    if not admission.duplicate:
        tracker.submitted([admission.tx_id])
    status = await _after(call.services, admission.tx_id, call.params)
    headers = {}
    if admission.duplicate:
        code = 200
    elif status.executed:
        code = 201
    else:
        code = 202
        headers["Location"] = f"/v1/txs/{status.tx_id.hex()}"
    return answer(
        shown(status, duplicate=admission.duplicate or UNSET), status=code, headers=headers
    )


async def _after(services: Services, tx_id: bytes, params: SubmitParams) -> TxStatus:
    if params.wait == "committed":
        try:
            return await services.tracker.wait(tx_id, params.timeout)
        except RefusedError:
            # It is admitted all the same: too many other waits are no reason to call it refused.
            return await services.tracker.status(tx_id)
    return await services.tracker.status(tx_id)


async def submit_batch(call: Call[PostParams]) -> web.StreamResponse:
    """Admit many transactions. Each succeeds or fails on its own."""
    check_open(call.services)
    raws = await call.services.readers.run(_decode_batch, call.body, call.media)
    admissions = await call.services.intake.submit(raws, local=True) if raws else []
    for admission in admissions:
        if admission.refusal is not None:
            call.services.metrics.rejected(admission.refusal.code)
    if admissions and all(admission.may_succeed_later for admission in admissions):
        # One refusal with its status and Retry-After, not a thousand documents that say the same.
        raise _same_for_all(admissions)
    tracker = call.services.tracker
    tracker.submitted(a.tx_id for a in admissions if a.refusal is None and not a.duplicate)
    statuses = await tracker.statuses([a.tx_id for a in admissions if a.refusal is None])
    known = iter(statuses)
    trace_id = call.request[TRACE_ID]
    results = [
        shown(next(known), duplicate=admission.duplicate or UNSET)
        if admission.refusal is None
        else _refused(admission, admission.refusal, trace_id)
        for admission in admissions
    ]
    return answer(BatchDocument(results))


def _same_for_all(admissions: Sequence[Admission]) -> RefusedError:
    refusals = [admission.refusal for admission in admissions if admission.refusal is not None]
    worst = max(refusals, key=lambda refusal: refusal.retry_after_ms)
    return RefusedError(worst.code, worst.detail, retry_after_ms=worst.retry_after_ms)


def _refused(admission: Admission, refusal: RefusedError, trace_id: str) -> TxDocument:
    state = TxState.EXPIRED if refusal.code == "expired" else TxState.UNKNOWN
    return TxDocument(txid=admission.tx_id.hex(), state=state, problem=document(refusal, trace_id))


async def get_tx(call: Call[TxParams]) -> web.StreamResponse:
    """Where a transaction stands; `unknown` is an answer, not an error."""
    tx_id = call.path_bytes("txid", HASH_BYTES)
    tracker = call.services.tracker
    if call.params.wait == "committed":
        return answer(shown(await tracker.wait(tx_id, call.params.timeout)))
    return answer(shown(await tracker.status(tx_id)))


async def get_states(call: Call[PostParams]) -> web.StreamResponse:
    """Where many transactions stand."""
    try:
        tx_ids = [from_hex(text, size=HASH_BYTES) for text in _parse(call.body, StatesBody).txids]
    except ValueError as error:
        raise RefusedError("malformed", f"an id: {error}") from None
    statuses = await call.services.tracker.statuses(tx_ids)
    return answer(StatesDocument([shown(status) for status in statuses]))


async def get_receipt(call: Call[Params]) -> web.StreamResponse:
    """The file that proves what became of a transaction."""
    tx_id = call.path_bytes("txid", HASH_BYTES)
    services = call.services
    receipt = await services.readers.brief(
        receipt_file, services.chain.blocks, tx_id, services.receipts
    )
    if receipt is None:
        raise _not_found(tx_id, "the transaction stands in no block of this node")
    name = f'attachment; filename="{tx_id.hex()}.receipt.json"'
    return web.Response(body=receipt, content_type=JSON, headers={"Content-Disposition": name})


async def get_raw(call: Call[Params]) -> web.StreamResponse:
    """The transaction as it was signed."""
    tx_id = call.path_bytes("txid", HASH_BYTES)
    services = call.services
    pending = services.pool.get(tx_id)
    if pending is not None:
        return web.Response(body=pending.raw, content_type=MSGPACK)
    raw = await services.readers.run(raw_transaction, services.chain.blocks, tx_id)
    if raw is None:
        raise _not_found(tx_id, "the transaction is not known here")
    return web.Response(body=raw, content_type=MSGPACK)


def check_open(services: Services) -> None:
    """What every request that brings work must pass. Raise RefusedError if this node takes no
    transactions: it has stopped, or its disk is low.
    """
    halted = services.halted()
    if halted is not None:
        raise RefusedError("halted", "this node has stopped taking part; see its log")
    if services.disk.refuses:
        raise RefusedError("disk_low", "this node's disk is nearly full", retry_after_ms=60_000)


def shown(status: TxStatus, *, duplicate: bool | UnsetType = UNSET) -> TxDocument:
    """A state as JSON."""
    txid = status.tx_id.hex()
    if not status.executed:
        return TxDocument(txid=txid, state=status.state, duplicate=duplicate)
    return TxDocument(
        txid=txid,
        state=status.state,
        height=status.height,
        index=status.index,
        code=status.code,
        operation=status.operation,
        receipt_url=f"/v1/txs/{txid}/receipt",
        duplicate=duplicate,
    )


def _not_found(tx_id: bytes, detail: str) -> RefusedError:
    return RefusedError("not_found", detail, tx_id=tx_id)


def _decode_one(body: bytes) -> bytes:
    return _raws([_parse(body, SubmitBody).tx])[0]


def _decode_batch(body: bytes, media: str) -> Sequence[bytes]:
    if media != MSGPACK:
        return _raws(_parse(body, BatchBody).txs)
    try:
        return _batch_raw.decode(body)
    except msgspec.DecodeError as error:
        raise RefusedError("malformed", f"not an array of byte strings: {error}") from None


def _parse(body: bytes, kind: type[BodyT]) -> BodyT:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RefusedError("malformed", str(error)) from None


def _raws(texts: Sequence[str]) -> list[bytes]:
    try:
        return [from_base64url(text) for text in texts]
    except ValueError:
        raise RefusedError("malformed", "a transaction is not unpadded base64url") from None


_TXID: Final = {"txid": "The id of the transaction, hexadecimal."}
# Base64 in JSON takes four bytes for three.
_SUBMIT_BODY: Final = Body(TX_BYTES_MAX * 4 // 3, {MSGPACK: None, JSON: SubmitBody})
_BATCH_BODY: Final = Body(
    BATCH_BYTES_MAX * 4 // 3 + 8 * BATCH_TXS_MAX, {MSGPACK: list[bytes], JSON: BatchBody}
)
_STATES_BODY: Final = Body(BATCH_TXS_MAX * (2 * HASH_BYTES + 4), {JSON: StatesBody})

ROUTES: Final[tuple[AnyRoute, ...]] = (
    Route(
        method="POST",
        path="/v1/txs",
        name="submitTransaction",
        tag="transactions",
        summary="Submit a signed transaction. Sending it again is harmless.",
        params=SubmitParams,
        handle=submit,
        answers={
            200: Answer("It was known already", TxDocument),
            201: Answer("It stands in a block", TxDocument),
            202: Answer("It is pending; ask again at Location", TxDocument),
        },
        problems=SUBMIT_PROBLEMS,
        body=_SUBMIT_BODY,
    ),
    Route(
        method="POST",
        path="/v1/txs/batch",
        name="submitTransactions",
        tag="transactions",
        summary="Submit many signed transactions. Each is admitted or refused on its own.",
        params=PostParams,
        handle=submit_batch,
        answers={200: Answer("What became of each", BatchDocument)},
        problems=("mempool_full", "disk_low", "halted"),
        body=_BATCH_BODY,
    ),
    Route(
        method="POST",
        path="/v1/txs/states",
        name="getTransactionStates",
        tag="transactions",
        summary="Where many transactions stand.",
        params=PostParams,
        handle=get_states,
        answers={200: Answer("The state of each", StatesDocument)},
        body=_STATES_BODY,
    ),
    Route(
        method="GET",
        path="/v1/txs/{txid}",
        name="getTransaction",
        tag="transactions",
        summary="Where a transaction stands.",
        params=TxParams,
        handle=get_tx,
        answers={200: Answer("Its state", TxDocument)},
        path_help=_TXID,
    ),
    Route(
        method="GET",
        path="/v1/txs/{txid}/receipt",
        name="getReceipt",
        tag="transactions",
        summary="One file that proves what became of a transaction, verified without a node.",
        params=Params,
        handle=get_receipt,
        answers={200: Answer("The receipt (docs/spec/receipt.md)", dict[str, object])},
        problems=("not_found", "pruned"),
        path_help=_TXID,
    ),
    Route(
        method="GET",
        path="/v1/txs/{txid}/raw",
        name="getRawTransaction",
        tag="transactions",
        summary="The transaction as it was signed.",
        params=Params,
        handle=get_raw,
        answers={200: Answer("Its bytes", media=MSGPACK)},
        problems=("not_found", "pruned"),
        path_help=_TXID,
    ),
)
