"""Who may connect: the members, and before the chain knows them, whom the operator named."""

from __future__ import annotations

from node.ledger.proposals import ObserverAdd, ObserverRemove, ProposalKind, ValidatorRemove
from node.roster import Roster
from tests.support.governance import enact
from tests.support.ledger import Ledger, some_key

LATER, NOBODY = some_key("later node").public, some_key("nobody").public


def test_members_connect_and_of_the_others_only_whom_the_operator_named() -> None:
    ledger = Ledger()
    founder = ledger.validators.validators[0].node_key
    roster = Roster(ledger.validators, ledger.view(), configured=[founder, LATER])
    assert [roster.may_connect(key) for key in (founder, LATER, NOBODY)] == [True, True, False]
    assert [roster.is_member(key) for key in (founder, LATER, NOBODY)] == [True, False, False]


def test_who_was_let_in_by_the_operator_becomes_a_member_with_the_chain() -> None:
    ledger = Ledger()
    roster = Roster(ledger.validators, ledger.view(), configured=[LATER])
    enact(ledger, ProposalKind.OBSERVER_ADD, ObserverAdd(LATER, ledger.founders[0].id))
    assert roster.update(ledger.validators, ledger.view())
    assert roster.is_member(LATER)
    assert not roster.update(ledger.validators, ledger.view())


def test_whom_the_chain_no_longer_admits_stays_out_although_the_operator_still_names_it() -> None:
    ledger = Ledger(validators=5)
    removed = ledger.validators.validators[4]
    enact(ledger, ProposalKind.OBSERVER_ADD, ObserverAdd(LATER, ledger.founders[0].id))
    roster = Roster(ledger.validators, ledger.view(), configured=[removed.node_key, LATER])
    enact(ledger, ProposalKind.OBSERVER_REMOVE, ObserverRemove(LATER))
    enact(ledger, ProposalKind.VALIDATOR_REMOVE, ValidatorRemove(removed.key))
    assert roster.update(ledger.validators, ledger.view())
    assert not roster.may_connect(removed.node_key)
    assert not roster.may_connect(LATER)


def test_a_vote_key_opens_no_door() -> None:
    ledger = Ledger()
    vote_key = ledger.validators.validators[0].key
    roster = Roster(ledger.validators, ledger.view(), configured=[])
    assert not roster.may_connect(vote_key)
