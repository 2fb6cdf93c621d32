"""An envelope that rotted is named and passes for nothing else, in the vault as in its copies, and
vaults from before they were sealed are brought forward (rules S1 to S4 of docs/spec/storage.md).
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.vault.sealed import CustodyEnvelope, envelope_body, sealed
from node.vault.store import RecordStore
from storage.errors import DamagedBlobError
from tests.support.fake_disk import FakeDisk, PowerCutError
from tests.support.old_layouts import unseal

RECORDS = 5
BLOB_ID = bytes(32)


def ciphertext(number: int) -> bytes:
    return b"ciphertext %d" % number


def custody(number: int) -> CustodyEnvelope:
    return CustodyEnvelope(sha256(b"%d" % number).digest(), number, b"wrapped %d" % number * 9)


def blob_id(number: int) -> bytes:
    return sha256(ciphertext(number)).digest()


def filled(path: Path, disk: FakeDisk | None = None) -> RecordStore:
    store = RecordStore(path, files=disk)
    for number in range(RECORDS):
        store.put(ciphertext(number), custody(number))
    return store


def envelope_file(path: Path, number: int) -> Path:
    name = blob_id(number).hex()
    return path / "envelopes" / name[:2] / name


@given(st.binary(min_size=1, max_size=200), st.data())
def test_no_bit_of_a_sealed_envelope_can_be_another(body: bytes, data: st.DataObject) -> None:
    file = sealed(body)
    assert envelope_body(file, BLOB_ID, 2) == body
    changed = bytearray(file)
    changed[data.draw(st.integers(0, len(file) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    for wrong in (bytes(changed), file[: data.draw(st.integers(0, len(file) - 1))]):
        with pytest.raises(DamagedBlobError, match="envelope"):
            envelope_body(wrong, BLOB_ID, 2)


@pytest.mark.parametrize("marked", [True, False])
def test_an_older_vault_is_brought_forward_and_what_rotted_there_stays_damaged(
    tmp_path: Path, marked: bool
) -> None:
    filled(tmp_path)
    unseal(tmp_path, marked=marked)
    envelope_file(tmp_path, 2).write_bytes(b"rot")
    store = RecordStore(tmp_path)
    assert (tmp_path / "FORMAT").read_text() == "medquorum vault 2\n"
    for number in {*range(RECORDS)} - {2}:
        kept = store.get(blob_id(number))
        assert kept is not None
        assert (kept.custody, kept.ciphertext) == (custody(number), ciphertext(number))
        assert envelope_body(envelope_file(tmp_path, number).read_bytes(), blob_id(number), 2)
    with pytest.raises(DamagedBlobError):
        store.get(blob_id(2))


def test_a_power_cut_at_any_step_of_the_way_loses_no_envelope() -> None:
    path, steps, done = Path("/vault"), 0, False
    while not done:
        disk = FakeDisk()
        filled(path, disk)
        for number in range(RECORDS):
            file = envelope_file(path, number)
            disk.overwrite(file, (disk.read(file) or b"")[32:])
        disk.overwrite(path / "FORMAT", b"medquorum vault 1\n")
        disk.power_cut_after = steps
        try:
            RecordStore(path, files=disk)
            done = True
        except PowerCutError:
            steps += 1
        disk.crash()
        store = RecordStore(path, files=disk)
        assert [store.envelope(blob_id(number)) for number in range(RECORDS)] == [
            custody(number) for number in range(RECORDS)
        ]
    assert steps > 5 * RECORDS


def test_nothing_of_an_erased_envelope_stays_also_after_a_crash_in_the_midst_of_a_put(
    tmp_path: Path,
) -> None:
    store = filled(tmp_path)
    file = envelope_file(tmp_path, 1)
    remains = file.with_name(file.name + ".tmp")
    remains.write_bytes(file.read_bytes())
    assert store.destroy(blob_id(1))
    assert list(file.parent.glob(f"{file.name}*")) == []
    remains.write_bytes(b"of a put that never got further")
    assert store.destroy(blob_id(1))
    assert not remains.exists()
