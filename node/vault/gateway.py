"""The custodian's gateway: nothing leaves the vault before the ledger has recorded that it may.

    1 verify      who asks is who the request on the ledger names
    2 evaluate    consent, at the last committed height
    3 seal        the keys, for the requester and this request alone; still in memory
    4 log         rec.access.log, signed by the gateway, which says what is about to leave
    5 wait        until that is committed and succeeded; the ledger evaluates consent again
    6 compare     what the ledger recorded with what is about to leave
    7 release

A failure at any step releases nothing, and so does the death of the process: before step 7 the
requester has nothing, and what was sealed is only in memory. So a permit on the ledger may have
released nothing, but nothing was released without a permit on the ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from secrets import token_bytes
from typing import Final, Protocol, TypeVar

from medquorum.codec import encode
from medquorum.errors import KeyFormatError, VaultError
from medquorum.kem import KemKey
from medquorum.keys import SigningKey
from medquorum.limits import ENVELOPE_BYTES_MAX
from medquorum.transaction import Operation, build, sign
from medquorum.vault import CIPHERTEXT_BYTES_MAX, bind, custody, unwrap, wrap
from node.chain import Chain
from node.errors import RefusedError
from node.ledger.codes import Code
from node.ledger.context import View
from node.ledger.types.records.bodies import LogAccess
from node.ledger.types.records.rows import Released
from node.ledger.types.records.terms import Decision, DenyReason
from node.limits import VAULT_RELEASE_RECORDS_MAX
from node.reading import read_consistently
from node.services import Submitter
from node.threads import Worker
from node.tracker import TxState, TxStatus
from node.vault.consent import Case, Denial, check_upload, examine, log_entry
from node.vault.errors import DeniedError
from node.vault.limits import (
    LOG_VALID_HEIGHTS,
    LOG_WAIT_SECONDS,
    RELEASE_BYTES_MAX,
    RELEASES_MAX,
)
from node.vault.model import Release, ReleasedRecord
from node.vault.sealed import CustodyEnvelope
from node.vault.store import RecordStore
from storage.errors import DamagedBlobError, DiskFullError

R = TypeVar("R")
ENVELOPES_TAG: Final = b"medquorum/envelopes/v1\0"
_NONCE_BYTES: Final = 16


class Waiter(Protocol):
    """The tracker, as the gateway needs it."""

    async def wait(self, tx_id: bytes, timeout_s: float) -> TxStatus:
        """The final state, or the state when the time is over."""
        ...


def envelopes_hash(envelopes: Sequence[bytes]) -> bytes:
    """What a permit says about its envelopes: the hash of their hashes, in the order of its
    records.
    """
    return sha256(ENVELOPES_TAG + b"".join(sha256(one).digest() for one in envelopes)).digest()


class Gateway:
    """Lives on the event loop; disk and keys are used on `worker`, which has one thread.

    `actor` is the gateway's actor on the ledger, with the role custodian_gateway; `key` signs its
    access logs, and `kem` opens the envelopes that records are handed in with.
    """

    def __init__(
        self,
        *,
        chain: Chain,
        intake: Submitter,
        tracker: Waiter,
        store: RecordStore,
        worker: Worker,
        actor: bytes,
        key: SigningKey,
        kem: KemKey,
        wait_s: float = LOG_WAIT_SECONDS,
    ) -> None:
        self._chain = chain
        self._intake = intake
        self._tracker = tracker
        self._store = store
        self._worker = worker
        self._actor = actor
        self._key = key
        self._kem = kem
        self._wait_s = wait_s
        self._releases = 0

    @property
    def kem_public(self) -> bytes:
        """The key for which records handed in are wrapped."""
        return self._kem.public

    async def keep(
        self, caller: bytes, rec_id: bytes, version: int, ciphertext: bytes, envelope: bytes
    ) -> bytes:
        """Keep a version of a record durably; its blob id, which is its ct_hash on the ledger.

        Handing it in again is harmless. Raises RefusedError.
        """
        if len(ciphertext) > CIPHERTEXT_BYTES_MAX or len(envelope) > ENVELOPE_BYTES_MAX:
            raise RefusedError("too_large", "ciphertext or envelope is too large")
        ct_hash = await self._worker.run(_digest, ciphertext)
        await self._read(
            lambda view: check_upload(
                view, caller, self._actor, rec_id=rec_id, version=version, ct_hash=ct_hash
            )
        )
        entry = CustodyEnvelope(rec_id, version, envelope)
        try:
            return await self._worker.run(self._put, ct_hash, ciphertext, entry)
        except DiskFullError:
            raise RefusedError(
                "disk_low", "the vault's disk is full", retry_after_ms=60_000
            ) from None

    async def release(self, caller: bytes, req_id: bytes, rec_ids: Sequence[bytes]) -> Release:
        """Log the access, then hand out the records. Raises DeniedError once a denial is logged,
        and RefusedError for everything else that releases nothing.
        """
        distinct = len(set(rec_ids)) == len(rec_ids)
        if not distinct or not 1 <= len(rec_ids) <= VAULT_RELEASE_RECORDS_MAX:
            raise RefusedError(
                "schema_violation", f"name 1 to {VAULT_RELEASE_RECORDS_MAX} different records"
            )
        if self._releases >= RELEASES_MAX:
            raise RefusedError("rate_limited", "too many releases at once", retry_after_ms=1_000)
        self._releases += 1
        try:
            return await self._release(caller, req_id, rec_ids)
        finally:
            self._releases -= 1

    async def _release(self, caller: bytes, req_id: bytes, rec_ids: Sequence[bytes]) -> Release:
        case = await self._read(lambda view: examine(view, caller, self._actor, req_id, rec_ids))
        if case.denial is not None:
            raise await self._deny(case, case.denial)
        sealed = await self._worker.run(self._seal, case)
        if isinstance(sealed, Denial):
            raise await self._deny(case, sealed)
        committed = await self._log(
            LogAccess(
                req_id,
                Decision.PERMIT,
                DenyReason.NONE,
                tuple(rec_ids),
                envelopes_hash([record.envelope for record in sealed]),
            )
        )
        if committed.state is not TxState.COMMITTED:
            raise await self._not_permitted(caller, case, committed)
        await self._read(lambda view: self._compare(view, req_id, sealed))
        return Release(committed.tx_id, committed.height, tuple(sealed))

    def _put(self, ct_hash: bytes, ciphertext: bytes, entry: CustodyEnvelope) -> bytes:
        if not self._opens(entry):
            raise RefusedError("malformed", "the envelope is not wrapped to this custodian's key")
        try:
            kept = self._store.envelope(ct_hash)
        except DamagedBlobError:
            kept = None  # Handing it in again is how a damaged one is mended.
        # The first envelope that opens stays: nobody can replace a good one by a bad one later.
        if (
            kept is not None
            and self._opens(kept)
            and (kept.rec_id, kept.version)
            == (
                entry.rec_id,
                entry.version,
            )
        ):
            entry = kept
        return self._store.put(ciphertext, entry)

    def _opens(self, entry: CustodyEnvelope) -> bool:
        binding = custody(
            chain_id=self._chain.chain_id,
            rec_id=entry.rec_id,
            version=entry.version,
            recipient=self._kem.public,
        )
        try:
            unwrap(entry.envelope, self._kem, binding)
        except VaultError:
            return False
        return True

    def _seal(self, case: Case) -> list[ReleasedRecord] | Denial:
        """Wrap each record's secret to the requester, bound to this request: in memory only."""
        sealed: list[ReleasedRecord] = []
        size = 0
        for rec_id, record in case.records:
            version = record.head.version
            try:
                kept = self._store.get(record.head.ct_hash)
                if kept is None or (kept.custody.rec_id, kept.custody.version) != (rec_id, version):
                    return Denial("not_held", DenyReason.NOT_HELD)
                envelope = self._rewrap(case, rec_id, version, kept.custody.envelope)
            except (DamagedBlobError, VaultError):
                return Denial("vault_unavailable", DenyReason.VAULT_UNAVAILABLE)
            except KeyFormatError:
                return Denial("no_kem_key", DenyReason.GATEWAY_POLICY)
            size += len(kept.ciphertext)
            if size > RELEASE_BYTES_MAX:
                raise RefusedError(
                    "too_large", f"one release has at most {RELEASE_BYTES_MAX} bytes"
                )
            sealed.append(ReleasedRecord(rec_id, version, envelope, kept.ciphertext))
        return sealed

    def _rewrap(self, case: Case, rec_id: bytes, version: int, envelope: bytes) -> bytes:
        chain_id = self._chain.chain_id
        own = custody(chain_id=chain_id, rec_id=rec_id, version=version, recipient=self._kem.public)
        theirs = bind(
            chain_id=chain_id,
            context=case.req_id,
            rec_id=rec_id,
            version=version,
            recipient=case.recipient,
            purpose=case.request.purpose.value,
            expires_ms=case.request.expires_ms,
        )
        return wrap(unwrap(envelope, self._kem, own), case.recipient, theirs)

    async def _log(self, body: LogAccess) -> TxStatus:
        """Submit an access log and wait for it. Raises RefusedError if it was not admitted."""
        raw = build(
            chain_id=self._chain.chain_id,
            nonce=token_bytes(_NONCE_BYTES),
            valid_until=self._chain.tip.height + LOG_VALID_HEIGHTS,
            operations=[Operation("rec.access.log", 1, encode(body))],
            signers=[self._key.public],
        )
        transaction = sign(raw, [self._key])
        (admission,) = await self._intake.submit([transaction.raw], local=True)
        if admission.refusal is not None:
            raise admission.refusal
        return await self._tracker.wait(transaction.id, self._wait_s)

    async def _deny(self, case: Case, denial: Denial) -> DeniedError:
        """Log the denial. The requester is refused whether or not that succeeds."""
        body = LogAccess(
            case.req_id,
            Decision.DENY,
            denial.reason,
            tuple(rec_id for rec_id, _ in case.records),
            b"",
        )
        try:
            logged = await self._log(body)
        except RefusedError:
            return _denied(denial, b"")
        return _denied(denial, logged.tx_id if logged.state is TxState.COMMITTED else b"")

    async def _not_permitted(self, caller: bytes, case: Case, status: TxStatus) -> RefusedError:
        if not status.executed:
            return RefusedError(
                "not_ready",
                "the access was not logged in time, so nothing was released",
                retry_after_ms=1_000,
                tx_id=status.tx_id,
            )
        if status.code == Code.CONSENT:
            # Consent ended between our look and the block. Say so on the ledger as well.
            rec_ids = [rec_id for rec_id, _ in case.records]
            now = await self._read(
                lambda view: examine(view, caller, self._actor, case.req_id, rec_ids)
            )
            if now.denial is not None:
                return await self._deny(now, now.denial)
        code = "consent_missing" if status.code == Code.CONSENT else "policy_denied"
        detail = f"the ledger refused the access: {status.code}"
        return DeniedError(code, detail, rule=status.code, tx_id=status.tx_id)

    def _compare(self, view: View, req_id: bytes, sealed: Sequence[ReleasedRecord]) -> None:
        """Raise RefusedError unless the ledger permitted exactly what is about to leave: a record
        may have got a new version meanwhile.
        """
        entry = log_entry(view, req_id)
        expected = tuple(Released(record.rec_id, record.version) for record in sealed)
        if (
            entry is None
            or entry.decision is not Decision.PERMIT
            or entry.gateway != self._actor
            or entry.records != expected
            or entry.envelope_hash != envelopes_hash([record.envelope for record in sealed])
        ):
            raise RefusedError("policy_denied", "the records changed meanwhile; make a new request")

    async def _read(self, read: Callable[[View], R]) -> R:
        _, found = await self._worker.run(read_consistently, self._chain, read)
        return found


def _denied(denial: Denial, tx_id: bytes) -> DeniedError:
    by_consent = denial.reason in (
        DenyReason.GRANT_DENY,
        DenyReason.EXCEPTION_DENY,
        DenyReason.DEFAULT_DENY,
    )
    code = "consent_missing" if by_consent else "policy_denied"
    return DeniedError(code, f"access is denied: {denial.rule}", rule=denial.rule, tx_id=tx_id)


def _digest(data: bytes) -> bytes:
    return sha256(data).digest()
