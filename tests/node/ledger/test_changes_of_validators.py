"""Looking ahead at who votes, and answering for it: what nodes ask the ledger before they pass a
change of the validators on.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from medquorum.block import Validator, ValidatorSet
from medquorum.codec import Wire, encode
from medquorum.evidence import Statement, make_evidence
from medquorum.transaction import Operation
from node.ledger.codes import Code
from node.ledger.decisions import APPROVE, REJECT, Draft, proposal_id
from node.ledger.proposals import (
    ParamSet,
    ProposalKind,
    ValidatorAdd,
    ValidatorChange,
    ValidatorReinstate,
    ValidatorRemove,
    ValidatorReplace,
    ValidatorSuspend,
)
from node.ledger.types.governance.bodies import CastVote, Execute, Override, Propose
from node.ledger.types.governance.changes import changes_ahead, newcomers, validators_after
from node.ledger.types.governance.queries import ProposalAnswer
from tests.support.examples_identity import possession
from tests.support.governance import admit, decide, draft, enact, propose
from tests.support.ledger import Ledger, attributes, some_key

REASON = "site.lost"
KEYS = [some_key(f"voter {number}").public for number in range(6)]


def operation(type_: str, body: Wire) -> Operation:
    return Operation(type_, 1, encode(body))


def removal(ledger: Ledger, place: int = 0) -> ValidatorRemove:
    """Of one of five or more."""
    return ValidatorRemove(ledger.validators.validators[place].key)


def shown(ledger: Ledger, proposal: bytes) -> ProposalAnswer:
    """The answer of the query gov.proposal."""
    answer = ledger.query("gov.proposal", proposal=proposal)
    assert isinstance(answer, ProposalAnswer)
    return answer


def test_an_override_is_on_the_record_of_its_proposal_and_in_the_events() -> None:
    ledger = Ledger(validators=5)
    founder = ledger.founders[1]
    proposal = propose(ledger, ProposalKind.VALIDATOR_REMOVE, removal(ledger))
    assert shown(ledger, proposal).overrides == ()
    body = Override(founder.id, proposal, REASON)
    [event] = ledger.accept(ledger.op("gov.override", body), by=founder)
    assert event.type == "gov.overridden"
    assert attributes(event) == {"proposal": proposal, "org": founder.id, "reason": REASON}
    [record] = shown(ledger, proposal).overrides
    assert (record.org, record.reason) == (founder.id, REASON)
    assert record.height == ledger.height


def test_an_organisation_answers_again_with_each_step_and_the_last_word_is_shown() -> None:
    ledger = Ledger(validators=5)
    founder = ledger.founders[1]
    proposal = propose(ledger, ProposalKind.VALIDATOR_REMOVE, removal(ledger))
    for reason in (REASON, "replaced.soon"):
        body = Override(founder.id, proposal, reason)
        ledger.accept(ledger.op("gov.override", body), by=founder)
    assert [record.reason for record in shown(ledger, proposal).overrides] == ["replaced.soon"]


def test_only_open_changes_of_the_validators_are_answered_for_and_only_by_those_who_vote() -> None:
    ledger = Ledger(validators=6)
    founder, outsider = ledger.founders[0], ledger.org()
    other = propose(ledger, ProposalKind.PARAM_SET, ParamSet("tx.window_heights", 500))
    done = decide(ledger, ProposalKind.VALIDATOR_REMOVE, removal(ledger, 5))
    ledger.accept(ledger.op("gov.execute", Execute(done)), by=founder)
    is_open = propose(ledger, ProposalKind.VALIDATOR_REMOVE, removal(ledger, 4))

    def answer(org: bytes, proposal: bytes) -> Operation:
        return ledger.op("gov.override", Override(org, proposal, REASON))

    ledger.refuse(Code.STATE, answer(founder.id, other), by=founder)
    ledger.refuse(Code.STATE, answer(founder.id, done), by=founder)
    ledger.refuse(Code.NOT_FOUND, answer(founder.id, bytes(32)), by=founder)
    ledger.refuse(Code.ROLE, answer(outsider.id, is_open), by=outsider)
    ledger.accept(answer(founder.id, is_open), by=founder)


def test_every_step_towards_a_change_is_seen_and_nothing_else() -> None:
    ledger = Ledger(validators=5)
    org = ledger.founders[0].id
    content = removal(ledger)
    known = propose(ledger, ProposalKind.VALIDATOR_REMOVE, content)
    other = propose(ledger, ProposalKind.PARAM_SET, ParamSet("tx.window_heights", 500))
    fresh = Draft(str(ProposalKind.VALIDATOR_REMOVE), encode(content), bytes(16))
    broken = Draft(str(ProposalKind.VALIDATOR_REMOVE), b"\xff", bytes(16))

    def ahead(*operations: Operation) -> tuple[tuple[bytes, ValidatorChange], ...]:
        return changes_ahead(ledger.view(), operations)

    assert ahead(operation("gov.propose", Propose(org, fresh))) == ((proposal_id(fresh), content),)
    assert ahead(operation("gov.vote", CastVote(org, known, APPROVE))) == ((known, content),)
    assert ahead(operation("gov.execute", Execute(known))) == ((known, content),)
    assert ahead(operation("gov.vote", CastVote(org, known, REJECT))) == ()
    assert ahead(operation("gov.execute", Execute(other))) == ()
    assert ahead(operation("gov.execute", Execute(bytes(32)))) == ()
    assert ahead(operation("gov.propose", Propose(org, broken))) == ()


def test_whoever_answers_for_a_change_in_the_same_transaction_is_not_asked_about_it() -> None:
    ledger = Ledger(validators=6)
    org = ledger.founders[0].id
    first = draft(ledger, ProposalKind.VALIDATOR_REMOVE, removal(ledger, 0))
    second = draft(ledger, ProposalKind.VALIDATOR_REMOVE, removal(ledger, 1))
    operations = [
        operation("gov.propose", Propose(org, first)),
        operation("gov.propose", Propose(org, second)),
        operation("gov.vote", CastVote(org, proposal_id(first), APPROVE)),
        operation("gov.override", Override(org, proposal_id(first), REASON)),
    ]
    ahead = changes_ahead(ledger.view(), operations)
    assert [proposal for proposal, _ in ahead] == [proposal_id(second)]


@st.composite
def changes(draw: st.DrawFn) -> ValidatorChange:
    key, new = draw(st.sampled_from(KEYS)), draw(st.sampled_from(KEYS))
    kind = draw(st.sampled_from(["add", "remove", "replace", "suspend", "reinstate"]))
    if kind == "add":
        return ValidatorAdd(key, key, bytes(32), bytes(65))
    if kind == "remove":
        return ValidatorRemove(key)
    if kind == "suspend":
        said = Statement("P", 0, (bytes(32),), bytes(65))
        return ValidatorSuspend(make_evidence(key, 1, said, said))
    if kind == "reinstate":
        return ValidatorReinstate(key, bytes(32), new, new, bytes(65))
    return ValidatorReplace(key, new, new, bytes(65))


@given(st.lists(st.sampled_from(KEYS), unique=True), changes())
def test_the_set_after_a_change_is_what_one_would_write_down(
    keys: list[bytes], change: ValidatorChange
) -> None:
    before = ValidatorSet(tuple(Validator(key, key, bytes(32)) for key in keys))
    after = [validator.key for validator in validators_after(before, change).validators]
    match change:
        case ValidatorAdd():
            assert after == [*keys, change.key]
        case ValidatorRemove():
            assert after == [key for key in keys if key != change.key]
        case ValidatorSuspend():
            assert after == [key for key in keys if key != change.evidence.validator]
        case ValidatorReinstate():
            assert after == [*keys, *([] if change.new_key in keys else [change.new_key])]
        case ValidatorReplace():
            assert after == [change.new_key if key == change.key else key for key in keys]
    new = [v.key for v in newcomers(before, validators_after(before, change))]
    assert new == [key for key in after if key not in keys]


def test_the_set_that_is_foreseen_is_the_set_that_comes() -> None:
    ledger = Ledger(validators=6)
    old, key = ledger.validators.validators[2], some_key("fresh vote")
    content = ValidatorReplace(
        old.key, key.public, some_key("fresh node").public, possession(ledger, old.org, key)
    )
    foreseen = validators_after(ledger.validators, content)
    admit(ledger, content.new_node_key, old.org)
    enact(ledger, ProposalKind.VALIDATOR_REPLACE, content)
    assert ledger.validators == foreseen


def test_who_is_to_vote_follows_first_or_is_answered_for_by_somebody_who_votes() -> None:
    ledger = Ledger()
    founder = ledger.founders[0]

    def decided(name: str) -> tuple[ValidatorAdd, bytes]:
        key = some_key(f"{name} vote")
        proof = possession(ledger, founder.id, key)
        content = ValidatorAdd(key.public, some_key(f"{name} node").public, founder.id, proof)
        return content, decide(ledger, ProposalKind.VALIDATOR_ADD, content)

    follower, proposal = decided("follower")
    execute = ledger.op("gov.execute", Execute(proposal))
    ledger.refuse(Code.STATE, execute, by=founder)
    admit(ledger, follower.node_key, founder.id)
    ledger.accept(execute, by=founder)

    _, proposal = decided("stranger")
    execute = ledger.op("gov.execute", Execute(proposal))
    ledger.refuse(Code.STATE, execute, by=founder)
    other = ledger.founders[2]
    answer = ledger.op("gov.override", Override(other.id, proposal, REASON))
    ledger.accept(answer, execute, by=other)
    assert len(ledger.validators.validators) == 6


def test_who_leaves_need_not_follow_anybody() -> None:
    ledger = Ledger(validators=5)
    enact(ledger, ProposalKind.VALIDATOR_REMOVE, removal(ledger))
    assert len(ledger.validators.validators) == 4
