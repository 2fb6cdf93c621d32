"""The promises of the double-sign guard (docs/spec/storage.md section 4)."""

from __future__ import annotations

from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medquorum.invariants import InvariantBroken
from storage.errors import (
    DamagedSignStateError,
    DiskFailedError,
    DoubleSignRefusedError,
    FormatError,
    SignStateMismatchError,
)
from storage.limits import SIGNED_VOTES_KEPT_MAX
from storage.signstate import SignedVote, SignState
from tests.support.fake_disk import FakeDisk, PowerCutError

PATH = Path("/data/sign_state")
CHAIN, KEY = b"c" * 32, b"\x01" + b"k" * 32
A, B = b"a" * 32, b"b" * 32


def _fresh() -> tuple[FakeDisk, SignState]:
    disk = FakeDisk()
    return disk, SignState.create(PATH, CHAIN, KEY, files=disk)


def test_g1_votes_only_go_forward() -> None:
    assert _fresh()[1].last is None
    _, state = _fresh()
    state.check_and_save(5, 1, 2, A)
    assert state.last == (5, 1, 2)
    for height, round_, phase in [(5, 1, 1), (5, 0, 3), (4, 9, 9)]:
        with pytest.raises(DoubleSignRefusedError) as caught:
            state.check_and_save(height, round_, phase, A)
        assert (caught.value.asked, caught.value.last) == ((height, round_, phase), (5, 1, 2))
    for height, round_, phase in [(5, 1, 3), (5, 2, 0), (6, 0, 0)]:
        state.check_and_save(height, round_, phase, B)


def test_g2_the_same_vote_may_be_signed_again_and_another_one_never() -> None:
    disk, state = _fresh()
    state.check_and_save(5, 1, 2, A)
    state.check_and_save(5, 1, 3, B)
    written = len(disk.log)
    state.check_and_save(5, 1, 3, B)
    state.check_and_save(5, 1, 2, A)
    assert len(disk.log) == written, "a repetition needs no write"
    for phase, digest in [(2, B), (3, A)]:
        with pytest.raises(DoubleSignRefusedError) as caught:
            state.check_and_save(5, 1, phase, digest)
        assert caught.value.asked == caught.value.last == (5, 1, phase)


def test_g3_the_vote_is_durable_before_the_call_returns() -> None:
    disk, state = _fresh()
    state.check_and_save(5, 1, 2, A)
    disk.crash()
    again = SignState.open(PATH, files=disk)
    assert again.last == (5, 1, 2)
    again.check_and_save(5, 1, 2, A)
    with pytest.raises(DoubleSignRefusedError):
        again.check_and_save(5, 1, 2, B)


def test_g3_content_is_synced_before_the_rename_and_the_directory_after_it() -> None:
    disk, state = _fresh()
    disk.log.clear()
    state.check_and_save(1, 0, 0, A)
    assert disk.log == [
        ("create", "sign_state.tmp"),
        ("write", "sign_state.tmp"),
        ("sync", "sign_state.tmp"),
        ("rename", "sign_state"),
        ("sync_directory", "data"),
    ]


def test_g3_a_power_cut_at_any_step_leaves_the_old_or_the_new_state() -> None:
    seen = set()
    for steps in range(6):
        disk, state = _fresh()
        state.check_and_save(1, 0, 0, A)
        disk.power_cut_after = steps
        done = False
        try:
            state.check_and_save(2, 0, 0, B)
            done = True
        except PowerCutError:
            pass
        disk.crash()
        last = SignState.open(PATH, files=disk).last
        assert last == (2, 0, 0) or (last == (1, 0, 0) and not done)
        seen.add(last)
    assert seen == {(1, 0, 0), (2, 0, 0)}


def test_several_votes_are_saved_with_one_write_or_not_at_all() -> None:
    disk, state = _fresh()
    disk.log.clear()
    state.save_all((SignedVote(1, 0, 1, A), SignedVote(1, 0, 2, B)))
    assert [operation for operation, _ in disk.log].count("rename") == 1
    with pytest.raises(DoubleSignRefusedError):
        state.save_all((SignedVote(1, 0, 3, A), SignedVote(1, 0, 1, B)))
    assert SignState.open(PATH, files=disk).last == (1, 0, 2)
    state.check_and_save(1, 0, 3, B)


def test_a_failed_write_forbids_all_signing() -> None:
    disk, state = _fresh()
    state.check_and_save(1, 0, 0, A)
    disk.fail_at = {"sync": DiskFailedError(PATH, "sync", "broken")}
    with pytest.raises(DiskFailedError):
        state.check_and_save(2, 0, 0, A)
    disk.fail_at = {}
    with pytest.raises(DiskFailedError):
        state.check_and_save(1, 0, 0, A)


def test_g4_any_flipped_bit_and_any_lost_end_is_called_damage() -> None:
    disk, state = _fresh()
    state.check_and_save(1, 0, 0, A)
    data = disk.read(PATH)
    assert data is not None
    for position in range(len(data) * 8):
        damaged = bytearray(data)
        damaged[position // 8] ^= 1 << position % 8
        disk.overwrite(PATH, bytes(damaged))
        with pytest.raises(DamagedSignStateError):
            SignState.open(PATH, files=disk)
    for cut in range(len(data)):
        disk.overwrite(PATH, data[:cut])
        with pytest.raises(DamagedSignStateError):
            SignState.open(PATH, files=disk)


@pytest.mark.parametrize("body", [b"another layout altogether", b"\x92\x02\xa3new"])
def test_g4_the_file_of_another_version_is_not_called_damaged(body: bytes) -> None:
    disk, _ = _fresh()
    disk.overwrite(PATH, b"MQSIGN02" + crc32(body).to_bytes(4, "big") + body)
    with pytest.raises(FormatError) as caught:
        SignState.open(PATH, files=disk)
    assert "2" in str(caught.value)


def test_a_missing_file_is_the_callers_decision(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "sign_state"
    assert not SignState.exists(path)
    with pytest.raises(DamagedSignStateError):
        SignState.open(path)
    SignState.create(path, CHAIN, KEY)
    assert SignState.exists(path)
    with pytest.raises(InvariantBroken):
        SignState.create(path, CHAIN, KEY)


def test_the_file_is_bound_to_one_key_and_one_chain(tmp_path: Path) -> None:
    SignState.create(tmp_path / "s", CHAIN, KEY)
    state = SignState.open(tmp_path / "s")
    state.check_owner(CHAIN, KEY)
    with pytest.raises(SignStateMismatchError, match="chain"):
        state.check_owner(A, KEY)
    with pytest.raises(SignStateMismatchError, match="key"):
        state.check_owner(CHAIN, b"\x01" + A)


def test_a_forgotten_vote_is_refused_rather_than_signed_again() -> None:
    _, state = _fresh()
    for round_ in range(SIGNED_VOTES_KEPT_MAX + 1):
        state.check_and_save(1, round_, 0, A)
    state.check_and_save(1, 1, 0, A)
    with pytest.raises(DoubleSignRefusedError):
        state.check_and_save(1, 0, 0, A)


_STEP = st.tuples(st.integers(1, 3), st.integers(0, 2), st.integers(0, 2), st.sampled_from([A, B]))


@settings(deadline=None)
@given(st.lists(_STEP, max_size=30))
def test_no_step_is_ever_allowed_with_two_digests(steps: list[tuple[int, int, int, bytes]]) -> None:
    disk, state = _fresh()
    signed: dict[tuple[int, int, int], bytes] = {}
    for index, (height, round_, phase, digest) in enumerate(steps):
        step = (height, round_, phase)
        try:
            state.check_and_save(height, round_, phase, digest)
        except DoubleSignRefusedError:
            assert step in signed or step < max(signed)
            continue
        assert signed.setdefault(step, digest) == digest
        if index % 3 == 0:
            disk.crash()
            state = SignState.open(PATH, files=disk)
