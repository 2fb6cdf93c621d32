"""Re-checks the data of a stopped node against the genesis: all of it, or the blocks of a range.

What is not here is not damage: of a chain that began with a snapshot, or gave old blocks up, what
is left below its oldest block is checked too.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from medquorum.codec import encode
from medquorum.genesis import Genesis
from node.checking.findings import Finding, Report
from node.home import Home
from node.ledger.registry import Registry
from node.repair.blocks import BlockAudit, Progress
from node.repair.errors import UnrepairableError
from node.repair.indexes import check_strays
from node.repair.limits import ENTRY_SHOWN_BYTES, PAGES_HELD_MAX
from node.repair.past import PastAudit
from node.repair.reexecution import Reexecution
from node.repair.scratch import scratch_directory
from node.repair.surroundings import check_logs, check_reached, check_sign_state, check_vault
from storage.chain import ChainStore
from storage.entries import wrong_with
from storage.errors import DamagedStoreError
from storage.kv import KV
from storage.state import head_at, oldest_state
from storage.stateaudit import StateAudit


@dataclass(frozen=True, slots=True)
class Extent:
    """What is asked for. Heights that are None are the oldest and the last that are here."""

    first: int | None
    last: int | None
    deep: bool

    @property
    def whole(self) -> bool:
        """Whether all heights are asked for."""
        return self.first is None and self.last is None


class Verification:
    """One check of the database `kv` of `home`. The lock of the data directory is held."""

    def __init__(
        self, home: Home, kv: KV, genesis: Genesis, registry: Registry, progress: Progress
    ) -> None:
        self._home = home
        self._kv = kv
        self._genesis = genesis
        self._registry = registry
        self._progress = progress
        self._blocks = ChainStore(kv)
        self.report = Report()

    def run(self, extent: Extent, open_kv: Callable[[Path], KV]) -> tuple[int, int]:
        """Check it; the first and the last height that were looked at. See `report`.

        `open_kv` opens scratch stores for --deep. Raises UnrepairableError if there is nothing
        that could be checked: no block of the asked heights is here.
        """
        stored = self._blocks.genesis()
        if stored is None:
            raise UnrepairableError("the database is empty: this node has never run")
        if stored != encode(self._genesis):
            self.report.add(Finding("database", 0, "G", "it is of a chain with another genesis"))
        tip = self._blocks.tip()
        first = max(extent.first or 1, self._blocks.oldest_block())
        last = min(extent.last or tip, tip)
        if last < first and not extent.whole:
            raise UnrepairableError(
                f"none of these heights is here: the blocks are {self._blocks.oldest_block()} to"
                f" {tip}"
            )
        processes = len(os.sched_getaffinity(0))
        audit = BlockAudit(
            self._kv, self._blocks, self._genesis, self.report, first=first, last=last
        )
        audit.run(processes, self._progress)
        self._state_roots(first - 1, last)
        if extent.whole:
            PastAudit(self._kv, self._blocks, self._genesis, self.report).run(self._progress)
            check_strays(self._kv, self._blocks, self.report)
        if extent.deep:
            self._every_entry()
            self._tree(tip)
            self._execute(last, open_kv)
        check_reached(self._home, self._blocks, self.report)
        check_sign_state(self._home, self._genesis.chain_id(), self.report)
        check_logs(self._home, self.report)
        check_vault(self._home, self.report)
        return first, last

    def _state_roots(self, first: int, last: int) -> None:
        """The roots that stand beside the state, of all heights whose state is kept."""
        oldest = oldest_state(self._kv)
        for height in range(max(oldest, first, 0), last + 1):
            try:
                root = head_at(self._kv, height).root
                result = self._blocks.result(height)
            except DamagedStoreError as error:
                self.report.add(Finding("state", height, "", error.detail))
                continue
            self.report.looked_at("state roots")
            if result is not None and result.state_root != root:
                self.report.add(Finding("state", height, "", "its root is not the certified one"))

    def _every_entry(self) -> None:
        """Read the database from end to end: its checksums show what the disk has changed, also
        where no other check looks, such as the history of the state. Each has a form, and says
        nothing of heights that were not reached.
        """
        last = b""
        tip = self._blocks.tip()
        try:
            for key, value in self._kv.scan(b"\x00", b"\xff"):
                last = key
                wrong = wrong_with(key, value, tip)
                if wrong is not None:
                    self.report.add(Finding("database", 0, key[:ENTRY_SHOWN_BYTES].hex(), wrong))
                self.report.looked_at("entries")
        except DamagedStoreError as error:
            self.report.add(Finding("database", 0, f"after {last.hex()}", str(error)))

    def _tree(self, tip: int) -> None:
        try:
            audit = StateAudit(self._kv, tip, pages_held_max=PAGES_HELD_MAX)
            for damage in audit.tree():
                self._found_in_state(damage.kind, tip, damage.namespace, damage.key, damage.detail)
            for damage in audit.every_value():
                self._found_in_state(damage.kind, tip, damage.namespace, damage.key, damage.detail)
            self.report.looked_at("values", audit.values)
        except DamagedStoreError as error:
            self.report.add(Finding("state", tip, "", error.detail))

    def _execute(self, last: int, open_kv: Callable[[Path], KV]) -> None:
        with scratch_directory(self._home) as folder:
            (folder / "leaves").mkdir()
            with closing(open_kv(folder / "kv")) as scratch:
                run = Reexecution(
                    self._kv,
                    self._genesis,
                    self._registry,
                    scratch=scratch,
                    folder=folder / "leaves",
                )
                try:
                    divergence = run.run(last, self._progress)
                except DamagedStoreError as error:
                    self.report.add(Finding("execution", 0, "", error.detail))
                except UnrepairableError as error:
                    self.report.add(Finding("execution", 0, "", error.detail))
                else:
                    if divergence is not None:
                        self.report.add(
                            Finding("execution", divergence.height, "", divergence.line())
                        )
                self.report.looked_at("executed transactions", run.transactions)

    def _found_in_state(
        self, kind: Literal["page", "value"], height: int, namespace: str, key: bytes, detail: str
    ) -> None:
        self.report.add(Finding(kind, height, f"{namespace}/{key.hex()}", detail))
