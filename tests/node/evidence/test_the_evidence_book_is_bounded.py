"""The evidence book keeps one piece an accusation, few of one validator, and nothing false."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st

from medquorum.codec import encode
from medquorum.evidence import Accusation, Evidence, EvidenceKind, verify_evidence
from node.evidence.book import EvidenceBook, Taken
from node.limits import EVIDENCE_KEPT_MAX, EVIDENCE_PER_KIND_MAX
from tests.support.cluster import key_of
from tests.support.evidence import C, evidence_against

CHAIN = b"\x05" * 32
KINDS = tuple(EvidenceKind)


def book(records: Iterable[bytes] = ()) -> EvidenceBook:
    return EvidenceBook(records, CHAIN, "pbft")


def take(into: EvidenceBook, evidence: Evidence) -> Taken:
    return into.add(verify_evidence(evidence, CHAIN, "pbft"), evidence)


def test_the_same_accusation_counts_once_whatever_the_signatures() -> None:
    kept, key = book(), key_of("vote0")
    first = evidence_against(key, CHAIN, 3)
    again = evidence_against(key, CHAIN, 3, other=C)
    assert first.id() != again.id()
    assert [take(kept, first), take(kept, first), take(kept, again)] == [
        Taken.NEW,
        Taken.KNOWN,
        Taken.KNOWN,
    ]
    assert kept.get(again.id()) is None
    assert [evidence for _, evidence in kept.items()] == [first]


def test_one_liar_cannot_crowd_out_evidence_against_the_others() -> None:
    kept, liar = book(), key_of("vote0")
    for height in range(1, EVIDENCE_PER_KIND_MAX + 1):
        assert take(kept, evidence_against(liar, CHAIN, height)) is Taken.NEW
    for height in range(50, 60):
        assert take(kept, evidence_against(liar, CHAIN, height)) is Taken.ENOUGH
    assert take(kept, evidence_against(liar, CHAIN, 99, kind=EvidenceKind.AMNESIA)) is Taken.NEW
    assert take(kept, evidence_against(key_of("vote1"), CHAIN, 99)) is Taken.NEW


def test_all_together_are_bounded() -> None:
    kept = book()
    piece = evidence_against(key_of("vote0"), CHAIN, 1)
    for number in range(EVIDENCE_KEPT_MAX + 5):
        # The book counts what was verified; here only how many there are matters.
        accusation = Accusation(number.to_bytes(33, "big"), EvidenceKind.AMNESIA, 1)
        expected = Taken.NEW if number < EVIDENCE_KEPT_MAX else Taken.ENOUGH
        assert kept.add(accusation, piece) is expected


def test_what_its_log_holds_and_does_not_hold_any_more_is_left_out() -> None:
    good = evidence_against(key_of("vote0"), CHAIN, 3)
    elsewhere = evidence_against(key_of("vote1"), b"\x06" * 32, 3)
    kept = book([encode(good), encode(elsewhere), b"no evidence", encode(good)])
    assert len(kept) == 1
    assert kept.unreadable == 2
    found = kept.get(good.id())
    assert found is not None
    assert found[0] == Accusation(key_of("vote0").public, EvidenceKind.EQUIVOCATION, 3)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.sampled_from(KINDS), st.integers(1, 12)), max_size=40)
)
def test_the_book_does_what_a_list_and_a_count_would(
    said: list[tuple[int, EvidenceKind, int]],
) -> None:
    kept, twin = book(), list[Accusation]()
    for who, kind, height in said:
        key = key_of(f"vote{who}")
        accusation = Accusation(key.public, kind, height)
        alike = [a for a in twin if (a.validator, a.kind) == (accusation.validator, kind)]
        if accusation in twin:
            expected = Taken.KNOWN
        elif len(alike) >= EVIDENCE_PER_KIND_MAX:
            expected = Taken.ENOUGH
        else:
            expected = Taken.NEW
            twin.append(accusation)
        assert take(kept, evidence_against(key, CHAIN, height, kind=kind)) is expected
    shown = [accusation for accusation, _ in kept.items()]
    assert shown == sorted(twin, key=lambda a: (a.height, a.validator, a.kind))
    again = book(encode(evidence) for _, evidence in kept.items())
    assert again.items() == kept.items()
