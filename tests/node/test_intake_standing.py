"""Who may sign is looked up once a height, and never remembered for longer, or of too many."""

from __future__ import annotations

from pathlib import Path

import pytest

from medquorum.keys import SigningKey
from node import intake
from node.intake import Admission
from node.ledger.roles import Role
from node.ledger.types.identity.bodies import KeyRevoke
from tests.support.daemon import ROOT, LocalNode, local_node
from tests.support.ledger import some_key
from tests.support.people import enrol, enrolment


def _code(admission: Admission) -> str:
    return "" if admission.refusal is None else admission.refusal.code


async def _submit(node: LocalNode, key: SigningKey, name: str) -> str:
    tx = node.transaction(enrolment(node, name), by=(key,))
    return _code((await node.intake.submit([tx.raw], local=True))[0])


async def test_a_key_that_a_block_has_just_revoked_signs_nothing_more(tmp_path: Path) -> None:
    async with local_node(tmp_path) as node:
        nurse = await enrol(node, "nurse")
        officer = await enrol(node, "officer", Role.PRIVACY_OFFICER)
        assert await _submit(node, nurse, "first") == ""
        revocation = node.operation("id.key.revoke", KeyRevoke(nurse.public, 0))
        await node.accept(revocation, by=(ROOT, officer))
        assert await _submit(node, nurse, "second") == "key_revoked"


async def test_a_key_that_a_block_has_just_enrolled_may_sign(tmp_path: Path) -> None:
    async with local_node(tmp_path) as node:
        nurse = some_key("nurse")
        assert await _submit(node, nurse, "first") == "unknown_key"
        await node.accept(enrolment(node, "nurse"))
        assert await _submit(node, nurse, "second") == ""


async def test_the_keys_of_strangers_are_not_piled_up_while_no_height_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "INTAKE_STANDING_TXS_MAX", 4)
    async with local_node(tmp_path) as node:
        for number in range(13):
            assert await _submit(node, some_key(f"stranger {number}"), "x") == "unknown_key"
            assert node.intake._standing is not None
            assert len(node.intake._standing[1]._orgs) <= 4
