"""The arithmetic of looking ahead, against one that counts on its fingers."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from medquorum.block import Validator
from medquorum.quorum import EngineName
from node.forecast import Sighting, Standing, forecast

ENGINES: list[EngineName] = ["pbft", "raft"]
KEYS = [bytes([1, number]) + bytes(31) for number in range(8)]


def validators(keys: list[bytes]) -> list[Validator]:
    return [Validator(key, key[::-1], bytes(32)) for key in keys]


def could_decide(engine: EngineName, n: int, ready: int) -> bool:
    """Whether any two groups that decide share enough, if groups of `ready` do: by trying all."""
    f = (n - 1) // 3 if engine == "pbft" else 0
    groups = [set(group) for group in combinations(range(n), ready)]
    return ready > 0 and all(len(a & b) > f for a in groups for b in groups)


@given(
    st.sampled_from(ENGINES),
    st.lists(st.sampled_from(KEYS[:5]), unique=True),
    st.lists(st.sampled_from(KEYS), unique=True, min_size=1, max_size=6),
    st.dictionaries(st.sampled_from(KEYS), st.sampled_from(Standing)),
)
def test_a_forecast_is_safe_iff_those_who_are_there_could_decide_and_no_newcomer_is_missing(
    engine: EngineName, before: list[bytes], after: list[bytes], seen: dict[bytes, Standing]
) -> None:
    found = forecast(
        engine,
        validators(before),
        validators(after),
        lambda validator: Sighting(seen.get(validator.key, Standing.READY)),
    )
    there = [key for key in after if seen.get(key, Standing.READY) is Standing.READY]
    newcomers_there = all(key in there for key in after if key not in before)
    assert found.safe == (could_decide(engine, len(after), len(there)) and newcomers_there)
    assert [seat.validator.key for seat in found.missing] == [k for k in after if k not in there]
    assert found.ready == len(there)


def test_a_complaint_names_who_is_missing_why_and_what_would_help() -> None:
    standings = {
        KEYS[1]: Sighting(Standing.BEHIND, 812),
        KEYS[2]: Sighting(Standing.NEVER_SEEN),
    }
    found = forecast(
        "pbft",
        validators(KEYS[:4]),
        validators(KEYS[1:5]),
        lambda validator: standings.get(validator.key, Sighting(Standing.READY)),
    )
    assert found.complaint() == (
        "after this change 2 of 4 validators are there, 3 must vote; missing: "
        f"{KEYS[1].hex()[:16]} (behind by 812), {KEYS[2].hex()[:16]} (never seen); "
        "1 more must be connected and level, or answer with gov.override"
    )
    newcomer = forecast(
        "raft",
        validators(KEYS[:4]),
        validators(KEYS[:5]),
        lambda v: Sighting(Standing.OFFLINE if v.key == KEYS[4] else Standing.READY),
    )
    assert (newcomer.ready, newcomer.needed, newcomer.safe) == (4, 3, False)
    assert "(new, offline)" in newcomer.complaint()
    assert "let it follow as an observer first" in newcomer.complaint()
