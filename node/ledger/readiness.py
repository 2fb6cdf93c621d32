"""Which agreed code this node cannot run: known days ahead, and where to stop.

Governance activates names, versions and code hashes at heights. A node whose own code is another
one would get another result there.
"""

from __future__ import annotations

from dataclasses import dataclass

from node.ledger.context import View
from node.ledger.membership import WHOLE_MODULE, Activated, activations
from node.ledger.registry import Registry


@dataclass(frozen=True, slots=True)
class Unserved:
    """An activation that this node cannot serve. `reason`: missing, or other_code."""

    name: str
    version: int
    height: int
    reason: str


def unserved(view: View, registry: Registry) -> tuple[Unserved, ...]:
    """Activations, pending and in force, that the registry cannot serve, the nearest first.

    Of several decisions about one name and version, those count that are pending, and the one in
    force: older code was for older heights.
    """
    found: list[Unserved] = []
    for decided in _relevant(view):
        reason = _reason(decided, registry)
        if reason is not None:
            found.append(Unserved(decided.name, decided.version, decided.height, reason))
    return tuple(sorted(found, key=lambda item: (item.height, item.name, item.version)))


def must_stop_before(view: View, registry: Registry) -> int | None:
    """The lowest height that this node must not execute, or None.

    It may be one that is in force already.
    """
    first = unserved(view, registry)
    return first[0].height if first else None


def _relevant(view: View) -> list[Activated]:
    in_force: dict[tuple[str, int], Activated] = {}
    pending: list[Activated] = []
    # In ascending order of heights for each name and version, so the last one in force stays.
    for decided in activations(view):
        if decided.height > view.height:
            pending.append(decided)
        else:
            in_force[decided.name, decided.version] = decided
    return [*in_force.values(), *pending]


def _reason(decided: Activated, registry: Registry) -> str | None:
    if decided.version == WHOLE_MODULE:
        module = registry.module(decided.name)
    else:
        entry = registry.entry(decided.name, decided.version)
        module = None if entry is None else entry.module
    if module is None:
        return "missing"
    if registry.code_hashes.get(module.name) != decided.code_hash:
        return "other_code"
    return None
