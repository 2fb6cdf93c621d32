"""Quorums, certificates and justifications, compared with the dumbest code that is right."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.messages import (
    Justification,
    Prepared,
    PreparedCertificate,
    RoundChangeEntry,
    prepare_bytes,
    round_change_bytes,
)
from consensus.pbft.members import Members
from consensus.pbft.proofs import CertificateBook, justification_fault, make_prepared, signers_of
from consensus.pbft.timers import base_after, round_ms
from medquorum.certificate import pack_signers
from tests.support.engine_world import CHAIN_ID, sign, validator_set, verify
from tests.support.engines import TIMING

MEMBERS = Members.of(validator_set(4))
STRANGER = b"\x01" + bytes(32)
BLOCKS = (b"A" * 32, b"B" * 32)
HEIGHT, ROUND = 7, 3


@pytest.mark.parametrize("n", range(1, 101))
def test_quorums_overlap_in_a_correct_validator_and_need_no_faulty_one(n: int) -> None:
    members = Members.of(validator_set(n))
    faulty = max(f for f in range(n) if 3 * f < n)
    assert members.f == faulty
    assert 2 * members.quorum - n > faulty, "two quorums share a correct validator"
    assert 2 * (members.quorum - 1) - n <= faulty, "and no smaller number would do"
    assert members.quorum <= n - faulty, "the correct ones alone are a quorum"


@pytest.mark.parametrize("n", range(1, 8))
def test_every_pair_of_quorums_was_looked_at(n: int) -> None:
    members = Members.of(validator_set(n))
    quorums = [set(chosen) for chosen in combinations(range(n), members.quorum)]
    assert min(len(one & other) for one in quorums for other in quorums) > members.f


@given(st.integers(1, 100), st.data())
@settings(max_examples=60)
def test_a_certificate_holds_iff_a_quorum_of_distinct_members_signed(
    n: int, data: st.DataObject
) -> None:
    members = Members.of(validator_set(n))
    book = CertificateBook(CHAIN_ID, HEIGHT, members, verify)
    size = data.draw(st.integers(1, n) | st.just(members.quorum))
    places = sorted(data.draw(st.permutations(range(n)))[:size])
    message = prepare_bytes(CHAIN_ID, HEIGHT, ROUND, BLOCKS[0])
    signatures = [sign(members.keys[place], message) for place in places]
    bad = data.draw(st.none() | st.integers(0, size - 1))
    if bad is not None:
        signatures[bad] = signatures[(bad + 1) % size] if size > 1 else bytes(65)
    known = PreparedCertificate(ROUND, BLOCKS[0], pack_signers(places, n), tuple(signatures))
    expected = len(set(places)) >= -(-2 * n // 3) and bad is None
    assert (book.learn(known) is not None) is expected
    if expected:
        made = make_prepared(
            members,
            ROUND,
            BLOCKS[0],
            {
                members.keys[place]: signature
                for place, signature in zip(places, signatures, strict=True)
            },
        )
        assert made == known
        assert signers_of(members, known.signers) == tuple(members.keys[p] for p in places)


def certificate_of(round_: int, block: bytes, places: tuple[int, ...]) -> PreparedCertificate:
    message = prepare_bytes(CHAIN_ID, HEIGHT, round_, block)
    votes = {MEMBERS.keys[place]: sign(MEMBERS.keys[place], message) for place in places}
    return make_prepared(MEMBERS, round_, block, votes)


CLAIMS = st.sampled_from([(), *((Prepared(r, block),) for r in range(4) for block in BLOCKS)])
CERTIFICATES = st.builds(
    certificate_of,
    st.integers(0, 3),
    st.sampled_from(BLOCKS),
    st.sampled_from([(0, 1, 2), (1, 2, 3), (0, 1)]),
)


@st.composite
def justifications(draw: st.DrawFn) -> Justification:
    count = draw(st.integers(1, 5))
    keys = draw(st.lists(st.sampled_from(MEMBERS.keys), min_size=count, max_size=count))
    if draw(st.booleans()):
        keys = sorted(set(keys), key=lambda key: MEMBERS.position[key])
    if draw(st.integers(0, 9)) == 0:
        keys[0] = STRANGER
    entries = []
    for key in keys:
        claims = draw(CLAIMS)
        of = ROUND if draw(st.integers(0, 15)) > 0 else ROUND + 1
        signature = sign(key, round_change_bytes(CHAIN_ID, HEIGHT, of, claims))
        entries.append(RoundChangeEntry(key, claims, signature))
    certificates: tuple[PreparedCertificate, ...] = ()
    if draw(st.booleans()):
        certificates = (draw(CERTIFICATES),)
    return Justification(tuple(entries), certificates)


def dumb_verdict(proof: Justification) -> bool:
    signers = [entry.signer for entry in proof.entries]
    if len(set(signers)) != len(signers) or len(signers) < 3:
        return False
    if signers != [key for key in MEMBERS.keys if key in signers]:
        return False
    claims: list[Prepared] = []
    for entry in proof.entries:
        message = round_change_bytes(CHAIN_ID, HEIGHT, ROUND, entry.prepared)
        if entry.signature != sign(entry.signer, message):
            return False
        claims.extend(entry.prepared)
    if len(claims) == 0:
        return proof.certificate == ()
    highest = max(claim.round for claim in claims)
    if highest >= ROUND or len(proof.certificate) != 1:
        return False
    (known,) = proof.certificate
    signed = bin(int.from_bytes(known.signers, "little")).count("1")
    return (
        signed >= 3 and known.round == highest and Prepared(known.round, known.block_hash) in claims
    )


@given(justifications())
@settings(max_examples=600)
def test_a_justification_opens_a_round_iff_the_dumb_reading_says_so(proof: Justification) -> None:
    """Rule P3."""
    book = CertificateBook(CHAIN_ID, HEIGHT, MEMBERS, verify)
    assert (justification_fault(book, ROUND, proof, {}) == "") is dumb_verdict(proof)


def test_rounds_double_up_to_the_cap_and_heights_remember_half() -> None:
    """Rules T2, T3."""
    assert [round_ms(TIMING, 100, round_) for round_ in range(6)] == [
        100,
        200,
        400,
        800,
        1_600,
        1_600,
    ]
    assert round_ms(TIMING, 100, 2**32 - 1) == TIMING.round_ms_max
    assert base_after(TIMING, 100, 0) == 100
    assert base_after(TIMING, 100, 3) == 400
    assert base_after(TIMING, 400, 1) == 400, "a steady need of one change of round stays met"
    assert base_after(TIMING, 400, 0) == 200
    assert base_after(TIMING, 1_600, 40) == 800
