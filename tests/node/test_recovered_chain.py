"""A chain goes on after a disaster under the validators that organisations named, and only so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from medquorum.codec import encode
from medquorum.errors import VerificationError
from medquorum.keys import possession_bytes
from medquorum.receipt import verify_receipt
from medquorum.recovery_file import RecoveryFile
from medquorum.transaction import Operation, Transaction, build, sign
from node.chain import Chain
from node.errors import RecoveryRefusedError
from node.ledger.recoveries import RECOVERIES, recoveries_so_far, recovery_refusal
from node.ledger.types.identity.bodies import KeyRotate
from node.receipts import receipt_file
from node.recovering import adopt_from
from node.recovery_proposals import propose_recovery
from node.wire import CertifiedBlock
from tests.support.cluster import key_of
from tests.support.recovered import NEW, handed_in, new_validators, recovery_of, signed
from tests.support.signed_chain import REGISTRY, SignedChain


@pytest.fixture
def struck(tmp_path: Path) -> Iterator[SignedChain]:
    """A chain of four that stands still after five blocks."""
    chain = SignedChain(tmp_path / "member")
    chain.grow(5)
    yield chain
    chain.close()


def reopened(member: SignedChain) -> Chain:
    """The same database, as after a restart."""
    return Chain(member.kv, member.genesis, REGISTRY, keep_versions=10)


def refusal(chain: Chain, file: RecoveryFile) -> str:
    with pytest.raises(RecoveryRefusedError) as caught:
        chain.expect(handed_in(file))
    return caught.value.reason


def certified(chain: Chain, height: int) -> CertifiedBlock:
    block = chain.blocks.block(height)
    assert block is not None
    return CertifiedBlock(block.header, block.result, block.certificate, block.transactions)


def test_the_chain_goes_on_under_the_new_validators_and_records_it(struck: SignedChain) -> None:
    chain = struck.chain
    before = receipt_file(chain.blocks, chain.blocks.outcomes(2)[0].tx_id)
    file = recovery_of(chain)
    chain.expect(handed_in(file))
    assert chain.tip.validators == file.statement.validator_set()
    struck.add(handed_in(file))
    struck.grow(2)
    view = chain.view()
    assert recoveries_so_far(view) == 1
    row = RECOVERIES.get(view.read("governance"), 1)
    assert row is not None
    assert (row.statement, row.kept, row.recorded) == (file.statement.id(), 5, 6)
    assert row.reason == "site.lost"
    assert set(row.orgs) == {org.org for org in struck.genesis.organisations[:3]}
    events = [event.type for event in chain.blocks.events(6)]
    assert events == ["gov.recovered", "gov.validators_changed"]
    for height, count in ((2, 0), (5, 0), (6, 1), (8, 1)):
        tx_id = chain.blocks.outcomes(height)[0].tx_id
        receipt = receipt_file(chain.blocks, tx_id)
        assert receipt is not None
        assert verify_receipt(receipt, struck.genesis).recoveries == count
    assert receipt_file(chain.blocks, chain.blocks.outcomes(2)[0].tx_id) == before


def test_a_restart_before_and_after_the_first_block_changes_nothing(struck: SignedChain) -> None:
    file = recovery_of(struck.chain)
    struck.chain.expect(handed_in(file))
    struck.chain = reopened(struck)
    old = struck.genesis.validator_set()
    assert struck.chain.tip.validators == old, "nothing is durable before the block is"
    struck.chain.expect(handed_in(file))
    struck.add(handed_in(file))
    struck.chain = reopened(struck)
    struck.chain.expect(handed_in(file))
    assert struck.chain.tip.validators == file.statement.validator_set()
    assert struck.chain.recovery_transaction() is None
    assert struck.chain.blocks.validators(5) == old
    assert struck.chain.blocks.validators(6) == file.statement.validator_set()
    struck.grow(1)


def test_the_first_block_begins_with_the_recovery_or_is_not_voted_for(struck: SignedChain) -> None:
    chain = struck.chain
    file = recovery_of(chain)
    chain.expect(handed_in(file))
    due = chain.recovery_due()
    assert due is not None
    view, other = chain.view(), struck.transaction()
    assert recovery_refusal(due, [], view) == "recovery_missing"
    assert recovery_refusal(due, [other, handed_in(file)], view) == "recovery_missing"
    assert recovery_refusal(due, [handed_in(file), other], view) is None
    another = recovery_of(reopened(struck), reason="site.flooded")
    assert recovery_refusal(due, [handed_in(another)], view) == "recovery_other"
    few = handed_in(
        replace(file, signatures=dict([*file.signatures.items()][:2])).combined(key_of("org0"))
    )
    assert recovery_refusal(due, [few], view) == "recovery_signatures"
    nobody = handed_in(file.combined(key_of("nobody")))
    assert recovery_refusal(due, [nobody], view) == "recovery_signer"


def test_a_root_key_that_was_rotated_signs_no_recovery_and_the_new_one_does(
    struck: SignedChain,
) -> None:
    org = struck.genesis.organisations[1].org
    old, new = key_of("org1"), key_of("new root of org1")
    proof = new.sign(possession_bytes(struck.chain.chain_id, org, new.public))
    body = KeyRotate(old.public, new.public, 0, proof)
    operation = Operation("id.key.rotate", 1, encode(body))
    raw = build(
        chain_id=struck.chain.chain_id,
        nonce=bytes(16),
        valid_until=50,
        operations=[operation],
        signers=[old.public],
    )
    struck.add(sign(raw, [old]))
    assert struck.chain.blocks.outcomes(6)[0].code == "ok"
    blank = propose_recovery(struck.chain, new_validators(struck.chain), "site.lost")
    with pytest.raises(VerificationError, match="recovery_key"):
        blank.sign(old)
    file = blank.sign(new).sign(key_of("org2")).sign(key_of("org3")).combined(new)
    struck.chain.expect(handed_in(file))
    struck.add(handed_in(file))
    for height, count in ((2, 0), (6, 0), (7, 1)):
        receipt = receipt_file(struck.chain.blocks, struck.chain.blocks.outcomes(height)[0].tx_id)
        assert receipt is not None
        assert verify_receipt(receipt, struck.genesis).recoveries == count


def test_too_few_organisations_recover_nothing(struck: SignedChain) -> None:
    chain = struck.chain
    assert refusal(chain, recovery_of(chain, orgs=(0, 1))) == "recovery_signatures"
    assert chain.tip.validators == struck.genesis.validator_set()


def test_the_second_recovery_of_a_height_is_refused_and_the_first_named(
    struck: SignedChain,
) -> None:
    chain = struck.chain
    first = recovery_of(chain)
    second = recovery_of(chain, reason="site.flooded")
    chain.expect(handed_in(first))
    chain.expect(handed_in(first))
    assert refusal(chain, second) == "recovery_second"
    struck.add(handed_in(first))
    assert refusal(chain, second) == "recovery_late"
    chain.expect(handed_in(first))


def test_a_node_with_a_certified_block_above_refuses_and_names_it(struck: SignedChain) -> None:
    file = recovery_of(struck.chain)
    struck.grow(1)
    with pytest.raises(RecoveryRefusedError) as caught:
        struck.chain.expect(handed_in(file))
    assert caught.value.reason == "recovery_late"
    header = struck.chain.blocks.header(6)
    assert header is not None
    assert header.hash().hex() in caught.value.detail


def test_an_older_recovery_is_not_taken_for_a_new_one(struck: SignedChain) -> None:
    chain = struck.chain
    old = recovery_of(chain)
    chain.expect(handed_in(old))
    struck.add(handed_in(old))
    with pytest.raises(RecoveryRefusedError) as caught:
        chain.adopt(handed_in(old))
    assert caught.value.reason == "recovery_height"
    with pytest.raises(RecoveryRefusedError, match="used before"):
        recovery_of(chain)


def test_a_chain_survives_two_disasters(struck: SignedChain) -> None:
    chain = struck.chain
    first = recovery_of(chain)
    chain.expect(handed_in(first))
    struck.add(handed_in(first))
    struck.grow(1)
    second = recovery_of(chain, numbers=(8, 9), orgs=(1, 2, 3))
    assert second.statement.counter == 2
    chain.expect(handed_in(second))
    struck.add(handed_in(second))
    struck.grow(1)
    receipt = receipt_file(chain.blocks, chain.blocks.outcomes(9)[0].tx_id)
    assert receipt is not None
    assert verify_receipt(receipt, struck.genesis).recoveries == 2


def test_who_was_away_learns_of_the_recovery_from_the_block_that_rests_on_it(
    struck: SignedChain, tmp_path: Path
) -> None:
    chain = struck.chain
    file = recovery_of(chain)
    chain.expect(handed_in(file))
    struck.add(handed_in(file))
    struck.grow(1)
    late = SignedChain(tmp_path / "late", genesis=struck.genesis)
    for height in range(1, 8):
        block = certified(chain, height)
        adopt_from(late.chain, block)
        assert (late.chain.tip.recovery is not None) == (height == 6)
        transactions = [Transaction.decode(raw) for raw in block.transactions]
        executed = late.chain.execute(block.header, transactions)
        assert executed.result == block.result
        late.chain.advance(executed, late.chain.write(executed, block.certificate))
    assert late.chain.tip == chain.tip
    late.close()


def test_a_recovery_that_its_validators_have_not_acted_upon_changes_nothing(
    struck: SignedChain, tmp_path: Path
) -> None:
    """A peer that shows a good recovery in a block which the new set did not certify."""
    chain = struck.chain
    file = recovery_of(chain)
    late = SignedChain(tmp_path / "late", genesis=struck.genesis)
    late.grow(5)
    chain.expect(handed_in(file))
    struck.add(handed_in(file))
    real = certified(chain, 6)
    forged = CertifiedBlock(
        real.header, real.result, certified(late.chain, 5).certificate, real.transactions
    )
    with pytest.raises(VerificationError):
        adopt_from(late.chain, forged)
    assert late.chain.tip.validators == struck.genesis.validator_set()
    late.close()


def test_what_is_expected_is_adopted_when_the_chain_is_there(
    struck: SignedChain, tmp_path: Path
) -> None:
    chain = struck.chain
    file = recovery_of(chain)
    late = SignedChain(tmp_path / "late", genesis=struck.genesis)
    late.chain.expect(handed_in(file))
    for height in range(1, 6):
        assert late.chain.tip.validators == struck.genesis.validator_set()
        block = certified(chain, height)
        transactions = [Transaction.decode(raw) for raw in block.transactions]
        executed = late.chain.execute(block.header, transactions)
        late.chain.advance(executed, late.chain.write(executed, block.certificate))
    assert late.chain.tip.validators == file.statement.validator_set()
    assert late.chain.recovery_transaction() is not None
    late.close()


def test_new_validators_must_be_new_and_of_members(struck: SignedChain) -> None:
    chain = struck.chain
    with pytest.raises(RecoveryRefusedError, match="recovery_state"):
        recovery_of(chain, numbers=(0, 5, 6, 7))
    with pytest.raises(VerificationError, match="recovery_validators"):
        recovery_of(chain, numbers=(4, 4))


def test_only_a_root_key_that_may_sign_hands_a_recovery_in(struck: SignedChain) -> None:
    """Any other one would be applied everywhere, and every first block refused."""
    file = recovery_of(struck.chain)
    for name in ("nobody", "vote0", "vote4"):
        with pytest.raises(VerificationError, match="recovery_signer"):
            file.combined(key_of(name)).verify(struck.genesis)
    assert file.combined(key_of("org3")).verify(struck.genesis).transaction is not None


def test_a_file_in_any_byte_other_is_refused(struck: SignedChain) -> None:
    data = recovery_of(struck.chain).dump()
    assert RecoveryFile.load(data).verify(struck.genesis).powers.enough
    for position in range(0, len(data), 7):
        altered = data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
        with pytest.raises(VerificationError):
            RecoveryFile.load(altered).verify(struck.genesis)


def test_files_of_several_signers_are_joined_and_tell_who_is_missing(struck: SignedChain) -> None:
    blank = propose_recovery(struck.chain, new_validators(struck.chain, NEW), "site.lost")
    found = blank.verify(struck.genesis)
    assert (found.powers.signed, len(found.missing)) == (0, 4)
    one = blank.sign(key_of("org1")).joined(blank.sign(key_of("org3")).signatures)
    found = RecoveryFile.load(one.dump()).verify(struck.genesis)
    assert (found.powers.signed, found.powers.enough) == (2, False)
    assert signed(one, (0,)).verify(struck.genesis).powers.enough
    with pytest.raises(VerificationError, match="recovery_key"):
        blank.sign(key_of("vote0"))
