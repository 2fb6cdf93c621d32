"""Who contradicted itself is suspended by vote, for evidence that the ledger checks itself."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from medquorum.block import Validator
from medquorum.certificate import VoteTag
from medquorum.evidence import Evidence, EvidenceKind, make_evidence
from medquorum.keys import SigningKey
from node.ledger import suspensions
from node.ledger.codes import OK, Code
from node.ledger.decisions import APPROVE, REJECT
from node.ledger.limits import EVIDENCE_HEIGHTS_MAX
from node.ledger.membership import node_keys
from node.ledger.proposals import (
    Content,
    ObserverAdd,
    ProposalKind,
    ValidatorAdd,
    ValidatorReinstate,
    ValidatorRemove,
    ValidatorReplace,
    ValidatorSuspend,
)
from node.ledger.types.governance.bodies import CastVote, Execute, Propose
from node.ledger.types.governance.queries import SuspensionsAnswer, SuspensionsParams
from tests.support.evidence import A, B, evidence_against, statement
from tests.support.examples_identity import possession
from tests.support.governance import decide, draft, propose, vote
from tests.support.ledger import HOUR_MS, Ledger, some_key

SUSPEND = ProposalKind.VALIDATOR_SUSPEND
OBSERVE = ProposalKind.OBSERVER_ADD
REINSTATE = ProposalKind.VALIDATOR_REINSTATE
LIAR = 1


def liar_key() -> SigningKey:
    return some_key(f"founder {LIAR} validator")


def aged(heights: int, validators: int = 5) -> Ledger:
    ledger = Ledger(validators=validators)
    for _ in range(heights):
        ledger.block()
    return ledger


def against(ledger: Ledger, height: int = 1, key: SigningKey | None = None) -> Evidence:
    return evidence_against(key or liar_key(), ledger.chain_id, height)


def refuse_proposal(ledger: Ledger, code: Code, kind: ProposalKind, content: Content) -> None:
    founder = ledger.founders[0]
    body = Propose(founder.id, draft(ledger, kind, content))
    ledger.refuse(code, ledger.op("gov.propose", body), by=founder)


def enact(ledger: Ledger, kind: ProposalKind, content: Content) -> None:
    """All organisations that still operate a validator approve, and it is carried out."""
    proposal = propose(ledger, kind, content)
    voters = {validator.org for validator in ledger.validators.validators}
    for founder in ledger.founders:
        if founder.id in voters:
            body = CastVote(founder.id, proposal, APPROVE)
            ledger.accept(ledger.op("gov.vote", body), by=founder)
    ledger.accept(ledger.op("gov.execute", Execute(proposal)), by=ledger.founders[0])


def return_of(ledger: Ledger, old: Validator, name: str = "again") -> ValidatorReinstate:
    key = some_key(f"{name} vote")
    proof = possession(ledger, old.org, key)
    return ValidatorReinstate(old.key, old.org, key.public, old.node_key, proof)


@pytest.mark.parametrize("kind", list(EvidenceKind))
def test_a_proven_liar_votes_no_more_from_the_next_height_on(kind: EvidenceKind) -> None:
    ledger = aged(2)
    accused = ledger.validators.validators[LIAR]
    evidence = evidence_against(liar_key(), ledger.chain_id, 2, kind=kind)
    proposal = decide(ledger, SUSPEND, ValidatorSuspend(evidence))
    assert accused in ledger.validators.validators
    events = ledger.accept(ledger.op("gov.execute", Execute(proposal)), by=ledger.founders[0])
    assert accused not in ledger.validators.validators
    assert len(ledger.validators.validators) == 4
    (told,) = [event for event in events if event.type == "gov.validator_suspended"]
    assert {a.name: a.value for a in told.attributes} == {
        "validator": accused.key,
        "org": accused.org,
        "kind": kind.value,
        "evidence": evidence.id(),
    }
    assert accused.node_key not in dict(node_keys(ledger.view()))


def test_two_ballots_in_one_term_of_a_raft_chain_count_as_well() -> None:
    ledger, key = aged(2), liar_key()
    ballots = [
        statement(key, ledger.chain_id, 2, VoteTag.ROUND_CHANGE, 3, some_key(name).public)
        for name in ("one candidate", "another candidate")
    ]
    enact(ledger, SUSPEND, ValidatorSuspend(make_evidence(key.public, 2, *ballots)))
    assert key.public not in {voter.key for voter in ledger.validators.validators}


def test_evidence_alone_suspends_nobody() -> None:
    ledger = aged(1, validators=6)
    proposal = propose(ledger, SUSPEND, ValidatorSuspend(against(ledger)))
    execute = ledger.op("gov.execute", Execute(proposal))
    ledger.refuse(Code.QUORUM, execute, by=ledger.founders[0])
    vote(ledger, proposal, 4)
    ledger.refuse(Code.QUORUM, execute, by=ledger.founders[0])
    assert len(ledger.validators.validators) == 6


def test_false_evidence_is_refused_whoever_proposes_it() -> None:
    ledger = aged(3)
    key = liar_key()
    innocent = make_evidence(
        key.public,
        1,
        statement(key, ledger.chain_id, 1, VoteTag.PREPARE, 0, A),
        statement(key, ledger.chain_id, 1, VoteTag.PREPARE, 1, B),
    )
    good = against(ledger)
    victim = some_key("founder 2 validator").public
    cases = {
        innocent: Code.SCHEMA,
        replace(good, first=good.second, second=good.first): Code.SCHEMA,
        replace(good, validator=victim): Code.SIG,
        replace(good, height=2): Code.SIG,
        evidence_against(key, b"\x09" * 32, 1): Code.SIG,
        against(ledger, 1_000): Code.STATE,
        against(ledger, key=some_key("a stranger")): Code.NOT_FOUND,
    }
    for evidence, code in cases.items():
        refuse_proposal(ledger, code, SUSPEND, ValidatorSuspend(evidence))


def test_evidence_too_old_counts_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    assert EVIDENCE_HEIGHTS_MAX > 1_000_000
    monkeypatch.setattr(suspensions, "EVIDENCE_HEIGHTS_MAX", 4)
    ledger = aged(5)
    refuse_proposal(ledger, Code.EXPIRED, SUSPEND, ValidatorSuspend(against(ledger, 1)))
    propose(ledger, SUSPEND, ValidatorSuspend(against(ledger, 3)))


def test_a_validator_is_charged_once_at_a_time() -> None:
    ledger = aged(2)
    first = propose(ledger, SUSPEND, ValidatorSuspend(against(ledger)))
    other = ValidatorSuspend(against(ledger, 2))
    refuse_proposal(ledger, Code.DUPLICATE, SUSPEND, other)
    another_liar = against(ledger, key=some_key("founder 2 validator"))
    propose(ledger, SUSPEND, ValidatorSuspend(another_liar))
    vote(ledger, first, 3, REJECT)
    ledger.block(after_ms=31 * 24 * HOUR_MS)
    propose(ledger, SUSPEND, other)


def test_who_was_suspended_cannot_be_suspended_again() -> None:
    ledger = aged(2, validators=6)
    enact(ledger, SUSPEND, ValidatorSuspend(against(ledger)))
    refuse_proposal(ledger, Code.NOT_FOUND, SUSPEND, ValidatorSuspend(against(ledger, 2)))


def test_four_validators_never_become_three() -> None:
    ledger = aged(2, validators=4)
    refuse_proposal(ledger, Code.LIMIT, SUSPEND, ValidatorSuspend(against(ledger)))
    smaller = aged(2, validators=3)
    enact(smaller, SUSPEND, ValidatorSuspend(against(smaller)))
    assert len(smaller.validators.validators) == 2


def test_two_passed_suspensions_cannot_together_break_the_floor() -> None:
    ledger = aged(2)
    first = decide(ledger, SUSPEND, ValidatorSuspend(against(ledger)))
    accomplice = against(ledger, key=some_key("founder 2 validator"))
    second = decide(ledger, SUSPEND, ValidatorSuspend(accomplice))
    by = ledger.founders[4]
    outcomes = ledger.block(
        ledger.tx(ledger.op("gov.execute", Execute(first)), by=by),
        ledger.tx(ledger.op("gov.execute", Execute(second)), by=by),
    )
    assert [outcome.code for outcome in outcomes] == [OK, Code.LIMIT]


def test_a_validator_that_was_replaced_meanwhile_is_gone_already() -> None:
    ledger = aged(2)
    accused = ledger.validators.validators[LIAR]
    proposal = decide(ledger, SUSPEND, ValidatorSuspend(against(ledger)))
    key = some_key("replacement vote")
    content = ValidatorReplace(
        accused.key,
        key.public,
        some_key("replacement node").public,
        possession(ledger, accused.org, key),
    )
    enact(ledger, OBSERVE, ObserverAdd(content.new_node_key, accused.org))
    enact(ledger, ProposalKind.VALIDATOR_REPLACE, content)
    execute = ledger.op("gov.execute", Execute(proposal))
    ledger.refuse(Code.NOT_FOUND, execute, by=ledger.founders[0])


def test_its_key_never_votes_again_but_its_organisation_may_with_another() -> None:
    ledger = aged(2)
    accused = ledger.validators.validators[LIAR]
    enact(ledger, SUSPEND, ValidatorSuspend(against(ledger)))
    again = ValidatorAdd(
        accused.key,
        accused.node_key,
        accused.org,
        possession(ledger, accused.org, liar_key()),
    )
    refuse_proposal(ledger, Code.DUPLICATE, ProposalKind.VALIDATOR_ADD, again)
    same = replace(
        return_of(ledger, accused),
        new_key=accused.key,
        possession=possession(ledger, accused.org, liar_key()),
    )
    refuse_proposal(ledger, Code.DUPLICATE, REINSTATE, same)
    content = return_of(ledger, accused)
    enact(ledger, OBSERVE, ObserverAdd(content.new_node_key, accused.org))
    enact(ledger, REINSTATE, content)
    returned = Validator(content.new_key, accused.node_key, accused.org)
    assert ledger.validators.validators[-1] == returned
    refuse_proposal(ledger, Code.STATE, REINSTATE, return_of(ledger, accused, "once more"))


def test_nobody_is_reinstated_who_was_not_suspended_nor_for_somebody_else() -> None:
    ledger = aged(2, validators=6)
    accused, bystander = ledger.validators.validators[LIAR], ledger.validators.validators[2]
    refuse_proposal(ledger, Code.NOT_FOUND, REINSTATE, return_of(ledger, bystander))
    enact(ledger, SUSPEND, ValidatorSuspend(against(ledger)))
    stolen = replace(return_of(ledger, accused), org=bystander.org)
    refuse_proposal(ledger, Code.ORG, REINSTATE, stolen)
    unproven = replace(return_of(ledger, accused), possession=bytes(65))
    refuse_proposal(ledger, Code.SIG, REINSTATE, unproven)
    # Suspended validators may follow, like anybody's daemon.
    enact(ledger, OBSERVE, ObserverAdd(accused.node_key, accused.org))
    enact(ledger, REINSTATE, return_of(ledger, accused))
    assert [key for key, _ in node_keys(ledger.view())].count(accused.node_key) == 1


def test_suspensions_can_be_asked_for_page_by_page() -> None:
    ledger = aged(2, validators=7)
    keys = [some_key(f"founder {n} validator") for n in (1, 2)]
    for key in keys:
        enact(ledger, SUSPEND, ValidatorSuspend(against(ledger, key=key)))
    query = ledger.registry.query("gov.suspensions")
    assert query is not None
    page = query.run(SuspensionsParams(limit=1), ledger.view())
    assert isinstance(page, SuspensionsAnswer)
    rest = query.run(SuspensionsParams(cursor=page.next_cursor), ledger.view())
    assert isinstance(rest, SuspensionsAnswer)
    shown = [*page.items, *rest.items]
    assert {item.validator for item in shown} == {key.public for key in keys}
    assert {item.status for item in shown} == {"suspended"}
    assert rest.next_cursor == b""


def test_a_removal_is_no_suspension() -> None:
    ledger = aged(2, validators=6)
    accused = ledger.validators.validators[LIAR]
    enact(ledger, ProposalKind.VALIDATOR_REMOVE, ValidatorRemove(accused.key))
    refuse_proposal(ledger, Code.NOT_FOUND, REINSTATE, return_of(ledger, accused))
