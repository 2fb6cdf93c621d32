"""`devnet demo` on real processes: the story, its receipts, its idempotence, and what must not be
anywhere.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import pytest

from devnet.book import Book, Step
from devnet.layout import CHECKOUT, NetworkDir
from devnet.network import Network
from devnet.story import Story
from medquorum.client import Client
from medquorum.errors import VerificationError
from medquorum.quorum import EngineName
from medquorum.receipt import VerifiedReceipt, verify_receipt

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

DEMO_S_MAX = 60.0
STORY = ["consent", "request", "access-log", "decrypt", "access-receipt"]
REFUSAL = ["revoke", "request-again", "denial"]


def devnet(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "devnet", "--root", str(root), *arguments],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    devnet(tmp_path, "destroy", "-y")


def steps(network: Network) -> list[Step]:
    return msgspec.json.decode(
        (network.directory.demo / "story.json").read_bytes(), type=list[Step]
    )


def receipts(network: Network) -> dict[str, VerifiedReceipt]:
    """What the files prove, by the step's name. Asks no node."""
    folder = network.directory.demo / "receipts"
    return {
        step.name: verify_receipt((folder / step.receipt).read_bytes(), network.genesis)
        for step in steps(network)
        if step.receipt
    }


def test_the_demonstration_tells_its_story_and_proves_it(root: Path, engine: EngineName) -> None:
    told = devnet(root, "demo", "--base-port", "0", "--engine", engine)
    assert told.returncode == 0, told.stdout + told.stderr
    network = Network.open(NetworkDir(root / "default"))
    assert network.genesis.engine == engine
    took = re.search(r"done in ([0-9.]+) s", told.stdout)
    assert took is not None
    assert float(took[1]) < DEMO_S_MAX
    names = [step.name for step in steps(network)]
    assert names[-8:] == [*STORY, *REFUSAL]
    assert [name for name in names if name.startswith("enrol-")] == [
        f"enrol-{org.name}" for org in network.manifest.organisations
    ]
    assert devnet(root, "status").returncode == 0

    _the_curl_gives_the_original_answer(told.stdout, network)
    _a_second_telling_imports_nothing(root, network)
    _the_users_own_data_can_be_used(root, network)
    assert devnet(root, "down").returncode == 0
    _receipts_hold_with_no_node_left(network)
    _a_changed_receipt_fails_the_demonstration(network)
    _nothing_of_a_patient_is_in_the_clear(root)


def _the_curl_gives_the_original_answer(shown: str, network: Network) -> None:
    (command,) = [line for line in shown.splitlines() if "--data-binary" in line]
    file = re.search(r"@(\S+)", command)
    url = re.search(r"'(http://\S+)'", command)
    assert file is not None
    assert url is not None
    request = urllib.request.Request(  # noqa: S310 - the loopback interface
        url[1],
        data=(CHECKOUT / file[1]).read_bytes(),
        headers={"Content-Type": "application/msgpack"},
    )
    with urllib.request.urlopen(request, timeout=20) as response:  # noqa: S310 - as above
        answer = json.load(response)
    (consent,) = [step for step in steps(network) if step.name == "consent"]
    assert (answer["txid"], answer["height"], answer["duplicate"]) == (
        consent.txid,
        consent.height,
        True,
    )


async def _break_off_after_consent(network: Network) -> None:
    """Tell as far as the consent, then no more."""
    book = Book(network.directory.demo, echo=lambda _line: None)
    book.open()
    async with AsyncExitStack() as stack:
        clients = {
            node.org: await stack.enter_async_context(Client(node.url, genesis=network.genesis))
            for node in network.nodes
        }
        story = Story(network, clients, book)
        cast = await story.choose()
        await story.consent(cast, await story.give_key(cast))


def _a_second_telling_imports_nothing(root: Path, network: Network) -> None:
    asyncio.run(_break_off_after_consent(network))
    again = devnet(root, "demo")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "have anchored 806 records before" in again.stdout
    names = [step.name for step in steps(network)]
    assert names[-9:] == ["revoke-left-over", *STORY, *REFUSAL]


def _the_users_own_data_can_be_used(root: Path, network: Network) -> None:
    own = root / "own"
    own.mkdir()
    patient = {"resourceType": "Patient", "id": "p1", "name": [{"text": "Canary Patientname"}]}
    (own / "Canary.ndjson").write_text(json.dumps(patient) + "\nCanary, not JSON\n")
    told = devnet(root, "demo", "--fhir", str(own))
    assert told.returncode == 1, told.stdout + told.stderr
    assert "not_json" in told.stdout
    assert "anchor 1 records of 1 new pseudonyms" in told.stdout
    assert [step.name for step in steps(network)][-8:] == [*STORY, *REFUSAL]


def _receipts_hold_with_no_node_left(network: Network) -> None:
    proven = receipts(network)
    for name, operation in (
        ("consent", "cons.grant"),
        ("access-log", "rec.access.log"),
        ("access-receipt", "rec.access.receipt"),
        ("revoke", "cons.revoke"),
        ("denial", "rec.access.log"),
        ("anchor", "rec.anchor"),
    ):
        assert proven[name].operations[0].type == operation
        assert proven[name].succeeded
        assert len(proven[name].certified_by) >= 3
    heights = [proven[name].height for name in ("anchor", "consent", "access-log", "revoke")]
    assert heights == sorted(heights)
    assert [event.type for event in proven["access-log"].events] == ["rec.access_permitted"]
    assert [event.type for event in proven["denial"].events] == ["rec.access_denied"]
    file = network.directory.demo / "receipts" / steps(network)[-1].receipt
    genesis = network.directory.node(2).genesis_file
    checked = subprocess.run(
        [sys.executable, "-m", "node.cli.main", "verify-receipt", file, "--genesis", genesis],
        cwd=CHECKOUT,
        capture_output=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr


def _a_changed_receipt_fails_the_demonstration(network: Network) -> None:
    book = Book(network.directory.demo, echo=lambda _line: None)
    book.steps = steps(network)
    assert len(book.verify(network.genesis)) == sum(bool(step.receipt) for step in book.steps)
    consent = next(step.receipt for step in book.steps if step.name == "consent")
    denial = next(step.receipt for step in book.steps if step.name == "denial")
    genuine = (book.receipts / consent).read_bytes()
    for wrong in (genuine.replace(b'"height": ', b'"height": 1'), (book.receipts / denial)
                  .read_bytes()):  # fmt: skip
        (book.receipts / consent).write_bytes(wrong)
        with pytest.raises(VerificationError):
            book.verify(network.genesis)
    (book.receipts / consent).write_bytes(genuine)


def _nothing_of_a_patient_is_in_the_clear(root: Path) -> None:
    """Chain, vaults, logs, journals of all nodes, receipts and the journal of the import."""
    words = [b"SYNTHETIC TEST DATA", b"Fakeworth", b"Systolic", b"Patientname"]
    files = [
        file
        for file in root.rglob("*")
        if file.is_file() and file.relative_to(root).parts[0] != "own"
    ]
    assert len(files) > 800  # the vaults' among them
    for file in files:
        data = file.read_bytes()
        found = [word for word in words if word in data]
        assert found == [], file
