"""Governance: more than two thirds decide, once, within bounds, from the next height on."""

from __future__ import annotations

import pytest

from medquorum.keys import SigningKey
from node.ledger.codes import OK, Code
from node.ledger.decisions import REJECT, Draft
from node.ledger.limits import PROPOSALS_OPEN_MAX
from node.ledger.membership import node_keys
from node.ledger.params import TX_WINDOW, param, remembered_heights
from node.ledger.proposals import (
    Activate,
    Content,
    ObserverAdd,
    ObserverRemove,
    OrgSuspend,
    ParamSet,
    PauseModule,
    ProposalKind,
    UnpauseModule,
    ValidatorAdd,
    ValidatorRemove,
    ValidatorReplace,
)
from node.ledger.roles import Role
from node.ledger.types.governance.bodies import CastVote, EmergencyPause, Execute, Propose
from node.ledger.types.governance.parameters import PROPOSAL_MS
from node.ledger.types.identity.bodies import CarryOut
from node.ledger.types.payments.bodies import Mint
from tests.support.examples_identity import admission, issuance, possession
from tests.support.governance import admit, decide, draft, enact, propose, vote
from tests.support.ledger import HOUR_MS, Ledger, OrgHandle, some_key

WINDOW = ParamSet(TX_WINDOW, 500)
DAY_MS = 24 * HOUR_MS


def joining(ledger: Ledger, org: OrgHandle, name: str = "new") -> tuple[ValidatorAdd, SigningKey]:
    """A validator that `org` wants to run."""
    key = some_key(f"{name} validator")
    signature = possession(ledger, org.id, key)
    return ValidatorAdd(key.public, some_key(f"{name} node").public, org.id, signature), key


def refuse_proposal(ledger: Ledger, code: Code, kind: ProposalKind, content: Content) -> None:
    founder = ledger.founders[0]
    body = Propose(founder.id, draft(ledger, kind, content))
    ledger.refuse(code, ledger.op("gov.propose", body), by=founder)


def test_two_thirds_are_not_enough_and_more_than_two_thirds_are() -> None:
    ledger = Ledger(validators=6)
    proposal = propose(ledger, ProposalKind.PARAM_SET, WINDOW)
    execute = ledger.op("gov.execute", Execute(proposal))
    vote(ledger, proposal, 4)
    ledger.refuse(Code.QUORUM, execute, by=ledger.founders[0])
    fifth = ledger.founders[4]
    ledger.accept(ledger.op("gov.vote", CastVote(fifth.id, proposal, "approve")), by=fifth)
    ledger.accept(execute, by=ledger.founders[0])
    ledger.refuse(Code.STATE, execute, by=ledger.founders[0])


def test_an_organisation_votes_once_and_only_if_it_operates_a_validator() -> None:
    ledger = Ledger()
    proposal = propose(ledger, ProposalKind.PARAM_SET, WINDOW)
    founder, outsider = ledger.founders[0], ledger.org()
    reject = ledger.op("gov.vote", CastVote(founder.id, proposal, REJECT))
    ledger.accept(reject, by=founder)
    ledger.refuse(Code.DUPLICATE, reject, by=founder)
    change = ledger.op("gov.vote", CastVote(founder.id, proposal, "approve"))
    ledger.refuse(Code.DUPLICATE, change, by=founder)
    foreign = ledger.op("gov.vote", CastVote(outsider.id, proposal, "approve"))
    ledger.refuse(Code.ROLE, foreign, by=outsider)
    odd = ledger.op("gov.vote", CastVote(ledger.founders[1].id, proposal, "maybe"))
    ledger.refuse(Code.SCHEMA, odd, by=ledger.founders[1])


def test_votes_weigh_as_many_validators_as_the_organisation_operates() -> None:
    ledger = Ledger()
    heavy = ledger.founders[0]
    for name in ("a", "b", "c", "d", "e"):
        content, _ = joining(ledger, heavy, name)
        admit(ledger, content.node_key, heavy.id)
        enact(ledger, ProposalKind.VALIDATOR_ADD, content)
    assert len(ledger.validators.validators) == 9
    proposal = propose(ledger, ProposalKind.PARAM_SET, WINDOW)
    vote(ledger, proposal, 1)
    execute = ledger.op("gov.execute", Execute(proposal))
    ledger.refuse(Code.QUORUM, execute, by=heavy)
    second = ledger.founders[1]
    ledger.accept(ledger.op("gov.vote", CastVote(second.id, proposal, "approve")), by=second)
    ledger.accept(execute, by=heavy)


def test_a_proposal_expires_and_makes_room() -> None:
    ledger = Ledger(params={PROPOSAL_MS: HOUR_MS})
    proposal = decide(ledger, ProposalKind.PARAM_SET, WINDOW)
    events = ledger.pass_time(hours=1)
    assert [event.type for event in events] == ["gov.proposal_expired"]
    ledger.refuse(Code.EXPIRED, ledger.op("gov.execute", Execute(proposal)), by=ledger.founders[0])


def test_one_member_cannot_keep_the_others_from_proposing() -> None:
    ledger = Ledger(params={PROPOSAL_MS: HOUR_MS})
    for _ in range(PROPOSALS_OPEN_MAX):
        propose(ledger, ProposalKind.PARAM_SET, WINDOW)
    refuse_proposal(ledger, Code.LIMIT, ProposalKind.PARAM_SET, WINDOW)
    other = ledger.founders[1]
    body = Propose(other.id, draft(ledger, ProposalKind.PARAM_SET, WINDOW))
    ledger.accept(ledger.op("gov.propose", body), by=other)
    ledger.pass_time(hours=2)
    propose(ledger, ProposalKind.PARAM_SET, WINDOW)


def test_a_parameter_changes_with_the_next_height_and_stays_in_bounds() -> None:
    ledger = Ledger()
    for value in (9, 100_001, 2**53 - 1):
        refuse_proposal(ledger, Code.SCHEMA, ProposalKind.PARAM_SET, ParamSet(TX_WINDOW, value))
    unknown = ParamSet("no.such", 1)
    refuse_proposal(ledger, Code.NOT_FOUND, ProposalKind.PARAM_SET, unknown)
    enact(ledger, ProposalKind.PARAM_SET, WINDOW)
    assert param(ledger.view(), TX_WINDOW) == 1_000
    ledger.block()
    assert param(ledger.view(), TX_WINDOW) == 500


def test_after_the_window_was_narrowed_ids_are_remembered_until_the_wide_one_has_passed() -> None:
    ledger = Ledger()
    enact(ledger, ProposalKind.PARAM_SET, WINDOW)
    effective = ledger.height + 1
    refuse_proposal(ledger, Code.STATE, ProposalKind.PARAM_SET, ParamSet(TX_WINDOW, 100))
    ledger.height = effective + 999
    assert remembered_heights(ledger.view()) == 1_000
    ledger.height = effective + 1_000
    assert remembered_heights(ledger.view()) == 500


def test_validators_change_with_the_next_height() -> None:
    ledger = Ledger()
    org = ledger.org()
    content, _ = joining(ledger, org)
    admit(ledger, content.node_key, org.id)
    before = ledger.validators
    proposal = decide(ledger, ProposalKind.VALIDATOR_ADD, content)
    execute = ledger.tx(ledger.op("gov.execute", Execute(proposal)), by=ledger.founders[0])
    ledger.block(execute)
    assert ledger.last is not None
    assert ledger.last.next_validators.validators == (
        *before.validators, *ledger.validators.validators[-1:],
    )  # fmt: skip
    assert ledger.validators.validators[-1].key == content.key
    enact(ledger, ProposalKind.VALIDATOR_REMOVE, ValidatorRemove(content.key))
    assert ledger.validators == before
    # A vote key never comes back: its sign state may be lost.
    refuse_proposal(ledger, Code.DUPLICATE, ProposalKind.VALIDATOR_ADD, content)


def test_four_validators_are_not_voted_down_to_three() -> None:
    ledger = Ledger()
    content = ValidatorRemove(ledger.validators.validators[0].key)
    refuse_proposal(ledger, Code.LIMIT, ProposalKind.VALIDATOR_REMOVE, content)
    alone = Ledger(validators=1)
    last = ValidatorRemove(alone.validators.validators[0].key)
    refuse_proposal(alone, Code.LIMIT, ProposalKind.VALIDATOR_REMOVE, last)


def test_two_passed_removals_cannot_together_break_the_floor() -> None:
    ledger = Ledger(validators=5)
    keys = [validator.key for validator in ledger.validators.validators]
    first = decide(ledger, ProposalKind.VALIDATOR_REMOVE, ValidatorRemove(keys[0]))
    second = decide(ledger, ProposalKind.VALIDATOR_REMOVE, ValidatorRemove(keys[1]))
    by = ledger.founders[4]
    outcomes = ledger.block(
        ledger.tx(ledger.op("gov.execute", Execute(first)), by=by),
        ledger.tx(ledger.op("gov.execute", Execute(second)), by=by),
    )
    assert [outcome.code for outcome in outcomes] == [OK, Code.LIMIT]
    assert len(ledger.validators.validators) == 4


def test_a_replaced_validator_keeps_its_place() -> None:
    ledger = Ledger()
    old = ledger.validators.validators[1]
    key, node = some_key("fresh vote"), some_key("fresh node")
    signature = possession(ledger, old.org, key)
    content = ValidatorReplace(old.key, key.public, node.public, signature)
    admit(ledger, node.public, old.org)
    enact(ledger, ProposalKind.VALIDATOR_REPLACE, content)
    assert ledger.validators.validators[1].key == key.public
    assert ledger.validators.validators[1].org == old.org


def test_a_validator_needs_a_proof_of_its_key_and_two_different_keys() -> None:
    ledger = Ledger()
    org = ledger.org()
    good, key = joining(ledger, org)
    forged = ValidatorAdd(good.key, good.node_key, org.id, possession(ledger, org.id, org.key))
    refuse_proposal(ledger, Code.SIG, ProposalKind.VALIDATOR_ADD, forged)
    same = ValidatorAdd(good.key, good.key, org.id, possession(ledger, org.id, key))
    refuse_proposal(ledger, Code.SCHEMA, ProposalKind.VALIDATOR_ADD, same)


def test_observers_connect_and_may_become_validators_with_their_node_key() -> None:
    ledger = Ledger()
    org = ledger.org()
    content, _ = joining(ledger, org)
    enact(ledger, ProposalKind.OBSERVER_ADD, ObserverAdd(content.node_key, org.id))
    assert (content.node_key, org.id) in set(node_keys(ledger.view()))
    enact(ledger, ProposalKind.VALIDATOR_ADD, content)
    assert [key for key, _ in node_keys(ledger.view())].count(content.node_key) == 1
    gone = ObserverRemove(content.node_key)
    refuse_proposal(ledger, Code.NOT_FOUND, ProposalKind.OBSERVER_REMOVE, gone)


def test_an_organisation_is_admitted_suspended_and_reinstated_by_decision_only_once_each() -> None:
    ledger = Ledger()
    member = ledger.founders[0]
    content = admission(ledger)
    proposal = decide(ledger, ProposalKind.ORG_REGISTER, content)
    register = ledger.op("id.org.register", CarryOut(proposal))
    wrong = ledger.op("id.org.suspend", CarryOut(proposal))
    ledger.refuse(Code.STATE, wrong, by=member)
    ledger.refuse(Code.STATE, ledger.op("gov.execute", Execute(proposal)), by=member)
    ledger.accept(register, by=member)
    ledger.refuse(Code.STATE, register, by=member)
    newcomer = OrgHandle(content.org, some_key("newcomer root"))
    recruit = ledger.person(newcomer)
    issue = ledger.op("id.cred.issue", issuance(ledger, recruit.id, content.org, Role.NURSE))
    suspension = decide(ledger, ProposalKind.ORG_SUSPEND, OrgSuspend(content.org))
    suspend = ledger.tx(ledger.op("id.org.suspend", CarryOut(suspension)), by=member)
    same_block = ledger.tx(issue, by=newcomer)
    assert [outcome.code for outcome in ledger.block(suspend, same_block)] == [OK, OK]
    again = ledger.op("id.cred.issue", issuance(ledger, recruit.id, content.org, Role.NURSE))
    ledger.refuse(Code.ORG, again, by=newcomer)
    ledger.refuse(Code.STATE, ledger.op("id.org.suspend", CarryOut(suspension)), by=member)


def test_a_gateway_is_named_by_one_organisation_only() -> None:
    ledger = Ledger()
    taken = admission(ledger, uri="https://0.test")
    refuse_proposal(ledger, Code.DUPLICATE, ProposalKind.ORG_REGISTER, taken)


def test_content_must_be_the_structure_of_its_kind() -> None:
    ledger = Ledger()
    founder = ledger.founders[0]
    for kind, content in (("param_set", b""), ("param_set", b"\x92\xa1a\x01\x00"), ("war", b"")):
        body = Propose(founder.id, Draft(kind, content, bytes(16)))
        ledger.refuse(Code.SCHEMA, ledger.op("gov.propose", body), by=founder)


def test_code_is_activated_in_the_future_only() -> None:
    ledger = Ledger()
    for height in (0, ledger.height, ledger.height + 100):
        content = Activate("genomics", 0, height, bytes(32))
        refuse_proposal(ledger, Code.TTL, ProposalKind.ACTIVATE, content)


def test_a_paused_module_refuses_what_can_wait_until_the_pause_is_over() -> None:
    ledger = Ledger()
    until_ms = ledger.time_ms + HOUR_MS
    enact(ledger, ProposalKind.PAUSE, PauseModule("payments", until_ms))
    who = ledger.person()
    opening = ledger.op("pay.mint", Mint(who.id, 1, bytes(32), bytes(32)))
    ledger.refuse(Code.PAUSED, opening, by=who)
    enact(ledger, ProposalKind.UNPAUSE, UnpauseModule("payments"))
    assert ledger.block(ledger.tx(opening, by=who))[0].code != Code.PAUSED


def test_identity_and_governance_are_never_paused() -> None:
    ledger = Ledger()
    for module in ("identity", "governance"):
        content = PauseModule(module, ledger.time_ms + HOUR_MS)
        refuse_proposal(ledger, Code.STATE, ProposalKind.PAUSE, content)


def test_two_organisations_pause_in_an_emergency_for_a_short_time_and_not_again_soon() -> None:
    ledger = Ledger()
    first, second = ledger.founders[:2]

    def pause(hours: int) -> EmergencyPause:
        return EmergencyPause(first.id, second.id, "payments", ledger.time_ms + hours * HOUR_MS)

    ledger.refuse(Code.TTL, ledger.op("gov.pause", pause(30)), by=[first, second])
    same = EmergencyPause(first.id, first.id, "payments", ledger.time_ms + HOUR_MS)
    ledger.refuse(Code.ROLE, ledger.op("gov.pause", same), by=first)
    ledger.accept(ledger.op("gov.pause", pause(2)), by=[first, second])
    ledger.pass_time(days=2)
    ledger.refuse(Code.STATE, ledger.op("gov.pause", pause(2)), by=[first, second])
    ledger.pass_time(days=7)
    ledger.accept(ledger.op("gov.pause", pause(2)), by=[first, second])


@pytest.mark.parametrize("status", ["open", "passed", "executed"])
def test_queries_tell_how_a_proposal_stands(status: str) -> None:
    ledger = Ledger()
    proposal = propose(ledger, ProposalKind.PARAM_SET, WINDOW)
    if status != "open":
        vote(ledger, proposal, 3)
    if status == "executed":
        ledger.accept(ledger.op("gov.execute", Execute(proposal)), by=ledger.founders[0])
    answer = ledger.query("gov.proposal", proposal=proposal)
    assert getattr(answer, "status", None) == status
