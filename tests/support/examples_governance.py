"""Good examples of the governance module's types."""

from __future__ import annotations

from node.ledger.decisions import APPROVE
from node.ledger.proposals import ParamSet, ProposalKind
from node.ledger.types.governance.bodies import CastVote, EmergencyPause, Execute, Propose
from tests.support.examples import Example
from tests.support.governance import decide, draft, propose
from tests.support.ledger import HOUR_MS, Ledger

WINDOW = ParamSet("tx.window_heights", 500)


def _propose(ledger: Ledger) -> Example:
    founder = ledger.founders[0]
    body = Propose(founder.id, draft(ledger, ProposalKind.PARAM_SET, WINDOW))
    return Example(ledger.op("gov.propose", body), [founder])


def _vote(ledger: Ledger) -> Example:
    founder = ledger.founders[1]
    proposal = propose(ledger, ProposalKind.PARAM_SET, WINDOW)
    return Example(ledger.op("gov.vote", CastVote(founder.id, proposal, APPROVE)), [founder])


def _execute(ledger: Ledger) -> Example:
    proposal = decide(ledger, ProposalKind.PARAM_SET, WINDOW)
    return Example(ledger.op("gov.execute", Execute(proposal)), [ledger.founders[0]])


def _pause(ledger: Ledger) -> Example:
    first, second = ledger.founders[:2]
    body = EmergencyPause(first.id, second.id, "payments", ledger.time_ms + HOUR_MS)
    return Example(ledger.op("gov.pause", body), [first, second])


EXAMPLES = {
    "gov.propose": _propose,
    "gov.vote": _vote,
    "gov.execute": _execute,
    "gov.pause": _pause,
}
