"""The description of the hospitals is checked to the letter, and progress is told in moderation."""

from __future__ import annotations

from pathlib import Path

import pytest

from medquorum import genesis as genesis_file
from medquorum.keys import SigningKey
from node.fhir.errors import HospitalsError
from node.fhir.hospitals import load_consortium
from node.fhir.progress import LineProgress, bar
from tests.support.ledger import founding

ONE = '[[hospital]]\nname = "a"\norg = "' + "01" * 32 + '"\nrpc = "http://x"\nkey = "a.json"\n'
HEAD = 'genesis = "genesis.json"\n'


def loaded(folder: Path, text: str) -> list[str]:
    """The key files that are asked for."""
    (folder / "genesis.json").write_bytes(genesis_file.dump(founding()))
    (folder / "hospitals.toml").write_text(text)
    asked: list[str] = []

    def load_key(path: Path) -> SigningKey:
        asked.append(path.name)
        return SigningKey(bytes(32))

    load_consortium(folder / "hospitals.toml", load_key)
    return asked


def test_the_registrars_key_is_the_same_unless_named(tmp_path: Path) -> None:
    assert loaded(tmp_path, HEAD + ONE) == ["a.json"]
    assert loaded(tmp_path, HEAD + ONE + 'registrar_key = "r.json"') == ["a.json", "r.json"]


@pytest.mark.parametrize(
    "text",
    [
        "not toml",
        ONE,
        HEAD,
        HEAD + "hospital = []",
        HEAD + ONE + ONE,
        HEAD + ONE.replace("01" * 32, "01" * 31),
        HEAD + ONE.replace("01" * 32, "AB" * 32),
        HEAD + ONE + 'provider = ["x"]',
        HEAD.replace("genesis.json", "none.json") + ONE,
        HEAD.replace("genesis.json", "hospitals.toml") + ONE,
    ],
)
def test_a_wrong_description_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(HospitalsError):
        loaded(tmp_path, text)


def test_lines_of_progress_come_once_a_second() -> None:
    written: list[str] = []
    clock = [0.0]
    progress = LineProgress(written.append, lambda: clock[0])
    progress.stage("importing", 200)
    for tick in range(40):
        clock[0] = tick / 10
        progress.at(50 * tick // 10, tick)
    assert written[1:] == [
        "importing: 25 %, 10 records",
        "importing: 50 %, 20 records",
        "importing: 75 %, 30 records",
    ]


def test_an_empty_stage_is_no_division_by_zero() -> None:
    written: list[str] = []
    progress = LineProgress(written.append, lambda: 5.0)
    progress.stage("importing", 0)
    clocked = LineProgress(written.append, iter([0.0, 9.0, 9.0]).__next__)
    clocked.stage("importing", 0)
    clocked.at(0, 0)
    assert written[-1] == "importing: 100 %, 0 records"


def test_the_bar_goes_to_the_error_stream(capsys: pytest.CaptureFixture[str]) -> None:
    with bar() as progress:
        progress.stage("importing", 100)
        progress.at(100, 7)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "7 records" in shown.err
