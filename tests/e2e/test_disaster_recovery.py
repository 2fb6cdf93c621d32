"""The drill of the operators' guide: half of the validators are lost for ever, with their disks,
and the organisations go on with what is left.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from medquorum.quorum import EngineName
from tests.support.cli import Daemon, ok, run, started
from tests.support.hospitals import Hospital, found, know_peers, opened_account, prepared

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

SETTLES_S = 60.0


def height_of(hospital: Hospital) -> int:
    """How far its node is."""
    return int(json.loads(run("status", "--rpc", hospital.rpc, "--json").stdout)["height"])


def settled(hospitals: Sequence[Hospital]) -> int:
    """Wait until all have the same height, twice in a row; that height."""
    deadline, last = time.monotonic() + SETTLES_S, -1
    while time.monotonic() < deadline:
        heights = {height_of(hospital) for hospital in hospitals}
        if heights == {last}:
            return last
        last = heights.pop() if len(heights) == 1 else -1
        time.sleep(1.5)
    raise AssertionError("the nodes do not settle")


def recovery_file(
    folder: Path, genesis: Path, survivors: Sequence[Hospital], lost: Sequence[Hospital]
) -> tuple[Path, list[Path]]:
    """What operators do to have the signed statement: it, and the survivors' new vote keys; the
    machines `new-c` and `new-d` stand ready.
    """
    keys, seats = [], []
    for number, hospital in enumerate(survivors):
        key, seat = folder / f"vote{number}", folder / f"seat{number}"
        ok("keys", "gen", key, "--purpose", "validator", "--plain-devnet")
        reach = ("--home", hospital.home, "--validator-key", key)
        ok("recovery", "seat", *reach, "--org", hospital.org, "-o", seat)
        keys.append(key)
        seats.append(seat)
    for hospital in lost:
        name = hospital.member.stem
        home, seat = folder / f"new-{name}.home", folder / f"seat-{name}"
        ok("recovery", "seat", "--home", home, "--org", hospital.org, "-o", seat)
        seats.append(seat)
    blank = folder / "blank"
    chosen = [part for seat in seats for part in ("--seat", seat)]
    at = ("--home", survivors[0].home)
    ok("recovery", "propose", *at, *chosen, "--reason", "site.lost", "-o", blank)
    signed = []
    for hospital in (*survivors, lost[-1]):
        signed.append(folder / f"signed-{hospital.member.stem}")
        key_of = ("--key", hospital.root_key, "--genesis", genesis)
        ok("recovery", "sign", blank, *key_of, "-o", signed[-1])
    hands_in = ("--key", survivors[0].root_key, "--genesis", genesis)
    few = run("recovery", "combine", *signed[:2], *hands_in, "-o", folder / "few")
    assert few.exit_code == 1, few.output
    combined = folder / "recovery.json"
    ok("recovery", "combine", *signed, *hands_in, "-o", combined)
    return combined, keys


def refused_when_altered(folder: Path, genesis: Path, combined: Path) -> None:
    """A byte in the middle makes it worthless, to whoever verifies it and to a node."""
    data = combined.read_bytes()
    altered = folder / "altered"
    middle = len(data) // 2
    altered.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])
    assert run("recovery", "verify", altered, "--genesis", genesis).exit_code != 0
    assert json.loads(ok("recovery", "verify", combined, "--genesis", genesis, "--json"))[
        "complete"
    ]


def recoveries_in(receipt: Path, genesis: Path) -> int:
    """What a reader of the receipt is told."""
    shown = json.loads(ok("verify-receipt", receipt, "--genesis", genesis, "--json"))
    return int(shown["recoveries"])


def test_organisations_go_on_after_half_of_the_validators_are_gone(
    tmp_path: Path, engine: EngineName
) -> None:
    hospitals, genesis = found(tmp_path, engine, "abcd")
    survivors, lost = hospitals[:2], hospitals[2:]
    with ExitStack() as stack:
        daemons: list[Daemon] = [stack.enter_context(started(h.home)) for h in hospitals]
        before = opened_account(tmp_path, genesis, by=lost[0], through=survivors[0])
        kept = settled(hospitals)
        for daemon, hospital in zip(daemons[2:], lost, strict=True):
            daemon.child.kill()
            daemon.child.wait()
            shutil.rmtree(hospital.home)
    machines = [prepared(tmp_path, f"new-{hospital.member.stem}") for hospital in lost]
    for machine in machines:
        ok("genesis", "install", genesis, "--home", machine.home)
        know_peers(machine, [h.member for h in (*survivors, *machines)])
    combined, keys = recovery_file(tmp_path, genesis, survivors, lost)
    refused_when_altered(tmp_path, genesis, combined)
    for hospital, key in zip(survivors, keys, strict=True):
        ok("recovery", "apply", combined, "--home", hospital.home, "--validator-key", key)
        ok("recovery", "apply", combined, "--home", hospital.home)
    for machine in machines:
        ok("recovery", "apply", combined, "--home", machine.home)
    members = [*survivors, *machines]
    with ExitStack() as stack:
        for hospital in members:
            stack.enter_context(started(hospital.home))
        after = opened_account(tmp_path, genesis, by=survivors[1], through=machines[0])
        again = opened_account(tmp_path, genesis, by=lost[0], through=survivors[0])
        assert settled(members) > kept
        for hospital in members:
            shown = json.loads(ok("status", "--rpc", hospital.rpc, "--json"))
            assert (shown["recoveries"], shown["role"]) == (1, "validator")
        asked = ("--rpc", survivors[0].rpc, "--genesis", genesis)
        old = json.loads(before.read_bytes())["tx_id"]
        ok("receipt", old, *asked, "-o", tmp_path / "fetched again")
    assert (tmp_path / "fetched again").read_bytes() == before.read_bytes()
    assert [recoveries_in(file, genesis) for file in (before, after, again)] == [0, 1, 1]
    data = after.read_bytes()
    after.write_bytes(data.replace(b'"recovery": "', b'"recovery": "A', 1))
    assert run("verify-receipt", after, "--genesis", genesis).exit_code == 1
    for hospital in survivors:
        ok("verify", "--home", hospital.home, "--deep")
