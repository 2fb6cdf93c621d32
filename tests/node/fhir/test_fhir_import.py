"""What an import leaves in vaults, on the chain and in its journal: everything once, whatever
happened in between.
"""

from __future__ import annotations

import asyncio
import json
import stat
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from blockbuster import BlockBuster

from medquorum.transaction import OPERATIONS_MAX, Transaction
from node.fhir.errors import ImportStoppedError, JournalError
from node.fhir.files import Raw, files_of, resources_of
from node.fhir.hospitals import Consortium
from node.fhir.journal import Journal
from node.fhir.limits import RECORDS_PER_BATCH
from node.fhir.report import lines_of
from tests.support.fhir import SAMPLE, hospitals, imported, total, write


def patient(number: int = 1, **more: object) -> dict[str, object]:
    return {"resourceType": "Patient", "id": f"p{number}", **more}


def condition(number: int, **more: object) -> dict[str, object]:
    subject = {"reference": "Patient/p1"}
    return {"resourceType": "Condition", "id": f"c{number}", "subject": subject, **more}


def lines(*resources: dict[str, object]) -> str:
    return "".join(json.dumps(resource) + "\n" for resource in resources)


async def test_every_record_of_the_sample_is_anchored_and_opens_to_its_text(
    tmp_path: Path,
) -> None:
    async with hospitals() as (server, consortium):
        report = await imported(SAMPLE, consortium, tmp_path / "journal")
        texts = Counter(server.opened(anchor) for anchor in server.anchors())
    expected = Counter(
        raw.text
        for file in files_of(SAMPLE)
        for raw in resources_of(file)
        if isinstance(raw, Raw)
        and b'"resourceType":"Practitioner"' not in raw.text.replace(b'": "', b'":"')
    )
    assert texts == expected
    assert report.complete
    assert report.records == texts.total() == total([report.anchored])
    assert total([report.read]) == report.records + total([report.not_records])
    assert set(report.by_hospital) == {hospital.name for hospital in consortium.hospitals}
    sizes = [len(tx.body.operations) for tx in server.known.values()]
    assert max(sizes) == RECORDS_PER_BATCH < OPERATIONS_MAX


async def test_a_record_is_in_the_vault_of_its_custodian_under_a_pseudonym_of_that_hospital(
    tmp_path: Path,
) -> None:
    async with hospitals() as (server, consortium):
        await imported(SAMPLE, consortium, tmp_path / "journal")
        hospitals_of = {anchor.pid: set[bytes]() for anchor in server.anchors()}
        for anchor in server.anchors():
            hospitals_of[anchor.pid].add(anchor.custodian)
    assert all(len(orgs) == 1 for orgs in hospitals_of.values())
    journal = Journal(tmp_path / "journal", consortium.genesis.chain_id())
    shares = [len(journal.pids_of(identity)) for identity in journal.patients()]
    journal.close()
    assert sum(shares) == len(hospitals_of)
    assert sum(share > 1 for share in shares) >= 20


async def test_a_second_run_does_nothing(tmp_path: Path) -> None:
    async with hospitals() as (server, consortium):
        first = await imported(SAMPLE, consortium, tmp_path / "journal")
        transactions, uploads = len(server.known), server.uploads.total()
        second = await imported(SAMPLE, consortium, tmp_path / "journal")
        assert (len(server.known), server.uploads.total()) == (transactions, uploads)
    assert second.records == second.transactions == second.patients == 0
    assert second.unchanged == first.anchored


async def test_layout_is_no_change_and_content_is_a_new_version(tmp_path: Path) -> None:
    async with hospitals() as (server, consortium):
        files, journal = tmp_path / "in", tmp_path / "journal"
        write(files, a_ndjson=lines(patient(), condition(1, note="one")))
        await imported(files, consortium, journal)
        reordered = '{"note" : "one", "subject":{"reference":"Patient/p1"}, "id":"c1"'
        write(files, a_ndjson=lines(patient()) + reordered + ', "resourceType":"Condition"}')
        assert (await imported(files, consortium, journal)).records == 0
        write(files, a_ndjson=lines(patient(), condition(1, note="two")))
        report = await imported(files, consortium, journal)
        assert report.amended == {"Condition": 1}
        (amendment,) = server.amendments()
        (original,) = [one for one in server.anchors() if one.fhir_type == "condition"]
    assert (amendment.rec_id, amendment.prev_version) == (original.rec_id, 1)


async def test_a_new_version_for_a_hospital_that_takes_no_part_is_refused(tmp_path: Path) -> None:
    async with hospitals() as (server, consortium):
        files, journal = tmp_path / "in", tmp_path / "journal"
        many = [patient(number) for number in range(40)]
        write(files, a_ndjson=lines(*many))
        await imported(files, consortium, journal)
        write(files, a_ndjson=lines(*(one | {"active": True} for one in many)))
        alone = Consortium(consortium.genesis, consortium.hospitals[:1])
        report = await imported(files, alone, journal)
        own = sum(anchor.custodian == alone.hospitals[0].org for anchor in server.anchors())
    assert 0 < own < 40
    assert (report.amended, report.refused) == (
        {"Patient": own},
        {"hospital_not_listed": 40 - own},
    )


async def test_a_resource_that_stands_twice_is_one_record(tmp_path: Path) -> None:
    async with hospitals() as (server, consortium):
        files = write(
            tmp_path / "in", a_ndjson=lines(patient(), patient()), b_json=lines(patient())
        )
        report = await imported(files, consortium, tmp_path / "journal")
        assert len(server.anchors()) == 1
    assert (report.anchored, report.unchanged) == ({"Patient": 1}, {"Patient": 2})


@pytest.mark.parametrize("cut", [0, 3, 20, 60, 250])
async def test_an_import_that_was_cut_off_is_finished_by_the_next(tmp_path: Path, cut: int) -> None:
    """The server hangs up for good after some requests, also after it took a transaction."""
    async with hospitals() as (server, consortium):
        files, journal = tmp_path / "in", tmp_path / "journal"
        write(files, a_ndjson=lines(patient(), *(condition(n) for n in range(250))))

        async with asyncio.TaskGroup() as group:
            run = group.create_task(imported(files, consortium, journal))
            await server.request_number(cut)
            run.cancel()
        report = await imported(files, consortium, journal)
        await imported(files, consortium, journal)
        anchors = server.anchors()
        texts = Counter(server.opened(anchor) for anchor in anchors)
    assert report.complete
    assert texts == Counter(
        line.encode() for line in lines(patient(), *(condition(n) for n in range(250))).splitlines()
    )
    assert len({anchor.rec_id for anchor in anchors}) == 251
    assert len({anchor.pid for anchor in anchors}) == len({one.custodian for one in anchors})


async def test_a_transaction_whose_answer_was_lost_is_found_again(tmp_path: Path) -> None:
    """The node takes the anchors and dies before it says so."""
    async with hospitals(count=1) as (server, consortium):
        files, journal = tmp_path / "in", tmp_path / "journal"
        write(files, a_ndjson=lines(patient()))
        server.auto_commit = False

        async with asyncio.TaskGroup() as group:
            run = group.create_task(imported(files, consortium, journal))
            while True:
                await asyncio.wait_for(server.asked_to_wait.wait(), 10)
                server.asked_to_wait.clear()
                if any(op.type == "rec.anchor" for tx in server.known.values()
                       for op in tx.body.operations):  # fmt: skip
                    break
                server.commit()
            run.cancel()
        server.commit()
        server.auto_commit = True
        report = await imported(files, consortium, journal)
        assert len(server.anchors()) == 1
    assert (report.unchanged, report.records) == ({"Patient": 1}, 0)


async def test_one_record_that_the_ledger_rejects_does_not_hold_up_the_others(
    tmp_path: Path,
) -> None:
    rejected: list[bytes] = []

    def judge(tx: Transaction) -> tuple[str, int] | None:
        operations = tx.body.operations
        if operations[0].type == "rec.anchor" and len(operations) == 3:
            rejected.append(tx.id)
            return "E_DUP", 1
        return None

    async with hospitals(count=1) as (server, consortium):
        server.judge = judge
        files, journal = tmp_path / "in", tmp_path / "journal"
        write(files, a_ndjson=lines(patient(), condition(1), condition(2)))
        report = await imported(files, consortium, journal)
        assert len(server.anchors()) == 2
        assert report.refused == {"ledger_rejected": 1}
        (refusal,) = report.refusals
        assert (refusal.position, refusal.resource, refusal.detail) == (2, "c1", "E_DUP")
        again = await imported(files, consortium, journal)
        assert (again.records, len(server.anchors())) == (1, 3)
    assert len(rejected) == 1


async def test_what_the_vault_refuses_is_not_anchored(tmp_path: Path) -> None:
    async with hospitals(count=1) as (server, consortium):
        files = write(tmp_path / "in", a_ndjson=lines(patient(), condition(1)))
        server.full_after = 1
        report = await imported(files, consortium, tmp_path / "journal")
        assert len(server.anchors()) == 1
    assert report.refused == {"vault_refused": 1}


async def test_a_refusal_that_holds_for_all_stops_the_import(tmp_path: Path) -> None:
    async with hospitals(count=1) as (server, consortium):
        server.judge = lambda _tx: ("E_ROLE", 0)
        files = write(tmp_path / "in", a_ndjson=lines(patient()))
        with pytest.raises(ImportStoppedError, match="E_ROLE"):
            await imported(files, consortium, tmp_path / "journal")


def test_the_journal_is_private_and_belongs_to_one_chain_and_one_import(
    tmp_path: Path,
) -> None:
    path = tmp_path / "journal"
    first = Journal(path, b"\x01" * 32)
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in tmp_path.iterdir())
    with pytest.raises(JournalError, match="in use"):
        Journal(path, b"\x01" * 32)
    first.close()
    with pytest.raises(JournalError, match="another chain"):
        Journal(path, b"\x02" * 32)
    Journal(path, b"\x01" * 32).close()
    path.write_bytes(b"not a journal at all" * 100)
    with pytest.raises(JournalError, match="damaged"):
        Journal(path, b"\x01" * 32)


async def test_reports_hold_no_word_about_a_patient(tmp_path: Path) -> None:
    canary = "Zhang_San_1961"
    bad = [
        patient(1, id=f"{canary}!"),
        patient(2, resourceType=canary),
        condition(3, subject={"reference": "Group/1", "display": canary}),
        condition(4, note={canary: 1e400}),
    ]
    async with hospitals() as (_server, consortium):
        files = write(tmp_path / "in", **{f"{canary}.ndjson": lines(*bad) + canary})
        write(files, good_ndjson=lines(patient(1, name=[{"text": canary}])))
        report = await imported(files, consortium, tmp_path / "journal")
    assert (len(report.refusals), report.records) == (5, 1)
    shown = msgspec.json.encode(report).decode() + "\n".join(lines_of(report))
    assert canary not in shown


async def test_texts_that_wait_are_bounded_and_nothing_stands_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lane collects a full transaction; four that do so must not starve the reading."""
    monkeypatch.setattr("node.fhir.pipeline.QUEUE_BYTES_MAX", 3_000)
    async with hospitals() as (server, consortium):
        files = write(tmp_path / "in", a_ndjson=lines(*(patient(n) for n in range(300))))
        report = await asyncio.wait_for(imported(files, consortium, tmp_path / "journal"), 60)
        assert len(server.anchors()) == report.records == 300


async def test_an_import_never_blocks_the_event_loop(
    tmp_path: Path, no_blocking: BlockBuster
) -> None:
    del no_blocking
    async with hospitals(count=2) as (_server, consortium):
        report = await imported(SAMPLE, consortium, tmp_path / "journal")
    assert report.complete
