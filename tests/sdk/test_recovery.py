"""A recovery holds iff organisations of more than two thirds of the validators signed exactly this
continuation of exactly this height.
"""

from __future__ import annotations

from dataclasses import replace as replaced

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medquorum.block import ValidatorSet
from medquorum.codec import decode, encode
from medquorum.errors import DecodeError, VerificationError
from medquorum.history import Certified, SetChange, ValidatorHistory
from medquorum.limits import RECOVERY_BYTES_MAX
from medquorum.receipt import verify_receipt
from medquorum.recovery import (
    KEYS_NAMESPACE,
    KEYS_PREFIX,
    Recovery,
    RecoveryStatement,
    count_powers,
    verify_recovery,
)
from node.ledger.identities import KEYS, NAMESPACE, KeyBinding
from tests.support.chain import Chain
from tests.support.recoveries import HEIGHT, NEW, ORGS, Disaster, org_of, root_of

DISASTER = Disaster()
OLD = ("a", "b", "c", "d")
VOTERS = DISASTER.chain.validators(OLD)
SIGNED = DISASTER.sign(DISASTER.statement())
BYTES = encode(SIGNED)


def verified(recovery: Recovery, *, counter: int = 1, at: Certified | None = None) -> ValidatorSet:
    """What the recovery comes to after the last block, or after `at`."""
    last = at or DISASTER.last
    return verify_recovery(
        recovery, header=last.header, result=last.result, validators=VOTERS, counter=counter
    )


def reason_of(recovery: Recovery, *, counter: int = 1, at: Certified | None = None) -> str:
    with pytest.raises(VerificationError) as caught:
        verified(recovery, counter=counter, at=at)
    return caught.value.reason


def changed(statement: RecoveryStatement, **fields: object) -> RecoveryStatement:
    return msgspec.structs.replace(statement, **fields)


def test_three_of_four_organisations_name_the_next_validators() -> None:
    assert verified(SIGNED) == DISASTER.chain.validators(NEW)
    assert verified(DISASTER.sign(DISASTER.statement(), OLD)) == DISASTER.chain.validators(NEW)


def test_the_rows_of_keys_are_those_of_the_ledger() -> None:
    authority = DISASTER.authority("a")
    assert authority.row == encode(KeyBinding(b"", ORGS["a"], 0, 0, 0))
    assert (NAMESPACE, KEYS.key(b"key")) == (KEYS_NAMESPACE, KEYS_PREFIX + b"key")


@settings(max_examples=400, deadline=None)
@given(position=st.integers(0, len(BYTES) - 1), flip=st.integers(1, 255))
def test_no_changed_byte_leaves_a_recovery(position: int, flip: int) -> None:
    altered = BYTES[:position] + bytes([BYTES[position] ^ flip]) + BYTES[position + 1 :]
    with pytest.raises((DecodeError, VerificationError)):
        verified(decode(Recovery, altered, size_max=RECOVERY_BYTES_MAX))


def test_a_changed_bit_anywhere_in_a_recovery_is_noticed() -> None:
    for position, byte in enumerate(BYTES):
        altered = BYTES[:position] + bytes([byte ^ 1]) + BYTES[position + 1 :]
        with pytest.raises((DecodeError, VerificationError)):
            verified(decode(Recovery, altered, size_max=RECOVERY_BYTES_MAX))


@pytest.mark.parametrize("names", [("a",), ("b", "d"), ("a", "old a")])
def test_too_few_organisations_name_nobody(names: tuple[str, ...]) -> None:
    reason = reason_of(DISASTER.sign(DISASTER.statement(), names))
    assert reason == ("recovery_duplicate" if "old a" in names else "recovery_signatures")


def test_exactly_two_thirds_are_too_few() -> None:
    disaster = Disaster()
    disaster.chain.add(next_names=("a", "b", "c"))
    last = disaster.last
    recovery = disaster.sign(disaster.statement(), ("a", "b"))
    voters = disaster.chain.validators(("a", "b", "c"))
    powers = count_powers(recovery, result=last.result, validators=voters)
    assert (powers.signed, powers.total, powers.enough) == (2, 3, False)
    assert count_powers(
        disaster.sign(disaster.statement()), result=last.result, validators=voters
    ).enough


def test_who_signs_must_be_the_root_key_of_an_organisation_that_operated_a_validator() -> None:
    statement = DISASTER.statement()
    assert reason_of(DISASTER.sign(statement, ("a", "b", "stranger"))) == "recovery_organisation"
    assert reason_of(DISASTER.sign(statement, ("b", "c", "ended a"))) == "recovery_key"
    assert reason_of(DISASTER.sign(statement, ("b", "c", "person"))) == "recovery_key"
    ends_later = DISASTER.sign(statement, ("old a", "b", "c"))
    assert verified(ends_later) == DISASTER.chain.validators(NEW)
    first, *others = SIGNED.signatures
    forged = msgspec.structs.replace(
        first, authority=msgspec.structs.replace(first.authority, key=root_of("nobody"))
    )
    signatures = tuple(sorted((forged, *others), key=lambda s: s.authority.key))
    assert reason_of(msgspec.structs.replace(SIGNED, signatures=signatures)) == "state_path"


def test_signatures_stand_once_and_in_one_order() -> None:
    signatures = SIGNED.signatures
    for wrong in (signatures[::-1], (signatures[0], *signatures)):
        assert reason_of(msgspec.structs.replace(SIGNED, signatures=wrong)) == "recovery_order"


def test_a_statement_is_for_one_height_of_one_chain_and_one_disaster() -> None:
    statement = DISASTER.statement()
    sign = DISASTER.sign
    assert reason_of(sign(changed(statement, chain_id=bytes(32)))) == "recovery_chain"
    assert reason_of(sign(changed(statement, height=HEIGHT - 1))) == "recovery_height"
    assert reason_of(sign(changed(statement, block_hash=bytes(32)))) == "recovery_block"
    assert reason_of(sign(changed(statement, result_hash=bytes(32)))) == "recovery_block"
    assert reason_of(sign(changed(statement, counter=2))) == "recovery_counter"
    assert reason_of(SIGNED, counter=2) == "recovery_counter"
    earlier = DISASTER.chain.blocks[0].certified
    assert reason_of(SIGNED, at=earlier) == "recovery_height"


def test_all_vote_keys_are_new_and_proven() -> None:
    statement = DISASTER.statement()
    assert reason_of(DISASTER.sign(DISASTER.statement(names=("a", "x", "y", "z")))) == (
        "recovery_validators"
    )
    first, second, *others = statement.validators
    twice = changed(statement, validators=(first, first, *others))
    assert reason_of(DISASTER.sign(twice)) == "recovery_validators"
    swapped = msgspec.structs.replace(first, possession=second.possession)
    stolen = changed(statement, validators=(swapped, second, *others))
    assert reason_of(DISASTER.sign(stolen)) == "recovery_possession"
    elsewhere = msgspec.structs.replace(first, org=org_of("b"))
    moved = changed(statement, validators=(elsewhere, second, *others))
    assert reason_of(DISASTER.sign(moved)) == "recovery_possession"
    bad_node = changed(
        statement, validators=(msgspec.structs.replace(first, node_key=b"\x01" * 33), *others)
    )
    assert reason_of(DISASTER.sign(bad_node)) == "recovery_validators"


def recovered() -> Disaster:
    """A chain that went on: under the new validators, and through one ordinary change."""
    disaster = Disaster()
    disaster.chain.recover(disaster.sign(disaster.statement()), NEW)
    disaster.chain.add([disaster.chain.transaction("after")], next_names=("w", "x", "y", "d"))
    disaster.chain.add([disaster.chain.transaction("later")])
    return disaster


def test_receipts_from_before_and_after_verify_and_say_how_many_recoveries_they_rest_on() -> None:
    chain = recovered().chain
    counts = [
        verify_receipt(chain.receipt(height, 0).dump(), chain.genesis).recoveries
        for height in range(1, HEIGHT + 3)
    ]
    assert counts == [0] * HEIGHT + [1, 1]
    assert verify_receipt(DISASTER.chain.receipt(1, 0).dump(), chain.genesis).recoveries == 0


def test_no_changed_byte_leaves_a_receipt_that_rests_on_a_recovery() -> None:
    chain = recovered().chain
    file = chain.receipt(HEIGHT + 2, 0).dump()
    assert verify_receipt(file, chain.genesis).recoveries == 1
    for position, byte in enumerate(file):
        altered = file[:position] + bytes([byte ^ 1]) + file[position + 1 :]
        with pytest.raises(VerificationError):
            verify_receipt(altered, chain.genesis)


def history_refusal(chain: Chain, *changes: SetChange) -> str:
    with pytest.raises(VerificationError) as caught:
        ValidatorHistory(chain.genesis).extend(changes)
    return caught.value.reason


def test_a_history_is_not_made_whole_by_anything_but_the_recovery() -> None:
    chain = recovered().chain
    recovery, later = chain.changes
    assert history_refusal(chain, later) == "certificate_validators"
    assert history_refusal(chain, recovery, recovery) == "history_order"
    assert history_refusal(chain, replaced(recovery, recovery=None)) == "history_set"
    other = replaced(recovery, validators=chain.validators(OLD))
    assert history_refusal(chain, other) == "history_set"
    earlier = replaced(recovery, at=chain.blocks[0].certified)
    assert history_refusal(chain, earlier) == "recovery_height"


def test_a_recovery_may_follow_a_change_of_the_same_height_and_a_second_one_a_first() -> None:
    disaster = Disaster()
    chain = disaster.chain
    chain.add(next_names=("a", "b", "c"))
    chain.recover(disaster.sign(disaster.statement()), NEW)
    chain.add()
    chain.add(next_names=OLD)
    stale = disaster.sign(disaster.statement(names=("e", "f")))
    again = SetChange(disaster.last, chain.validators(("e", "f")), stale)
    assert history_refusal(chain, *chain.changes, again) == "recovery_counter"
    replay = replaced(chain.changes[1], at=disaster.last)
    assert history_refusal(chain, *chain.changes, replay) == "recovery_height"
    second = disaster.statement(counter=2, names=("e", "f"))
    chain.recover(disaster.sign(second), ("e", "f"))
    chain.add()
    history = ValidatorHistory(chain.genesis)
    history.extend(chain.changes)
    assert [history.recoveries(height) for height in (4, 5, 6, 7)] == [0, 1, 1, 2]
    assert history.validators_at(4) == chain.validators(OLD)
    assert history.validators_at(5) == chain.validators(NEW)
    assert history.validators_at(7) == chain.validators(("e", "f"))
    assert all(history.is_whole_at(block.certified) for block in chain.blocks)
    history.verify(disaster.last)
