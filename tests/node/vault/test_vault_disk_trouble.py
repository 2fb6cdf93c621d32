"""A vault whose disk is full or damaged says so, and is mended by handing records in again."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.errors import RefusedError
from storage.errors import DiskFullError
from tests.support.custody import DOCTOR, Custody, custodian
from tests.support.ledger import some_id, some_key


async def test_a_full_disk_refuses_the_record_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with custodian(tmp_path) as case:

        def full(*_what: object) -> bytes:
            raise DiskFullError(tmp_path, "write", "no space left")

        monkeypatch.setattr(case.store, "put", full)
        with pytest.raises(RefusedError) as refused:
            await case.keep("one")
        assert refused.value.code == "disk_low"


@pytest.mark.parametrize("part", ["blobs", "envelopes"])
async def test_handing_a_record_in_again_mends_what_is_damaged(tmp_path: Path, part: str) -> None:
    async with custodian(tmp_path) as case:
        sealed = case.sealed("one")
        await hand_in(case, sealed.ciphertext, case.envelope("one", sealed))
        await case.anchor("one", sealed)
        (file,) = (tmp_path / "vault" / part).rglob(sealed.ct_hash.hex())
        file.write_bytes(b"rot")
        await hand_in(case, sealed.ciphertext, case.envelope("one", sealed))
        await case.grant()
        req_id = await case.ask()
        async with case.node.proposing():
            release = await case.gateway.release(DOCTOR.public, req_id, [some_id("one")])
        assert [record.ciphertext for record in release.records] == [sealed.ciphertext]


async def hand_in(case: Custody, ciphertext: bytes, envelope: bytes) -> None:
    """By the author."""
    await case.gateway.keep(some_key("author").public, some_id("one"), 1, ciphertext, envelope)
