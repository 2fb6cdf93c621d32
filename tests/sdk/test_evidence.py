"""Evidence convicts whoever contradicts itself, and nobody else."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace as changed

from medquorum.certificate import VoteTag, vote_bytes
from medquorum.codec import encode
from medquorum.errors import DecodeError, VerificationError
from medquorum.evidence import (
    EVIDENCE_BYTES_MAX,
    Evidence,
    EvidenceKind,
    Payload,
    Statement,
    contradiction,
    decode_evidence,
    is_well_formed,
    make_evidence,
    verify_evidence,
)
from medquorum.evidence_file import EvidenceFile, verify_evidence_file
from medquorum.quorum import EngineName
from tests.support.chain import Chain, genesis_of, key_for, validator

CHAIN: Final = b"\x07" * 32
KEY: Final = key_for("b votes")
A, B = b"\xaa" * 32, b"\xbb" * 32
LOW, HIGH = b"\x01" * 32, b"\x02" * 32
CANDIDATES: Final = (key_for("one").public, key_for("two").public)
HEIGHT: Final = 5


def say(
    tag: str, round_: int, *payload: bytes | int, chain: bytes = CHAIN, height: int = HEIGHT
) -> Statement:
    """What the accused signed."""
    message = vote_bytes(VoteTag(tag), chain, height, round_, payload)
    return Statement(tag, round_, payload, KEY.sign(message))


def accuse(*pair: Statement, engine: EngineName = "pbft") -> EvidenceKind:
    evidence = make_evidence(KEY.public, HEIGHT, *pair)
    found = verify_evidence(evidence, CHAIN, engine)
    assert (found.validator, found.height) == (KEY.public, HEIGHT)
    return found.kind


def reason_of(evidence: Evidence, engine: EngineName = "pbft", chain: bytes = CHAIN) -> str:
    with pytest.raises(VerificationError) as caught:
        verify_evidence(evidence, chain, engine)
    return caught.value.reason


CONVICTING: Final[tuple[tuple[EngineName, Statement, Statement, EvidenceKind], ...]] = (
    ("pbft", say("X", 0, A), say("X", 0, B), EvidenceKind.EQUIVOCATION),
    ("pbft", say("P", 1, A), say("P", 1, B), EvidenceKind.EQUIVOCATION),
    ("pbft", say("C", 1, A, LOW), say("C", 1, B, LOW), EvidenceKind.EQUIVOCATION),
    ("pbft", say("C", 1, A, LOW), say("C", 1, A, HIGH), EvidenceKind.EQUIVOCATION),
    ("pbft", say("R", 2), say("R", 2, 0, A), EvidenceKind.EQUIVOCATION),
    ("pbft", say("R", 2, 1, A), say("R", 2, 0, A), EvidenceKind.EQUIVOCATION),
    ("pbft", say("C", 1, A, LOW), say("C", 4, A, HIGH), EvidenceKind.TWO_RESULTS),
    ("pbft", say("C", 1, A, LOW), say("R", 2), EvidenceKind.AMNESIA),
    ("pbft", say("C", 1, A, LOW), say("R", 3, 0, A), EvidenceKind.AMNESIA),
    ("raft", say("X", 3, A), say("X", 3, B), EvidenceKind.EQUIVOCATION),
    ("raft", say("A", 3, A, LOW), say("A", 3, B, LOW), EvidenceKind.EQUIVOCATION),
    ("raft", say("A", 3, A, LOW), say("A", 4, A, HIGH), EvidenceKind.TWO_RESULTS),
    ("raft", say("R", 3, CANDIDATES[0]), say("R", 3, CANDIDATES[1]), EvidenceKind.EQUIVOCATION),
)

INNOCENT: Final[tuple[tuple[EngineName, Statement, Statement], ...]] = (
    ("pbft", say("X", 0, A), say("X", 1, B)),
    ("pbft", say("P", 0, A), say("P", 1, B)),
    ("pbft", say("P", 0, A), say("X", 0, B)),
    ("pbft", say("C", 0, A, LOW), say("C", 1, A, LOW)),
    ("pbft", say("C", 0, A, LOW), say("C", 1, B, HIGH)),
    ("pbft", say("C", 1, A, LOW), say("R", 2, 1, A)),
    ("pbft", say("C", 1, A, LOW), say("R", 1)),
    ("pbft", say("C", 1, A, LOW), say("R", 0)),
    ("pbft", say("R", 1), say("R", 2)),
    ("raft", say("R", 3, CANDIDATES[0]), say("R", 4, CANDIDATES[1])),
    ("raft", say("A", 3, A, LOW), say("A", 4, B, HIGH)),
    ("raft", say("X", 3, A), say("X", 4, B)),
)


@pytest.mark.parametrize(("engine", "one", "other", "kind"), CONVICTING)
def test_what_no_correct_validator_says_both_convicts(
    engine: EngineName, one: Statement, other: Statement, kind: EvidenceKind
) -> None:
    assert accuse(one, other, engine=engine) is kind
    assert accuse(other, one, engine=engine) is kind


@pytest.mark.parametrize(("engine", "one", "other"), INNOCENT)
def test_what_a_correct_validator_may_say_both_proves_nothing(
    engine: EngineName, one: Statement, other: Statement
) -> None:
    evidence = make_evidence(KEY.public, HEIGHT, one, other)
    assert reason_of(evidence, engine) == "evidence_no_contradiction"


def test_the_order_in_which_it_was_heard_leaves_no_trace() -> None:
    one, other = CONVICTING[0][1:3]
    assert make_evidence(KEY.public, 5, one, other) == make_evidence(KEY.public, 5, other, one)
    made = make_evidence(KEY.public, HEIGHT, one, other)
    assert decode_evidence(encode(made)) == made
    swapped = changed(made, first=made.second, second=made.first)
    assert reason_of(swapped) == "evidence_order"
    assert made.id() != swapped.id()


def test_nobody_is_convicted_by_one_statement_twice() -> None:
    only = say("P", 0, A)
    assert reason_of(Evidence(KEY.public, HEIGHT, only, only)) == "evidence_order"


def test_nobody_is_convicted_by_what_they_did_not_sign() -> None:
    one, other = say("P", 0, A), say("P", 0, B)
    made = make_evidence(KEY.public, HEIGHT, one, other)
    verify_evidence(made, CHAIN, "pbft")
    assert reason_of(changed(made, height=HEIGHT + 1)) == "evidence_signature"
    assert reason_of(changed(made, validator=key_for("c votes").public)) == "evidence_signature"
    assert reason_of(made, chain=b"\x08" * 32) == "evidence_signature"
    forged = changed(other, signature=one.signature)
    assert reason_of(make_evidence(KEY.public, HEIGHT, one, forged)) == "evidence_signature"


def test_nobody_is_convicted_on_a_chain_of_the_other_engine() -> None:
    for engine, one, other, _ in CONVICTING:
        if one.tag in "PCA":
            wrong: EngineName = "raft" if engine == "pbft" else "pbft"
            assert reason_of(make_evidence(KEY.public, HEIGHT, one, other), wrong) == (
                "evidence_form"
            )


@pytest.mark.parametrize(
    "odd",
    [
        Statement("P", 0, (), KEY.sign(b"")),
        Statement("P", 0, (A, B), KEY.sign(b"")),
        Statement("R", 1, (1, A), KEY.sign(b"")),
        Statement("R", 2, (A, 1), KEY.sign(b"")),
        Statement("?", 0, (A,), KEY.sign(b"")),
        Statement("A", 0, (A, B), KEY.sign(b"")),
    ],
)
def test_what_no_engine_says_is_no_statement(odd: Statement) -> None:
    assert not is_well_formed(odd, "pbft")
    assert reason_of(make_evidence(KEY.public, HEIGHT, odd, say("P", 0, A))) == "evidence_form"


def test_the_largest_evidence_fits() -> None:
    wide = Statement("R", 2**32 - 1, (2**32 - 2, A), KEY.sign(b""))
    made = make_evidence(KEY.public, 2**53 - 1, wide, changed(wide, payload=(2**32 - 3, B)))
    assert len(encode(made)) * 2 < EVIDENCE_BYTES_MAX


hashes = st.sampled_from([A, B])
rounds = st.integers(0, 3)


@st.composite
def votes(draw: st.DrawFn) -> Statement:
    """Anything that pbft has a form for, at few places, so that pairs meet."""
    tag, round_ = draw(st.sampled_from("XPCR")), draw(rounds)
    payload: Payload
    match tag:
        case "C":
            payload = (draw(hashes), draw(st.sampled_from([LOW, HIGH])))
        case "R" if round_ > 0 and draw(st.booleans()):
            payload = (draw(st.integers(0, round_ - 1)), draw(hashes))
        case "R":
            payload = ()
        case _:
            payload = (draw(hashes),)
    return Statement(tag, round_, payload, b"\x01" + bytes(64))


def guilty(one: Statement, other: Statement) -> bool:
    """The rules E1 to E3 once more, as the specification puts them."""
    if (one.tag, one.round) == (other.tag, other.round) and one.payload != other.payload:
        return True
    for first, second in permutations((one, other)):
        if first.tag == second.tag == "C":
            (block, result), (other_block, other_result) = first.payload, second.payload
            if block == other_block and result != other_result:
                return True
        if first.tag == "C" and second.tag == "R" and second.round > first.round:
            claims = [part for part in second.payload if isinstance(part, int)]
            if max(claims, default=-1) < first.round:
                return True
    return False


@settings(max_examples=600, deadline=None)
@given(one=votes(), other=votes())
def test_the_verdict_is_that_of_the_specification(one: Statement, other: Statement) -> None:
    assert is_well_formed(one, "pbft")
    assert is_well_formed(other, "pbft")
    assert (contradiction(one, other) is not None) == guilty(one, other)
    assert contradiction(one, other) == contradiction(other, one)


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=600), cut=st.integers(0, 400))
def test_hostile_bytes_are_refused_and_never_raise_anything_else(data: bytes, cut: int) -> None:
    good = encode(make_evidence(KEY.public, HEIGHT, *CONVICTING[0][1:3]))
    for hostile in (data, good[:cut], good + data, good[:cut] + data):
        try:
            made = decode_evidence(hostile)
            verify_evidence(made, CHAIN, "pbft")
        except (DecodeError, VerificationError):
            continue
        assert hostile == good


def grown() -> Chain:
    """b votes on heights 1 to 3, and no longer."""
    chain = Chain()
    chain.add()
    chain.add()
    chain.add(next_names=("a", "c", "d", "e"))
    chain.add()
    chain.add()
    return chain


def file_at(chain: Chain, height: int) -> EvidenceFile:
    pair = [say("P", 0, x, chain=chain.chain_id, height=height) for x in (A, B)]
    before = None if height == 1 else chain.blocks[height - 2].certified
    history = tuple(change for change in chain.changes if change.at.header.height < height)
    return EvidenceFile(make_evidence(KEY.public, height, *pair), before, history)


def file_reason(file: EvidenceFile, chain: Chain) -> str:
    with pytest.raises(VerificationError) as caught:
        verify_evidence_file(file.dump(), chain.genesis)
    return caught.value.reason


@pytest.mark.parametrize("height", [1, 2, 3])
def test_a_file_convicts_with_the_genesis_alone(height: int) -> None:
    chain = grown()
    proven = verify_evidence_file(file_at(chain, height).dump(), chain.genesis)
    assert proven.validator == validator("b")
    assert proven.accusation.height == height
    assert proven.accusation.kind is EvidenceKind.EQUIVOCATION


def test_a_file_does_not_convict_who_was_no_validator_then() -> None:
    chain = grown()
    assert file_reason(file_at(chain, 4), chain) == "evidence_validator"
    assert file_reason(file_at(chain, 5), chain) == "evidence_validator"


def test_a_file_cannot_hide_that_the_validators_changed() -> None:
    chain = grown()
    whole = file_at(chain, 5)
    assert file_reason(replace(whole, history=()), chain) == "certificate_validators"
    last = file_at(chain, 4)
    assert file_reason(replace(last, history=()), chain) == "evidence_history"
    assert file_reason(replace(whole, before=None), chain) == "evidence_history"
    assert file_reason(replace(whole, before=chain.blocks[0].certified), chain) == (
        "evidence_history"
    )
    early = replace(file_at(chain, 2), history=tuple(chain.changes))
    assert file_reason(early, chain) == "evidence_history"


def test_a_file_of_another_chain_proves_nothing() -> None:
    chain = grown()
    with pytest.raises(VerificationError) as caught:
        verify_evidence_file(file_at(chain, 2).dump(), genesis_of(("a", "b", "c")))
    assert caught.value.reason == "evidence_signature"


@settings(max_examples=200, deadline=None)
@given(position=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_no_changed_byte_changes_what_a_file_means(position: int, byte: int) -> None:
    chain = grown()
    good = file_at(chain, 3).dump()
    place = position % len(good)
    bent = good[:place] + bytes([byte]) + good[place + 1 :]
    if bent != good:
        with pytest.raises(VerificationError):
            verify_evidence_file(bent, chain.genesis)
