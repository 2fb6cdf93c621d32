"""Votes that convict: two of one signer that no correct engine says both (section 8)."""

from __future__ import annotations

from typing import Final

from consensus.engine import Evidence
from consensus.limits import EVIDENCE_PER_VALIDATOR_MAX
from consensus.messages import encode_message
from consensus.raft.core import Core
from consensus.raft.messages import Ack, Append, Grant, RaftVote, VoteRequest, raft_payload
from medquorum.certificate import CommitCertificate

EQUIVOCATION: Final = "equivocation"
"""Two payloads in one height, term and phase (rule E1)."""

TWO_RESULTS: Final = "two_results"
"""Acks with two results of one block: a liar, or a nondeterministic executor (rule E2)."""


def contradicts(known: RaftVote, vote: RaftVote) -> bool:
    """Whether two votes of one signer, term and phase say different things (rule E1)."""
    return raft_payload(known) != raft_payload(vote)


def report(core: Core, kind: str, first: RaftVote, second: RaftVote) -> None:
    """Report a contradiction, once a validator, kind and height."""
    key = (first.signer, kind)
    count = core.state.convicted.get(key, 0)
    if count >= EVIDENCE_PER_VALIDATOR_MAX:
        return
    core.state.convicted[key] = count + 1
    low, high = sorted((encode_message(stripped(first)), encode_message(stripped(second))))
    core.out.evidence.append(Evidence(first.signer, kind, low, high))


def stripped(vote: RaftVote) -> RaftVote:
    """A vote without what its signature does not cover."""
    if isinstance(vote, Append):
        return Append(vote.height, vote.term, vote.signer, vote.header, b"", vote.signature)
    return vote


def check_ballot(core: Core, vote: VoteRequest | Grant) -> bool:
    """Compare a ballot with the last one of its signer, a candidate's own for itself included.
    False if it contradicts that one: whoever votes twice in a term is not counted a second time.
    """
    known = core.state.ballots.get(vote.signer)
    if known is not None and known.term == vote.term and contradicts(known, vote):
        report(core, EQUIVOCATION, known, vote)
        return False
    if known is None or known.term < vote.term:
        core.state.ballots[vote.signer] = vote
    return True


def check_decision(core: Core, certificate: CommitCertificate) -> None:
    """Compare the acks in a certificate that holds with the last ones of their signers. Of two
    certificates that differ, whoever signed both in one term is convicted.
    """
    height, signers = core.state.height, core.state.members.signers(certificate.signers)
    for signer, signature in zip(signers, certificate.signatures, strict=True):
        block_hash, result_hash = certificate.block_hash, certificate.result_hash
        ack = Ack(height, certificate.round, signer, block_hash, result_hash, signature)
        check_ack(core, ack)


def check_ack(core: Core, ack: Ack) -> bool:
    """Compare an ack with the last one of its signer. False if it contradicts that one."""
    known = core.state.heard.get(ack.signer)
    if known is not None and known.term == ack.term and contradicts(known, ack):
        report(core, EQUIVOCATION, known, ack)
        return False
    if (
        known is not None
        and known.block_hash == ack.block_hash
        and known.result_hash != ack.result_hash
    ):
        report(core, TWO_RESULTS, known, ack)
    if known is None or known.term < ack.term:
        core.state.heard[ack.signer] = ack
    return True
