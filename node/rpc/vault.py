"""The vault: handing records in, and taking them out under consent. Its requests are signed."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from aiohttp import web
from msgspec import Meta

from medquorum.codec import decode_plain
from medquorum.encoding import from_hex, to_base64url
from medquorum.errors import DecodeError, VerificationError
from medquorum.hashing import HASH_BYTES
from medquorum.limits import ENVELOPE_BYTES_MAX
from medquorum.request import verify_request
from medquorum.vault import CIPHERTEXT_BYTES_MAX
from node.errors import RefusedError
from node.limits import VAULT_RELEASE_RECORDS_MAX
from node.rpc.errors import wrong_field
from node.rpc.limits import BODY_BYTES_MAX
from node.rpc.routes import (
    JSON,
    MSGPACK,
    Answer,
    AnyRoute,
    Base64,
    Body,
    Call,
    Hex,
    Params,
    ParamsT,
    PostParams,
    Route,
    answer,
)
from node.rpc.txs import check_open
from node.services import Vault
from node.vault.model import Release

_PARTS: Final = 2
_VERSION_MAX: Final = 2**32 - 1
_UPLOAD_BYTES_MAX: Final = CIPHERTEXT_BYTES_MAX + ENVELOPE_BYTES_MAX


class KemDocument(msgspec.Struct, frozen=True):
    """The gateway's key, to which records that are handed in are wrapped. Compare it with the one
    on the ledger.
    """

    kem_public: Hex


class UploadDocument(msgspec.Struct, frozen=True):
    """What is kept: the hash of the ciphertext."""

    blob: Hex


class ReleaseBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An access request that is on the ledger, and the records that are wanted under it."""

    req_id: Hex
    rec_ids: Annotated[list[Hex], Meta(min_length=1, max_length=VAULT_RELEASE_RECORDS_MAX)]


class ReleasedDocument(msgspec.Struct, frozen=True):
    """A version of a record, sealed; `envelope` opens with the requester's key for this request."""

    rec_id: Hex
    version: int
    envelope: Base64
    ciphertext: Base64


class ReleaseDocument(msgspec.Struct, frozen=True):
    """What was released, and the transaction that logged it before."""

    log_txid: Hex
    height: int
    records: list[ReleasedDocument]


async def put_record(call: Call[PostParams]) -> web.StreamResponse:
    """Hand in a sealed version of a record."""
    vault = _vault(call)
    check_open(call.services)
    rec_id = call.path_bytes("rec_id", HASH_BYTES)
    version = call.path_int("version")
    if not 1 <= version <= _VERSION_MAX:
        raise wrong_field("/version", "range", "versions begin with 1")
    caller = await _caller(call)
    ciphertext, envelope = _decode_upload(call.body)
    blob = await vault.keep(caller, rec_id, version, ciphertext, envelope)
    return answer(UploadDocument(blob.hex()), status=201)


async def release(call: Call[PostParams]) -> web.StreamResponse:
    """Take records out."""
    vault = _vault(call)
    check_open(call.services)
    caller = await _caller(call)
    req_id, rec_ids = _decode_release(call.body)
    released = await vault.release(caller, req_id, rec_ids)
    body = await call.services.readers.run(_encode, released)
    return web.Response(body=body, content_type=JSON)


async def get_kem(call: Call[Params]) -> web.StreamResponse:
    """The gateway's key."""
    return answer(KemDocument(_vault(call).kem_public.hex()))


def _vault(call: Call[ParamsT]) -> Vault:
    if call.services.vault is None:
        raise RefusedError("not_found", "this node keeps no records")
    return call.services.vault


async def _caller(call: Call[PostParams]) -> bytes:
    """The key that signed the request. What it may do is for the gateway to say."""
    services = call.services

    def verify() -> bytes:
        return verify_request(
            call.request.headers,
            chain_id=services.chain.chain_id,
            method=call.request.method,
            path=call.request.raw_path,
            body=call.body,
            now_ms=services.now_ms(),
        )

    try:
        # Hashing a body of megabytes takes longer than the event loop may wait.
        return await services.readers.run(verify)
    except VerificationError as error:
        raise RefusedError("bad_signature", f"{error.reason}: {error.detail}") from None


def _decode_upload(body: bytes) -> tuple[bytes, bytes]:
    try:
        parts = decode_plain(body, size_max=len(body))
    except DecodeError as error:
        raise RefusedError(error.code, str(error)) from None
    match parts:
        case [bytes() as ciphertext, bytes() as envelope]:
            return ciphertext, envelope
        case _:
            raise RefusedError("malformed", "the body is [ciphertext, custodian envelope]")


def _decode_release(body: bytes) -> tuple[bytes, list[bytes]]:
    try:
        asked = msgspec.json.decode(body, type=ReleaseBody)
        rec_ids = [from_hex(rec_id, size=HASH_BYTES) for rec_id in asked.rec_ids]
        return from_hex(asked.req_id, size=HASH_BYTES), rec_ids
    except (msgspec.DecodeError, ValueError) as error:
        raise RefusedError("malformed", str(error)) from None


def _encode(released: Release) -> bytes:
    records = [
        ReleasedDocument(
            record.rec_id.hex(),
            record.version,
            to_base64url(record.envelope),
            to_base64url(record.ciphertext),
        )
        for record in released.records
    ]
    return msgspec.json.encode(ReleaseDocument(released.log_tx_id.hex(), released.height, records))


_VAULT_PROBLEMS: Final = ("too_large", "disk_low", "halted", "mempool_full")

ROUTES: Final[tuple[AnyRoute, ...]] = (
    Route(
        method="PUT",
        path="/v1/vault/records/{rec_id}/{version}",
        name="putRecord",
        tag="vault",
        summary="Hand in a sealed version of a record. Signed by the hospital's staff or systems.",
        params=PostParams,
        handle=put_record,
        answers={201: Answer("It is kept", UploadDocument)},
        problems=(*_VAULT_PROBLEMS, "non_canonical"),
        body=Body(_UPLOAD_BYTES_MAX, {MSGPACK: None}),
        signed=True,
        path_help={"rec_id": "The record, hexadecimal.", "version": "Its version, from 1."},
    ),
    Route(
        method="POST",
        path="/v1/vault/release",
        name="releaseRecords",
        tag="vault",
        summary="Take records out, once the ledger has logged it. Signed by who asked for access.",
        params=PostParams,
        handle=release,
        answers={200: Answer("The records, sealed", ReleaseDocument)},
        problems=(*_VAULT_PROBLEMS, "consent_missing"),
        body=Body(BODY_BYTES_MAX, {JSON: ReleaseBody}),
        signed=True,
    ),
    Route(
        method="GET",
        path="/v1/vault/kem",
        name="getVaultKey",
        tag="vault",
        summary="The key to which records that are handed in are wrapped.",
        params=Params,
        handle=get_kem,
        answers={200: Answer("The key", KemDocument)},
        problems=("not_found",),
    ),
)
