"""Votes that convict: two of one signer that no correct engine says both (section 7).

The two signed votes are the evidence, whole; no clock and no opinion of ours is in it.
"""

from __future__ import annotations

from typing import Final, assert_never

from consensus.engine import Evidence
from consensus.limits import EVIDENCE_PER_VALIDATOR_MAX
from consensus.messages import (
    NO_JUSTIFICATION,
    Commit,
    Justification,
    Prepare,
    PreparedCertificate,
    Proposal,
    RoundChange,
    Vote,
    encode_message,
    vote_payload,
)
from consensus.pbft.core import Core
from consensus.pbft.proofs import signers_of
from medquorum.certificate import CommitCertificate

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


def check_heard(core: Core, vote: Vote) -> None:
    """Compare a vote that is not counted (any more) with what its signer told us."""
    known = _known(core, vote)
    if known is not None:
        if contradicts(known, vote):
            report(core, EQUIVOCATION, known, vote)
    elif isinstance(vote, Commit):
        check_commit(core, vote)
    if isinstance(vote, RoundChange):
        check_round_change(core, vote)


def _known(core: Core, vote: Vote) -> Vote | None:
    """What the signer told us at the place of the vote, if we still have it."""
    state = core.state
    known: Vote | None
    match vote:
        case Proposal():
            known = state.proposals_seen.get(vote.round)
        case Prepare():
            known = state.prepares.get(vote.round, {}).get(vote.signer)
        case Commit():
            known = state.commits.find(vote.signer, vote.round)
        case RoundChange():
            known = state.round_changes.get(vote.signer)
        case _:
            assert_never(vote)
    here = known is not None and (known.signer, known.round) == (vote.signer, vote.round)
    return known if here else None


def check_decision(core: Core, certificate: CommitCertificate) -> None:
    """Compare the COMMITs in a certificate that holds with what their signers told us: who tells
    others something else is convicted by what the others make of it (section 7).
    """
    state = core.state
    signers = signers_of(state.members, certificate.signers)
    for signer, signature in zip(signers, certificate.signatures, strict=True):
        block_hash, result_hash = certificate.block_hash, certificate.result_hash
        check_heard(
            core,
            Commit(state.height, certificate.round, signer, block_hash, result_hash, signature),
        )


def check_prepared(core: Core, certificate: PreparedCertificate) -> None:
    """The same for the PREPAREs in a prepared certificate that holds."""
    height, round_ = core.state.height, certificate.round
    signers = signers_of(core.state.members, certificate.signers)
    for signer, signature in zip(signers, certificate.signatures, strict=True):
        check_heard(core, Prepare(height, round_, signer, certificate.block_hash, signature))


def check_justification(core: Core, round_: int, justification: Justification) -> None:
    """The same for the wishes, and the certificate, in a justification that holds."""
    height = core.state.height
    for entry in justification.entries:
        wish = RoundChange(height, round_, entry.signer, entry.prepared, (), entry.signature)
        check_heard(core, wish)
    # Of a claim that is known already nobody has looked at the signatures shown here.
    for learnt in filter(None, map(core.state.book.learn, justification.certificate)):
        check_prepared(core, learnt)


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
