"""What every header must be, whatever the engine (rules P4 of PBFT and A2 of Raft)."""

from __future__ import annotations

from consensus.engine import HeightStarted
from medquorum.block import Header


def misplaced(header: Header, chain_id: bytes, started: HeightStarted, set_hash: bytes) -> str:
    """Why a header does not follow what the height starts from; empty if it does."""
    if header.chain_id != chain_id:
        return "header_chain"
    if header.height != started.height:
        return "header_height"
    if header.parent != started.parent_hash:
        return "header_parent"
    if header.parent_result != started.parent_result_hash:
        return "header_parent_result"
    if header.validators_hash != set_hash:
        return "header_validators"
    if header.time_ms <= started.parent_time_ms:
        return "header_time"
    return ""
