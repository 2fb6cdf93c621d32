"""Makes the sample again, byte for byte: python -m devnet.sample.make DIRECTORY

Needs the extra `fhir-sample` (carebundle). Half of the sample are bundles, one a patient with four
visits; the other half are lines, one file a resource type, with one visit a patient.
"""

from __future__ import annotations

import sys
from datetime import date
from importlib import import_module
from pathlib import Path
from typing import Final, Protocol, cast

import msgspec

SEED: Final = 42
HISTORIES: Final = 24
VISITS: Final = 4
COHORT: Final = 12
REFERENCE_DATE: Final = date(2026, 1, 1)
PROFILES: Final = ("hypertension", "type2_diabetes", "ckd_stage3", "anaemia", "healthy")


class CareBundle(Protocol):
    """What is used of carebundle 0.5.0."""

    def generate_history(self, **options: object) -> object:
        """One patient over several visits."""
        ...

    def generate_cohort(self, **options: object) -> list[object]:
        """Several patients with one visit each."""
        ...

    def to_json(self, bundle: object) -> str:
        """A bundle as JSON."""
        ...

    def to_ndjson(self, bundles: list[object]) -> dict[str, str]:
        """Bundles as lines, by resource type."""
        ...


def main(directory: Path) -> None:
    """Write the sample."""
    carebundle = cast(CareBundle, import_module("carebundle"))
    directory.mkdir(parents=True, exist_ok=True)
    for index in range(HISTORIES):
        bundle = carebundle.generate_history(
            profile=PROFILES[index % len(PROFILES)],
            seed=SEED,
            sex="FM"[index % 2],
            age_range=(25, 80),
            reference_date=REFERENCE_DATE,
            index=index,
            visits=VISITS,
        )
        text = msgspec.json.decode(carebundle.to_json(bundle))
        # Without the white space that would be four fifths of it.
        (directory / f"history-{index:02}.json").write_bytes(msgspec.json.encode(text) + b"\n")
    cohort = carebundle.generate_cohort(count=COHORT, seed=SEED + 1, sex="mixed")
    for name, lines in carebundle.to_ndjson(cohort).items():
        (directory / f"{name}.ndjson").write_text(lines, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
