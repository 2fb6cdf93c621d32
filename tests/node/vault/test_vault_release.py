"""Nothing leaves the vault before the ledger has recorded that it may."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from medquorum.vault import bind, open_record, unwrap
from node.errors import RefusedError
from node.intake import Admission
from node.ledger.types.records.rows import LOG, REQUESTS
from node.ledger.types.records.terms import Decision, DenyReason, RequestState
from node.tracker import TxStatus
from node.vault.errors import DeniedError
from node.vault.gateway import envelopes_hash
from tests.support.custody import DOCTOR, DOCTOR_KEM, RESOURCE, Custody, custodian
from tests.support.ledger import some_id, some_key


class InterruptedHere(Exception):  # noqa: N818 - it stands for the death of the process
    """The process dies at this point."""


def logged(case: Custody, req_id: bytes) -> tuple[RequestState, Decision | None]:
    """What the ledger says about the request."""
    state = case.node.chain.view().read("records")
    request, entry = REQUESTS.get(state, req_id), LOG.get(state, req_id)
    assert request is not None
    return request.state, None if entry is None else entry.decision


async def test_a_permitted_release_opens_for_the_requester_and_is_on_the_ledger(
    tmp_path: Path,
) -> None:
    async with custodian(tmp_path) as case:
        sealed = {name: await case.keep(name) for name in ("one", "two")}
        await case.grant()
        req_id = await case.ask()
        rec_ids = [some_id(name) for name in sealed]
        async with case.node.proposing():
            release = await case.gateway.release(DOCTOR.public, req_id, rec_ids)
        assert logged(case, req_id) == (RequestState.PERMITTED, Decision.PERMIT)
        assert case.node.chain.blocks.locate(release.log_tx_id) == (release.height, 0)
        state = case.node.chain.view().read("records")
        entry, request = LOG.get(state, req_id), REQUESTS.get(state, req_id)
        assert entry is not None
        assert request is not None
        assert entry.envelope_hash == envelopes_hash([r.envelope for r in release.records])
        for record, original in zip(release.records, sealed.values(), strict=True):
            binding = bind(
                chain_id=case.node.chain.chain_id,
                context=req_id,
                rec_id=record.rec_id,
                version=record.version,
                recipient=DOCTOR_KEM.public,
                purpose=request.purpose.value,
                expires_ms=request.expires_ms,
            )
            opened = open_record(
                record.ciphertext,
                unwrap(record.envelope, DOCTOR_KEM, binding),
                chain_id=case.node.chain.chain_id,
                rec_id=record.rec_id,
                version=record.version,
                ct_hash=original.ct_hash,
                commitment_on_chain=original.commitment,
            )
            assert opened == RESOURCE


async def test_a_denial_is_logged_and_names_its_rule(tmp_path: Path) -> None:
    async with custodian(tmp_path) as case:
        await case.keep("one")
        await case.grant()
        await case.grant(Decision.DENY)
        req_id = await case.ask()
        async with case.node.proposing():
            with pytest.raises(DeniedError) as denied:
                await case.gateway.release(DOCTOR.public, req_id, [some_id("one")])
        assert (denied.value.code, denied.value.rule) == ("consent_missing", "grant_deny")
        assert case.node.chain.blocks.locate(denied.value.tx_id) is not None
        assert logged(case, req_id) == (RequestState.DENIED, Decision.DENY)


async def test_silence_of_the_patient_is_a_denial(tmp_path: Path) -> None:
    async with custodian(tmp_path) as case:
        await case.keep("one")
        req_id = await case.ask()
        async with case.node.proposing():
            with pytest.raises(DeniedError) as denied:
                await case.gateway.release(DOCTOR.public, req_id, [some_id("one")])
        assert denied.value.rule == "default_deny"


async def test_what_is_not_in_the_vault_is_denied_as_not_held(tmp_path: Path) -> None:
    async with custodian(tmp_path) as case:
        await case.anchor("one", case.sealed("one"))
        await case.grant()
        req_id = await case.ask()
        async with case.node.proposing():
            with pytest.raises(DeniedError) as denied:
                await case.gateway.release(DOCTOR.public, req_id, [some_id("one")])
        assert (denied.value.code, denied.value.rule) == ("policy_denied", "not_held")
        entry = LOG.get(case.node.chain.view().read("records"), req_id)
        assert entry is not None
        assert entry.deny_reason is DenyReason.NOT_HELD


async def test_a_damaged_ciphertext_is_never_released(tmp_path: Path) -> None:
    async with custodian(tmp_path) as case:
        sealed = await case.keep("one")
        name = sealed.ct_hash.hex()
        (blob,) = (tmp_path / "vault" / "blobs").rglob(name)
        blob.write_bytes(b"x" + blob.read_bytes()[1:])
        await case.grant()
        req_id = await case.ask()
        async with case.node.proposing():
            with pytest.raises(DeniedError) as denied:
                await case.gateway.release(DOCTOR.public, req_id, [some_id("one")])
        assert denied.value.rule == "vault_unavailable"


class Ahead:
    """An intake that lets another transaction in just before the gateway's first: both may then
    stand in one block, the other one first.
    """

    def __init__(self, case: Custody, raw: bytes) -> None:
        self._case = case
        self._raws = [raw]

    async def submit(self, raws: Sequence[bytes], *, local: bool) -> list[Admission]:
        """Submit both."""
        first, self._raws = self._raws, []
        answers = await self._case.node.intake.submit([*first, *raws], local=local)
        assert all(answer.refusal is None for answer in answers)
        return answers[len(first) :]


async def test_a_grant_revoked_after_the_look_releases_nothing(tmp_path: Path) -> None:
    async with custodian(tmp_path) as case:
        await case.keep("one")
        await case.grant()
        req_id = await case.ask()
        gateway = case.rebuild(intake=Ahead(case, case.revocation()))
        async with case.node.proposing():
            with pytest.raises(DeniedError) as denied:
                await gateway.release(DOCTOR.public, req_id, [some_id("one")])
        assert (denied.value.code, denied.value.rule) == ("consent_missing", "default_deny")
        assert logged(case, req_id) == (RequestState.DENIED, Decision.DENY)


async def test_a_version_that_the_ledger_did_not_log_is_not_released(tmp_path: Path) -> None:
    async with custodian(tmp_path) as case:
        await case.keep("one")
        await case.grant()
        req_id = await case.ask()
        gateway = case.rebuild(intake=Ahead(case, case.amendment("one", case.sealed("one", 2))))
        async with case.node.proposing():
            with pytest.raises(RefusedError, match="changed meanwhile"):
                await gateway.release(DOCTOR.public, req_id, [some_id("one")])


async def test_a_log_that_is_not_committed_in_time_releases_nothing(tmp_path: Path) -> None:
    async with custodian(tmp_path) as case:
        await case.keep("one")
        await case.grant()
        req_id = await case.ask()
        gateway = case.rebuild(wait_s=0.01)
        with pytest.raises(RefusedError) as refused:
            await gateway.release(DOCTOR.public, req_id, [some_id("one")])
        assert refused.value.code == "not_ready"
        assert logged(case, req_id) == (RequestState.PENDING, None)


def die(*_: object, **__: object) -> object:
    raise InterruptedHere


def at_unwrap(case: Custody) -> None:
    case.gateway._rewrap = die  # type: ignore[method-assign,assignment]  # dies here


def at_read(case: Custody) -> None:
    case.store.get = die  # type: ignore[method-assign,assignment]  # dies here


class DyingIntake:
    """Dies before the log is in, or after."""

    def __init__(self, case: Custody, *, first: bool) -> None:
        self._case = case
        self._first = first

    async def submit(self, raws: Sequence[bytes], *, local: bool) -> list[Admission]:
        """Submit or not, and die."""
        if not self._first:
            await self._case.node.intake.submit(raws, local=local)
        raise InterruptedHere


class DyingTracker:
    """Dies before the log is committed, or after."""

    def __init__(self, case: Custody, *, first: bool) -> None:
        self._case = case
        self._first = first

    async def wait(self, tx_id: bytes, timeout_s: float) -> TxStatus:
        """Wait or not, and die."""
        if not self._first:
            await self._case.node.tracker.wait(tx_id, timeout_s)
        raise InterruptedHere


def at_submit(case: Custody) -> None:
    case.rebuild(intake=DyingIntake(case, first=True))


def after_submit(case: Custody) -> None:
    case.rebuild(intake=DyingIntake(case, first=False))


def at_wait(case: Custody) -> None:
    case.rebuild(tracker=DyingTracker(case, first=True))


def after_commit(case: Custody) -> None:
    case.rebuild(tracker=DyingTracker(case, first=False))


def at_compare(case: Custody) -> None:
    case.gateway._compare = die  # type: ignore[method-assign,assignment]  # dies here


@pytest.mark.parametrize(
    ("fault", "permitted"),
    [
        (at_read, {None}),
        (at_unwrap, {None}),
        (at_submit, {None}),
        (after_submit, {None, Decision.PERMIT}),
        (at_wait, {None, Decision.PERMIT}),
        (after_commit, {Decision.PERMIT}),
        (at_compare, {Decision.PERMIT}),
    ],
)
async def test_dying_at_any_step_releases_nothing_that_is_not_logged(
    tmp_path: Path, fault: Callable[[Custody], None], permitted: set[Decision | None]
) -> None:
    async with custodian(tmp_path) as case:
        sealed = await case.keep("one")
        await case.grant()
        req_id = await case.ask()
        fault(case)
        async with case.node.proposing():
            with pytest.raises(InterruptedHere) as died:
                await case.gateway.release(DOCTOR.public, req_id, [some_id("one")])
        assert sealed.ciphertext.hex() not in str(died.value)
        assert logged(case, req_id)[1] in permitted


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("stranger", "policy_denied"),
        ("nobody", "unknown_key"),
        ("unknown_request", "not_found"),
        ("unknown_record", "not_found"),
        ("no_records", "schema_violation"),
        ("twice", "schema_violation"),
    ],
)
async def test_what_the_ledger_could_not_log_is_refused_without_a_log(
    tmp_path: Path, change: str, code: str
) -> None:
    async with custodian(tmp_path) as case:
        await case.keep("one")
        await case.grant()
        req_id = await case.ask()
        caller, asked, records = DOCTOR.public, req_id, [some_id("one")]
        match change:
            case "stranger" | "nobody":
                caller = some_key(change).public
            case "unknown_request":
                asked = some_id("another")
            case "unknown_record":
                records = [some_id("another")]
            case "no_records":
                records = []
            case _:
                records = records * 2
        async with case.node.proposing():
            with pytest.raises(RefusedError) as refused:
                await case.gateway.release(caller, asked, records)
        assert refused.value.code == code
        assert logged(case, req_id) == (RequestState.PENDING, None)


async def test_a_request_is_released_once(tmp_path: Path) -> None:
    async with custodian(tmp_path) as case:
        await case.keep("one")
        await case.grant()
        req_id = await case.ask()
        async with case.node.proposing():
            await case.gateway.release(DOCTOR.public, req_id, [some_id("one")])
            with pytest.raises(RefusedError, match="decided"):
                await case.gateway.release(DOCTOR.public, req_id, [some_id("one")])
