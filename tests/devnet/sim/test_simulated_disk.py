"""The simulated disk keeps what was synced, and nothing else that a program might rely on."""

from __future__ import annotations

from pathlib import Path

import pytest

from devnet.sim.dice import Dice
from devnet.sim.disk import Backup, SimDisk, Tail
from devnet.sim.loop import PowerCutError
from storage.errors import DiskFailedError, DiskFullError
from storage.kv import Batch
from storage.records import encode_records
from storage.signstate import SignState
from storage.wal import WriteAheadLog

LOG = Path("/sim/log")


def quiet(_operation: str) -> None:
    """Nothing happens at this boundary."""


@pytest.mark.parametrize("seed", range(40))
def test_synced_records_survive_a_power_cut_and_a_torn_tail_is_cut_off(seed: int) -> None:
    disk = SimDisk(Dice(seed))
    files = disk.mount(quiet)
    log = WriteAheadLog.open(LOG, files=files)
    log.append([b"one", b"two"])
    file = files.open_append(LOG)
    file.write(b"half of a record that nobody waited for")
    disk.power_cut()
    again = WriteAheadLog.open(LOG, files=disk.mount(quiet))
    assert again.records == (b"one", b"two")


def test_what_a_killed_process_wrote_is_there_until_a_power_cut_takes_it() -> None:
    disk = SimDisk(Dice(1))
    disk.tail = Tail.LOST
    disk.mount(quiet).create(LOG).write(b"in the cache of the kernel")
    assert disk.mount(quiet).read(LOG) == b"in the cache of the kernel"
    disk.power_cut()
    assert disk.mount(quiet).read(LOG) is None


def test_what_a_killed_process_wrote_is_durable_once_the_next_one_counts_on_it() -> None:
    disk = SimDisk(Dice(1))
    disk.tail = Tail.LOST
    log = WriteAheadLog.open(LOG, files=disk.mount(quiet))
    log.append((b"one",))
    file = disk.mount(quiet).open_append(LOG)
    file.write(encode_records(log._salt, log.size_bytes, (b"two",)))
    assert WriteAheadLog.open(LOG, files=disk.mount(quiet)).records == (b"one", b"two")
    disk.power_cut()
    assert WriteAheadLog.open(LOG, files=disk.mount(quiet)).records == (b"one", b"two")


@pytest.mark.parametrize("seed", range(40))
def test_a_name_that_was_not_synced_is_the_old_or_the_new_one(seed: int) -> None:
    disk = SimDisk(Dice(seed))
    files = disk.mount(quiet)
    state = SignState.create(LOG, bytes(32), bytes(33), files=files)
    state.check_and_save(1, 0, 2, bytes(32))
    files.create(LOG.with_name("new")).write(b"")
    files.rename(LOG.with_name("new"), LOG)
    disk.power_cut()
    data = disk.mount(quiet).read(LOG)
    assert data is not None
    assert data == b"" or SignState.open(LOG, files=disk.mount(quiet)).last == (1, 0, 2)


def test_a_backup_brings_back_all_but_the_record_of_votes() -> None:
    disk = SimDisk(Dice(1))
    files, store = disk.mount(quiet), disk.open_store(quiet)
    votes = LOG.with_name("votes")
    for path, data in ((LOG, b"old"), (votes, b"old")):
        file = files.create(path)
        file.write(data)
        file.sync()
    files.sync_directory(LOG.parent)
    batch = Batch()
    batch.put(b"height", b"1")
    store.write(batch, sync=True)
    backup = disk.backup(votes)
    files.open_append(LOG).write(b" and new")
    file = files.open_append(votes)
    file.write(b" and new")
    file.sync()
    batch.put(b"height", b"2")
    store.write(batch, sync=True)
    disk.restore(backup, votes)
    assert disk.mount(quiet).read(LOG) == b"old"
    assert disk.mount(quiet).read(votes) == b"old and new"
    assert disk.open_store(quiet).get(b"height") == b"1"
    disk.restore(Backup({}, ()), votes)
    assert disk.mount(quiet).read(LOG) is None


def test_faults_are_the_errors_that_storage_knows() -> None:
    disk = SimDisk(Dice(1))
    log = WriteAheadLog.open(LOG, files=disk.mount(quiet))
    disk.faults.full = 1.0
    with pytest.raises(DiskFullError):
        log.append([b"record"])
    disk.faults.full, disk.faults.sync_fails = 0.0, 1.0
    store = disk.open_store(quiet)
    with pytest.raises(DiskFailedError):
        store.write(Batch(), sync=True)
    disk.faults.sync_fails = 0.0
    with pytest.raises(DiskFailedError):
        store.write(Batch(), sync=True)


def test_a_process_that_is_gone_touches_nothing() -> None:
    disk = SimDisk(Dice(1))
    files, store = disk.mount(quiet), disk.open_store(quiet)
    files.gone = store.gone = True
    with pytest.raises(PowerCutError):
        files.create(LOG)
    with pytest.raises(PowerCutError):
        store.write(Batch(), sync=True)
