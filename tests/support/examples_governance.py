"""Good examples of the governance module's types."""

from __future__ import annotations

from medquorum.codec import encode
from medquorum.recovery import (
    Authority,
    KeyRow,
    RecoveredValidator,
    Recovery,
    RecoveryStatement,
    RootSignature,
)
from node.ledger.decisions import APPROVE
from node.ledger.proposals import ParamSet, ProposalKind, ValidatorAdd
from node.ledger.types.governance.bodies import (
    CastVote,
    EmergencyPause,
    Execute,
    Override,
    Propose,
)
from tests.support.examples import Example
from tests.support.examples_identity import possession
from tests.support.governance import decide, draft, propose
from tests.support.ledger import HOUR_MS, Ledger, some_key

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


def _override(ledger: Ledger) -> Example:
    founder, key = ledger.founders[0], some_key("one more vote")
    content = ValidatorAdd(
        key.public,
        some_key("one more node").public,
        founder.id,
        possession(ledger, founder.id, key),
    )
    proposal = propose(ledger, ProposalKind.VALIDATOR_ADD, content)
    body = Override(founder.id, proposal, "site.lost")
    return Example(ledger.op("gov.override", body), [founder])


def _pause(ledger: Ledger) -> Example:
    first, second = ledger.founders[:2]
    body = EmergencyPause(first.id, second.id, "payments", ledger.time_ms + HOUR_MS)
    return Example(ledger.op("gov.pause", body), [first, second])


def _recover(ledger: Ledger) -> Example:
    """What the first block after a disaster holds: others than the state says vote on it."""
    founder, vote = ledger.founders[0], some_key("vote after a disaster")
    validator = RecoveredValidator(
        vote.public,
        some_key("node after a disaster").public,
        founder.id,
        possession(ledger, founder.id, vote),
    )
    kept = (ledger.height + 1, bytes(32), bytes(32))
    statement = RecoveryStatement(ledger.chain_id, 1, *kept, (validator,), "site.lost")
    root = Authority(founder.key.public, encode(KeyRow(b"", founder.id, 0, 0, 0)), ())
    signature = founder.key.sign(statement.signing_bytes())
    recovery = Recovery(statement, (), (RootSignature(root, signature),))
    ledger.validators = statement.validator_set()
    return Example(ledger.op("gov.recover", recovery), [founder])


EXAMPLES = {
    "gov.propose": _propose,
    "gov.recover": _recover,
    "gov.vote": _vote,
    "gov.execute": _execute,
    "gov.override": _override,
    "gov.pause": _pause,
}
