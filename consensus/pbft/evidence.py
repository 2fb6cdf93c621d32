"""Votes that convict: two of one signer that no correct engine says both (section 7).

The two signed votes are the evidence, whole; no clock and no opinion of ours is in it.
"""

from __future__ import annotations

from typing import Final

from consensus.engine import Evidence
from consensus.limits import EVIDENCE_PER_VALIDATOR_MAX
from consensus.messages import (
    NO_JUSTIFICATION,
    Commit,
    Proposal,
    RoundChange,
    Vote,
    encode_message,
    vote_payload,
)
from consensus.pbft.core import Core

EQUIVOCATION: Final = "equivocation"
"""Two payloads in one height, round and phase (rule E1)."""

AMNESIA: Final = "amnesia"
"""A COMMIT, and a later wish that does not own up to having prepared (rule E2)."""

TWO_RESULTS: Final = "two_results"
"""COMMITs on two results of one block: a liar, or a nondeterministic executor (rule E3)."""


def contradicts(known: Vote, vote: Vote) -> bool:
    """Whether two votes of one signer, round and phase say different things (rule E1)."""
    return vote_payload(known) != vote_payload(vote)


def report(core: Core, kind: str, first: Vote, second: Vote) -> None:
    """Report a contradiction, once a validator, kind and height."""
    key = (first.signer, kind)
    count = core.state.convicted.get(key, 0)
    if count >= EVIDENCE_PER_VALIDATOR_MAX:
        return
    core.state.convicted[key] = count + 1
    low, high = sorted((encode_message(stripped(first)), encode_message(stripped(second))))
    core.out.evidence.append(Evidence(first.signer, kind, low, high))


def stripped(vote: Vote) -> Vote:
    """A vote without what its signature does not cover."""
    match vote:
        case Proposal():
            return Proposal(
                vote.height,
                vote.round,
                vote.signer,
                vote.header,
                b"",
                NO_JUSTIFICATION,
                vote.signature,
            )
        case RoundChange():
            return RoundChange(
                vote.height, vote.round, vote.signer, vote.prepared, (), vote.signature
            )
        case _:
            return vote


def check_commit(core: Core, vote: Commit) -> None:
    """Compare a new COMMIT with what its signer said in other rounds (rules E2 and E3)."""
    for other in core.state.commits.of(vote.signer):
        if other.block_hash == vote.block_hash and other.result_hash != vote.result_hash:
            report(core, TWO_RESULTS, other, vote)
    wish = core.state.round_changes.get(vote.signer)
    if wish is not None and denies(wish, vote):
        report(core, AMNESIA, vote, wish)


def check_round_change(core: Core, wish: RoundChange) -> None:
    """Compare a wish with the COMMITs of its signer (rule E2)."""
    for vote in core.state.commits.of(wish.signer):
        if denies(wish, vote):
            report(core, AMNESIA, vote, wish)


def denies(wish: RoundChange, vote: Commit) -> bool:
    """Whether a wish for a later round hides that its signer had prepared in `vote`'s round."""
    if wish.round <= vote.round:
        return False
    return all(claim.round < vote.round for claim in wish.prepared)
