"""What holds for every transaction type of the registry, whoever wrote it."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.ledger.codes import OK, Code
from node.ledger.registry import Registry
from node.ledger.roles import Role
from node.ledger.types import BUILT_IN
from tests.support.bodies import bodies
from tests.support.examples import examples
from tests.support.ledger import Ledger, Person

REGISTRY = Registry(BUILT_IN)
TYPES = [entry.type.name for entry in REGISTRY.entries()]
EXAMPLES = examples()
AUTHORISATION = frozenset({Code.ROLE, Code.ORG, Code.CONSENT, Code.QUORUM, Code.SCOPE})


def outsiders(ledger: Ledger) -> list[Person]:
    """People of another hospital: one without any role, and one with all of them."""
    nobody = ledger.person()
    everything = ledger.person(ledger.org(), *Role)
    return [nobody, everything]


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_only_the_right_signers_succeed(name: str) -> None:
    ledger = Ledger()
    example = EXAMPLES[name](ledger)
    strangers = outsiders(ledger) if not _open_to_members(name) else outsiders(ledger)[:1]
    for stranger in strangers:
        outcome = ledger.block(ledger.tx(example.operation, by=stranger))[0]
        assert outcome.code in AUTHORISATION, f"a stranger got {outcome.code}"
    if len(example.by) > 1:
        for left_out in range(len(example.by)):
            some = [who for number, who in enumerate(example.by) if number != left_out]
            outcome = ledger.block(ledger.tx(example.operation, by=some))[0]
            assert outcome.code in AUTHORISATION, f"without signer {left_out}: {outcome.code}"
    ledger.accept(example.operation, by=example.by)


def test_every_type_has_an_example() -> None:
    assert sorted(EXAMPLES) == TYPES


@pytest.mark.parametrize("name", TYPES)
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_well_formed_body_of_a_stranger_is_refused_or_harmless(
    name: str, data: st.DataObject
) -> None:
    """A handler refuses with a code and never raises, and somebody without a role gets nowhere."""
    ledger, nobody = _chain_with_nobody()
    entry = REGISTRY.entry(name, 1)
    assert entry is not None
    operation = ledger.op(name, data.draw(bodies(entry.type)))
    outcome = ledger.block(ledger.tx(operation, by=nobody))[0]
    assert outcome.code != OK


def _open_to_members(name: str) -> bool:
    """Decisions that have passed may be carried out by the administrator of any member."""
    return name == "gov.execute" or name.startswith("id.org.")


@cache
def _chain_with_nobody() -> tuple[Ledger, Person]:
    """One chain for all generated bodies, which must not change it, and somebody without a role."""
    ledger = Ledger()
    return ledger, ledger.person()
