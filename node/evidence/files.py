"""Makes evidence files: what a node holds, with the proof of who voted then. For a reader thread.

What is built here is not trusted by anybody: who receives it verifies it against the genesis.
"""

from __future__ import annotations

from medquorum.evidence import Evidence
from medquorum.evidence_file import EvidenceFile
from node.receipts import certified_at, history_before
from storage.chain import ChainStore


def evidence_file(blocks: ChainStore, evidence: Evidence) -> bytes | None:
    """The file of a piece of evidence whose height is at most the one after the tip; None if the
    block below is not here: the node began above it.
    """
    below = certified_at(blocks, evidence.height - 1) if evidence.height > 1 else None
    if below is None and evidence.height > 1:
        return None
    return EvidenceFile(evidence, below, history_before(blocks, evidence.height)).dump()
