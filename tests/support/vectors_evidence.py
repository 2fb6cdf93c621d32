"""Published vectors of evidence: what convicts, of what, and what convicts nobody."""

from __future__ import annotations

import json
from dataclasses import replace

from msgspec.structs import replace as changed

from medquorum.codec import encode
from medquorum.errors import VerificationError
from medquorum.evidence import EvidenceKind
from medquorum.evidence_file import EvidenceFile, verify_evidence_file
from medquorum.genesis import dump
from tests.support.chain import Chain, key_for
from tests.support.evidence import evidence_against

Json = dict[str, object]


def evidence() -> Json:
    """Files on one chain whose validators change once, each with its verdict."""
    chain = Chain()
    chain.add(next_names=("a", "b", "c", "e"))
    chain.add()
    key = key_for("b votes")
    good = EvidenceFile(
        evidence_against(key, chain.chain_id, 3), chain.blocks[1].certified, tuple(chain.changes)
    )
    pieces = {
        kind.value: replace(good, evidence=evidence_against(key, chain.chain_id, 3, kind=kind))
        for kind in EvidenceKind
    }
    said = good.evidence
    bad = {
        "another height": replace(good, evidence=changed(said, height=2)),
        "the other order": replace(
            good, evidence=changed(said, first=said.second, second=said.first)
        ),
        "one statement twice": replace(good, evidence=changed(said, second=said.first)),
        "signed for another chain": replace(good, evidence=evidence_against(key, bytes(32), 3)),
        "no validator any more": replace(
            good, evidence=evidence_against(key_for("d votes"), chain.chain_id, 3)
        ),
        "no history": replace(good, history=()),
        "no block below": replace(good, before=None),
    }
    return {
        "genesis": dump(chain.genesis).decode(),
        "valid": [
            {
                "kind": kind,
                "validator": file.evidence.validator.hex(),
                "height": file.evidence.height,
                "id": file.evidence.id().hex(),
                "evidence": encode(file.evidence).hex(),
                "file": file.dump().decode(),
            }
            for kind, file in pieces.items()
        ],
        "invalid": [
            {
                "name": name,
                "file": file.dump().decode(),
                "error": _reason(file.dump(), chain),
            }
            for name, file in bad.items()
        ]
        + [
            {
                "name": "without white space",
                "file": json.dumps(json.loads(good.dump()), separators=(",", ":")),
                "error": "evidence_form",
            }
        ],
    }


def _reason(data: bytes, chain: Chain) -> str:
    try:
        verify_evidence_file(data, chain.genesis)
    except VerificationError as error:
        return error.reason
    return "ok"
