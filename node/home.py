"""Where a node keeps its things: one directory, its layout in one place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Home:
    """The paths of a node's home directory. Nothing is created or checked here."""

    root: Path

    @property
    def config_file(self) -> Path:
        """The commented configuration."""
        return self.root / "config" / "config.toml"

    @property
    def genesis_file(self) -> Path:
        """The founding agreement of the chain."""
        return self.root / "config" / "genesis.json"

    @property
    def recovery_file(self) -> Path:
        """The last disaster recovery that the operator applied, if there was one."""
        return self.root / "config" / "recovery.json"

    @property
    def node_key(self) -> Path:
        """Proves this daemon to the other members."""
        return self.root / "keys" / "node_key.json"

    @property
    def validator_key(self) -> Path:
        """Signs votes. Absent on an observer."""
        return self.root / "keys" / "validator_key.json"

    @property
    def gateway_key(self) -> Path:
        """Signs the vault's access logs."""
        return self.root / "keys" / "gateway_key.json"

    @property
    def gateway_kem(self) -> Path:
        """Opens the vault's envelopes."""
        return self.root / "keys" / "gateway_kem.json"

    @property
    def data(self) -> Path:
        """Everything that the node writes by itself."""
        return self.root / "data"

    @property
    def chain(self) -> Path:
        """The database: blocks, receipts, index, state."""
        return self.data / "chain"

    @property
    def chain_building(self) -> Path:
        """A chain that is being built from a snapshot. Worthless to a process that starts."""
        return self.data / "chain.building"

    @property
    def chain_ready(self) -> Path:
        """One that is built: it takes the place of `chain` before anything is opened."""
        return self.data / "chain.ready"

    @property
    def before_migration(self) -> Path:
        """The chain in older formats, until an operator removes it."""
        return self.data / "before-migration"

    @property
    def scratch(self) -> Path:
        """What a tool needs while it runs. Worthless to every other process."""
        return self.data / "scratch"

    @property
    def snapshots(self) -> Path:
        """Snapshots of the ledger, and what is here of one that is being fetched."""
        return self.data / "snapshots"

    @property
    def consensus_log(self) -> Path:
        """The engine's write-ahead log."""
        return self.data / "consensus.log"

    @property
    def evidence(self) -> Path:
        """Proofs of validators' misbehaviour."""
        return self.data / "evidence.log"

    @property
    def sign_state(self) -> Path:
        """The guard against signing twice. Never restore an old copy of it."""
        return self.data / "sign_state"

    @property
    def mempool(self) -> Path:
        """The journal of pending transactions."""
        return self.data / "mempool"

    @property
    def vault(self) -> Path:
        """Ciphertext of this hospital's records, and their envelopes."""
        return self.data / "vault"

    @property
    def log(self) -> Path:
        """Where a supervisor may put the node's output."""
        return self.root / "log"
