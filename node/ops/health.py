"""Whether a node is alive, and whether it is ready to serve."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from node.ledger.readiness import unserved
from node.ops.diskguard import DiskLevel
from node.services import Services

BEHIND_MAX = 2


class ReadyParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What counts as ready. By default a node needs one peer, unless it is the only validator."""

    min_peers: Annotated[int, Meta(ge=0, le=1000)] | UnsetType = UNSET
    max_behind: Annotated[int, Meta(ge=0, le=2**53 - 1)] = BEHIND_MAX
    verbose: str = ""


class Check(msgspec.Struct, frozen=True):
    """A check that failed, or a warning about what is to come."""

    component: str
    reason: str


class Readiness(msgspec.Struct, frozen=True):
    """Ready if no check failed. Warnings do not count. `checks` are all of them, if asked for."""

    ready: bool
    failed_checks: list[Check]
    warnings: list[Check]
    checks: dict[str, str] | UnsetType = UNSET


def readiness(services: Services, params: ReadyParams) -> Readiness:
    """The answer of /readyz."""
    results = {
        "consensus": _consensus(services),
        "sync": _sync(services, params.max_behind),
        "peers": _peers(services, params.min_peers),
        "disk": _disk(services),
        "modules": _modules(services),
    }
    failed = [Check(name, reason) for name, reason in results.items() if reason != ""]
    checks = {name: reason or "ok" for name, reason in results.items()}
    return Readiness(
        ready=not failed,
        failed_checks=failed,
        warnings=_warnings(services),
        checks=UNSET if params.verbose in ("", "0", "false") else checks,
    )


def _consensus(services: Services) -> str:
    halted = services.halted()
    return "" if halted is None else f"halted: {halted}"


def _sync(services: Services, behind_max: int) -> str:
    sync = services.sync_status()
    if sync is None or sync.target - sync.height <= behind_max:
        return ""
    return f"{sync.target - sync.height} blocks behind"


def _peers(services: Services, asked: int | UnsetType) -> str:
    alone = len(services.chain.tip.validators.validators) == 1
    needed = int(not alone) if isinstance(asked, UnsetType) else asked
    connected = sum(peer.connected for peer in services.peers())
    return "" if connected >= needed else f"{connected} peers, {needed} needed"


def _disk(services: Services) -> str:
    state = services.disk.state
    return "" if state.level < DiskLevel.REFUSE else f"disk_low: {state.free_bytes} bytes free"


def _modules(services: Services) -> str:
    view = services.chain.view()
    for item in unserved(view, services.chain.registry):
        if item.height <= view.height + 1:
            return f"{item.name} {item.version} is {item.reason} here"
    return ""


def _warnings(services: Services) -> list[Check]:
    view = services.chain.view()
    found = [
        Check("modules", f"{item.name} {item.version} from height {item.height}: {item.reason}")
        for item in unserved(view, services.chain.registry)
        if item.height > view.height + 1
    ]
    today = services.forecast(services.chain.tip.validators)
    if today.ready < today.needed:
        there = f"{today.ready} of {len(today.seats)} validators are there"
        found.append(Check("quorum", f"{there}, {today.needed} must vote"))
    if services.disk.state.level is DiskLevel.WARN:
        found.append(Check("disk", f"{services.disk.state.free_bytes} bytes free"))
    return found
