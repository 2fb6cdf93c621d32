"""The sample of the demonstration: small, rich enough, and made again byte for byte."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import pytest

from devnet.demo import SAMPLE
from devnet.sample import make

SIZE_MAX = 3_000_000
PATIENTS_MIN = 20


def test_the_sample_is_small_and_has_patients_with_several_visits() -> None:
    files = list(SAMPLE.iterdir())
    assert sum(file.stat().st_size for file in files) < SIZE_MAX
    visits: dict[str, int] = defaultdict(int)
    for file in SAMPLE.glob("*.json"):
        for entry in json.loads(file.read_bytes())["entry"]:
            visits[file.name] += entry["resource"]["resourceType"] == "Encounter"
    assert len(visits) >= PATIENTS_MIN
    assert set(visits.values()) == {make.VISITS}


def test_the_sample_can_be_made_again(tmp_path: Path) -> None:
    pytest.importorskip("carebundle", reason="the extra fhir-sample is not installed")
    make.main(tmp_path)
    made = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert made == {file.name: file.read_bytes() for file in SAMPLE.iterdir()}
