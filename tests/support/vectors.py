"""The published test vectors: one JSON file a subject, the same in every run.

`scripts/vectors` writes them. Byte strings are lower-case hexadecimal.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.support.vectors_evidence import evidence
from tests.support.vectors_proofs import lists, receipts, state_proofs
from tests.support.vectors_vault import vault
from tests.support.vectors_wire import blocks, drafts, encoding, transactions

Json = dict[str, object]
DIRECTORY: Final = Path(__file__).parents[1] / "vectors"

SUBJECTS: Final[dict[str, Callable[[], Json]]] = {
    "encoding": encoding,
    "transactions": transactions,
    "blocks": blocks,
    "receipts": receipts,
    "state_proofs": state_proofs,
    "lists": lists,
    "evidence": evidence,
    "drafts": drafts,
    "vault": vault,
}


def text_of(subject: str) -> str:
    """The file of one subject."""
    return json.dumps(SUBJECTS[subject](), indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """Write every file."""
    DIRECTORY.mkdir(exist_ok=True)
    for subject in SUBJECTS:
        (DIRECTORY / f"{subject}.json").write_text(text_of(subject), "utf-8")


if __name__ == "__main__":
    main()
