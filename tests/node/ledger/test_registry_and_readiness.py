"""The registry refuses contradictions, publishes what it knows, and says what it lacks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from medquorum.codec import U53, Wire, encode
from medquorum.transaction import Operation
from node.ledger.admission import StateCheck
from node.ledger.codes import OK, Code
from node.ledger.context import Context
from node.ledger.errors import AdmissionError, RegistryError, UnservedCodeError
from node.ledger.params import param
from node.ledger.proposals import Activate, ProposalKind
from node.ledger.readiness import must_stop_before, unserved
from node.ledger.registry import Registry, module_code_hash
from node.ledger.tables import Table
from node.ledger.txtype import EventType, Module, Param, TxType
from node.ledger.types import BUILT_IN
from tests.support.governance import enact
from tests.support.ledger import Ledger


class Count(Wire, frozen=True):
    number: U53


class Loose(Wire, frozen=True):
    number: U53 = 1


def nothing(_body: Wire, _ctx: Context) -> None:
    """Do nothing."""


TYPE = TxType("gen.count", 1, Count, nothing, "Count.")
TABLE = Table(b"a", "counts", key=("id",), value=Count, meaning="counts")
GENOMICS = Module("genomics", types=(TYPE,), tables=(TABLE,))
CODE = module_code_hash({"__init__.py": bytes(32)})


@pytest.mark.parametrize(
    "spoil",
    [
        lambda m: replace(m, types=(TYPE, TYPE)),
        lambda m: replace(m, tables=(TABLE, TABLE)),
        lambda m: replace(m, name="due"),
        lambda m: replace(m, name="Genomics"),
        lambda m: replace(m, types=(replace(TYPE, name="Gen Count"),)),
        lambda m: replace(m, types=(replace(TYPE, version=0),)),
        lambda m: replace(m, types=(TxType("gen.count", 1, Loose, nothing, "Count."),)),
        lambda m: replace(m, params=(Param("gen.p", 5, 6, 7, "x"),)),
        lambda m: replace(m, params=(Param("tx.window_heights", 5, 1, 7, "x"),)),
        lambda m: replace(m, events=(EventType("gen.e", ("a", "a"), "x"),)),
        lambda m: replace(m, due={"no good": nothing}),
    ],
)
def test_modules_that_contradict_themselves_or_others_are_refused(
    spoil: Callable[[Module], Module],
) -> None:
    Registry([*BUILT_IN, GENOMICS])
    with pytest.raises(RegistryError):
        Registry([*BUILT_IN, spoil(GENOMICS)])


def test_every_type_publishes_a_schema_with_the_order_of_its_fields() -> None:
    for published in Registry(BUILT_IN).schemas():
        properties = published.schema["properties"]
        assert isinstance(properties, dict)
        assert tuple(properties) == published.fields
        assert published.summary != ""
        assert published.active_from == 1


def test_a_module_hash_names_contents_and_paths_in_any_order() -> None:
    one, two = {"a.py": b"\x01" * 32, "b.py": b"\x02" * 32}, {"b.py": b"\x02" * 32}
    two["a.py"] = b"\x01" * 32
    assert module_code_hash(one) == module_code_hash(two)
    assert module_code_hash(one) != module_code_hash({"a.py": b"\x02" * 32, "b.py": b"\x01" * 32})


def test_a_third_party_module_sleeps_until_its_height_and_then_runs() -> None:
    ledger = Ledger(third_party=[GENOMICS], code_hashes={"genomics": CODE})
    who = ledger.person()
    count = Operation("gen.count", 1, encode(Count(1)))
    ledger.refuse(Code.TYPE, count, by=who)
    height = ledger.height + 150
    enact(ledger, ProposalKind.ACTIVATE, Activate("genomics", 0, height, CODE))
    assert unserved(ledger.view(), ledger.registry) == ()
    while ledger.height < height - 2:
        ledger.block()
    ledger.refuse(Code.TYPE, count, by=who)
    assert ledger.block(ledger.tx(count, by=who))[0].code == OK


def test_a_type_is_admitted_from_the_height_on_at_which_it_is_active() -> None:
    """Before, who admits it makes a promise that a leader without its code does not keep."""
    ledger = Ledger(third_party=[GENOMICS], code_hashes={"genomics": CODE})
    who, height = ledger.person(), ledger.height + 150
    enact(ledger, ProposalKind.ACTIVATE, Activate("genomics", 0, height, CODE))
    while ledger.height < height - 2:
        ledger.block()
    tx = ledger.tx(Operation("gen.count", 1, encode(Count(1))), by=who)
    with pytest.raises(AdmissionError) as caught:
        StateCheck(ledger.view(), height - 1, ledger.registry).check(tx)
    assert caught.value.code == "unknown_type"
    ledger.block()
    assert StateCheck(ledger.view(), height, ledger.registry).check(tx).org == who.org.id


def test_what_is_installed_does_not_change_the_genesis() -> None:
    with_params = replace(GENOMICS, params=(Param("gen.p", 5, 1, 7, "x"),))
    plain, extended = Ledger(), Ledger(third_party=[with_params], code_hashes={"genomics": CODE})
    assert plain.state.digest() == extended.state.digest()
    height = extended.height + 150
    enact(extended, ProposalKind.ACTIVATE, Activate("genomics", 0, height, CODE))
    while extended.height < height:
        extended.block()
    assert param(extended.view(), "gen.p") == 5


def test_a_node_without_the_agreed_code_does_not_execute_its_height() -> None:
    ledger = Ledger()
    height = ledger.height + 150
    enact(ledger, ProposalKind.ACTIVATE, Activate("genomics", 0, height, CODE))
    while ledger.height < height - 1:
        ledger.block()
    with pytest.raises(UnservedCodeError, match="genomics"):
        ledger.block()


def test_a_node_without_the_agreed_code_says_code_says_so_ahead_and_knows_where_to_stop() -> None:
    ledger = Ledger(third_party=[GENOMICS], code_hashes={"genomics": CODE})
    height = ledger.height + 150
    enact(ledger, ProposalKind.ACTIVATE, Activate("genomics", 0, height, CODE))
    without, other = Registry(BUILT_IN), Registry(BUILT_IN, [GENOMICS], {"genomics": bytes(32)})
    assert [item.reason for item in unserved(ledger.view(), without)] == ["missing"]
    assert [item.reason for item in unserved(ledger.view(), other)] == ["other_code"]
    assert must_stop_before(ledger.view(), without) == height
    assert must_stop_before(ledger.view(), ledger.registry) is None


def test_a_new_version_of_a_built_in_type_waits_for_its_activation() -> None:
    second = replace(TYPE, version=2)
    ledger = Ledger(replace(GENOMICS, types=(TYPE, second)), code_hashes={"genomics": CODE})
    who = ledger.person()
    ledger.accept(Operation("gen.count", 1, encode(Count(1))), by=who)
    newer = Operation("gen.count", 2, encode(Count(1)))
    ledger.refuse(Code.TYPE, newer, by=who)
    height = ledger.height + 150
    enact(ledger, ProposalKind.ACTIVATE, Activate("gen.count", 2, height, CODE))
    while ledger.height < height - 1:
        ledger.block()
    ledger.accept(newer, by=who)
