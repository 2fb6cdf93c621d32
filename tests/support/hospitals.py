"""Hospitals that found a chain with the commands that their operators type."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from medquorum.quorum import EngineName
from tests.support.cli import describe, ok
from tests.support.ports import free_ports

MAY_LIE: Final[dict[EngineName, int]] = {"pbft": 1, "raft": 0}


@dataclass(frozen=True, slots=True)
class Hospital:
    """What one hospital has, and what it published."""

    home: Path
    root_key: Path
    member: Path
    rpc: str

    @property
    def org(self) -> str:
        """Its id on the chain."""
        org: str = json.loads(self.member.read_bytes())["organisation"]["org"]
        return org


def prepared(folder: Path, name: str) -> Hospital:
    """A hospital with a home, keys and a description."""
    home, root, member = (folder / f"{name}{end}" for end in (".home", ".root", ".json"))
    p2p, rpc, ops = free_ports(3)
    ports = (f"p2p.port={p2p}", f"rpc.port={rpc}", f"ops.port={ops}")
    chosen = [part for setting in ports for part in ("--set", setting)]
    ok("init", "--home", home, "--plain-devnet", *chosen)
    ok("keys", "gen", root, "--purpose", "organisation", "--plain-devnet")
    describe(home, root, member, address=f"127.0.0.1:{p2p}")
    return Hospital(home, root, member, f"http://127.0.0.1:{rpc}")


def found(folder: Path, engine: EngineName, names: str) -> tuple[list[Hospital], Path]:
    """The hospitals of these names, ready to start, and the genesis on which they agreed."""
    hospitals = [prepared(folder, name) for name in names]
    genesis = folder / "genesis.json"
    members = [hospital.member for hospital in hospitals]
    terms = ("--chain-name", "devnet-by-hand", "--engine", engine)
    ok("genesis", "new", *members, *terms, "-o", genesis)
    unchanged = [part for member in members for part in ("--member", member)]
    facts = json.loads(ok("genesis", "validate", genesis, *unchanged, "--json"))
    assert (facts["engine"], facts["may_fail"], facts["may_lie"]) == (engine, 1, MAY_LIE[engine])
    for hospital in hospitals:
        ok("genesis", "install", genesis, "--home", hospital.home)
        know_peers(hospital, members)
    return hospitals, genesis


def know_peers(hospital: Hospital, members: Sequence[Path]) -> None:
    """Write into the configuration where the members are."""
    peers = ok("member", "peers", *members, "--home", hospital.home)
    config = hospital.home / "config" / "config.toml"
    head, section, rest = config.read_text("utf-8").partition("[p2p]\n")
    assert section
    config.write_text(f"{head}{section}{peers}{rest}", "utf-8")


def opened_account(folder: Path, genesis: Path, by: Hospital, through: Hospital) -> Path:
    """The receipt of an account that a hospital opened through somebody's node."""
    name = secrets.token_hex(32)
    built, signed, receipt = (folder / f"{name}.{what}" for what in ("built", "signed", "receipt"))
    body = {"acct": name, "kind": "hospital", "org": by.org, "holder": [], "kyc_hash": []}
    fields = json.dumps({**body, "daily_limit": 0})
    reach = ("--rpc", through.rpc, "--genesis", genesis)
    ok("tx", "build", "pay.acct.open", fields, "--signer", by.root_key, *reach, "-o", built)
    ok("tx", "sign", built, "--key", by.root_key, "--yes", "-o", signed)
    sent = json.loads(ok("tx", "submit", signed, "--rpc", through.rpc, "--json"))
    assert (sent["state"], sent["code"]) == ("committed", "ok")
    ok("receipt", sent["txid"], *reach, "-o", receipt)
    return receipt
