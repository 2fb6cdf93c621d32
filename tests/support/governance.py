"""Decisions of a test's consortium: propose and vote in as few lines as a test should need."""

from __future__ import annotations

from medquorum.codec import encode
from node.ledger.decisions import APPROVE, Draft, proposal_id
from node.ledger.proposals import Content, ObserverAdd, ProposalKind
from node.ledger.types.governance.bodies import CastVote, Execute, Propose
from tests.support.ledger import Ledger


def draft(ledger: Ledger, kind: ProposalKind | str, content: Content) -> Draft:
    """A draft with a fresh nonce."""
    return Draft(str(kind), encode(content), ledger.fresh_id("nonce")[:16])


def propose(ledger: Ledger, kind: ProposalKind | str, content: Content) -> bytes:
    """The first founder proposes. Returns the proposal's id."""
    proposed = draft(ledger, kind, content)
    founder = ledger.founders[0]
    ledger.accept(ledger.op("gov.propose", Propose(founder.id, proposed)), by=founder)
    return proposal_id(proposed)


def vote(ledger: Ledger, proposal: bytes, voters: int, decision: str = APPROVE) -> None:
    """The first `voters` founders say `decision`."""
    for founder in ledger.founders[:voters]:
        ledger.accept(ledger.op("gov.vote", CastVote(founder.id, proposal, decision)), by=founder)


def decide(ledger: Ledger, kind: ProposalKind | str, content: Content) -> bytes:
    """Propose, and have all founders approve. Returns the proposal's id."""
    proposal = propose(ledger, kind, content)
    vote(ledger, proposal, len(ledger.founders))
    return proposal


def admit(ledger: Ledger, node_key: bytes, org: bytes) -> None:
    """Let a daemon follow, as whoever is to vote must."""
    enact(ledger, ProposalKind.OBSERVER_ADD, ObserverAdd(node_key, org))


def enact(ledger: Ledger, kind: ProposalKind | str, content: Content) -> None:
    """Decide, and carry it out."""
    proposal = decide(ledger, kind, content)
    ledger.accept(ledger.op("gov.execute", Execute(proposal)), by=ledger.founders[0])
