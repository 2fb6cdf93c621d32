"""Every key of the configuration, with its type, bounds, default and meaning. The file, the flags,
the environment and docs/configuration.md are all made from this.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from storage.limits import LEVELDB_WRITE_BUFFER_BYTES_MAX

Port = Annotated[int, Meta(ge=0, le=65535)]
Positive = Annotated[int, Meta(ge=1)]
NonNegative = Annotated[int, Meta(ge=0)]
Percent = Annotated[float, Meta(ge=0, le=100)]
CLOCK_OFFSET_MS_MAX: Final = 24 * 60 * 60 * 1000
"""A day: the greatest error of a clock that a development network plays."""


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file."""


class Base(_Section, frozen=True):
    """The node as a whole."""

    moniker: Annotated[
        str,
        Meta(max_length=64, description="Name of this node in logs and status; free to choose."),
    ] = "node"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Meta(description="Least severe level that is logged."),
    ] = "info"
    log_format: Annotated[
        Literal["plain", "json"], Meta(description="plain for people, json for log collectors.")
    ] = "plain"


class P2P(_Section, frozen=True):
    """Links to the other members' daemons."""

    host: Annotated[
        str, Meta(description="Address to listen on for members. Loopback until you change it.")
    ] = "127.0.0.1"
    port: Annotated[Port, Meta(description="Port for members; 0 picks a free one.")] = 29650
    peers: Annotated[
        tuple[str, ...],
        Meta(
            description="Members to connect to, and let in before the chain here names them, each"
            ' "<node key in hex>@<host>:<port>".'
        ),
    ] = ()


class Rpc(_Section, frozen=True):
    """The API for integrators."""

    host: Annotated[
        str,
        Meta(description="Address of the API. Put a reverse proxy in front before you open it."),
    ] = "127.0.0.1"
    port: Annotated[Port, Meta(description="Port of the API; 0 picks a free one.")] = 29651
    allowed_hosts: Annotated[
        tuple[str, ...],
        Meta(description="Host names that requests may carry (against DNS rebinding)."),
    ] = ("localhost", "127.0.0.1", "[::1]")
    quota_txs_per_second: Annotated[
        Positive,
        Meta(
            description="Transactions a second that one organisation may submit through this node."
        ),
    ] = 5_000
    quota_burst_txs: Annotated[Positive, Meta(description="How many it may submit at once.")] = (
        10_000
    )


class Ops(_Section, frozen=True):
    """Health and metrics, apart from the API so that it can stay private."""

    host: Annotated[str, Meta(description="Address of /livez, /readyz and /metrics.")] = "127.0.0.1"
    port: Annotated[
        Port, Meta(description="Port of /livez, /readyz and /metrics; 0 picks a free one.")
    ] = 29652


class Consensus(_Section, frozen=True):
    """Times of the consensus engine. They affect this node's patience, never safety."""

    round_ms: Annotated[
        Positive,
        Meta(
            description="Patience with who leads: with the first round of a height before we ask "
            "for the next (pbft), or with a leader that is silent (raft)."
        ),
    ] = 1_000
    round_ms_max: Annotated[
        Positive, Meta(description="pbft: rounds get longer by doubling, up to this.")
    ] = 30_000
    resend_ms: Annotated[
        Positive,
        Meta(
            description="How often our last votes are sent again while a height is open; also the "
            "most between two heartbeats of a raft leader."
        ),
    ] = 500
    block_interval_ms: Annotated[
        NonNegative,
        Meta(description="Least time between blocks. 0: as soon as there is work."),
    ] = 0


class Mempool(_Section, frozen=True):
    """Transactions that wait for a block."""

    txs_max: Annotated[Positive, Meta(description="Most transactions that wait.")] = 50_000
    bytes_max: Annotated[Positive, Meta(description="Most bytes of transactions that wait.")] = (
        64 * 1024 * 1024
    )


class Storage(_Section, frozen=True):
    """The databases."""

    backend: Annotated[
        Literal["leveldb", "lmdb"],
        Meta(
            description="Kind of the chain's database. lmdb needs the extra of this name. One that"
            " is there is never opened as another kind."
        ),
    ] = "leveldb"
    keep_versions: Annotated[
        Positive,
        Meta(description="Past heights whose state can be read and proven; older ones go."),
    ] = 1_000
    write_buffer_bytes: Annotated[
        int,
        Meta(
            ge=1,
            le=LEVELDB_WRITE_BUFFER_BYTES_MAX,
            description="LevelDB's write buffer, at most 32 MiB: a start looks for holes as far"
            " back as it reaches. A node takes up to a quarter less, by chance, so that not all of"
            " them write it out at once.",
        ),
    ] = LEVELDB_WRITE_BUFFER_BYTES_MAX
    cache_bytes: Annotated[Positive, Meta(description="LevelDB's block cache.")] = 64 * 1024 * 1024
    compression: Annotated[
        Literal["none", "snappy"],
        Meta(
            description="How LevelDB packs what it writes from now on. snappy takes a third less"
            " room, and under load a fifth more processor time. Either reads the other."
        ),
    ] = "none"


class Snapshots(_Section, frozen=True):
    """Snapshots of the ledger, from which new nodes begin."""

    interval_heights: Annotated[
        NonNegative,
        Meta(
            description="A snapshot is made at every multiple of this height, in the background. "
            "0: none. Members that choose the same can compare and back each other up."
        ),
    ] = 10_000
    keep: Annotated[
        Positive, Meta(le=8, description="How many snapshots are kept, the latest ones.")
    ] = 2


class Backup(_Section, frozen=True):
    """Backups of the chain of a running node, by the clock or when an operator asks for one."""

    directory: Annotated[
        str,
        Meta(
            description="Where backups go: an absolute path outside of the data directory, for this"
            " node alone, best on another machine's disk. Empty: none are made."
        ),
    ] = ""
    keep: Annotated[Positive, Meta(description="How many backups are kept, the latest ones.")] = 24
    every_hours: Annotated[
        NonNegative,
        Meta(
            le=8_760,
            description="A backup is made once in each so many hours, counted from midnight UTC of"
            " 1970-01-01. 0: only when it is asked for.",
        ),
    ] = 0


class Pruning(_Section, frozen=True):
    """Old blocks that a running node gives up: their transactions and events. What the chain
    demands is kept whatever is said here.
    """

    keep_heights: Annotated[
        NonNegative,
        Meta(
            description="Blocks are given up that are not among so many latest ones. 0: heights are"
            " no reason to give any up."
        ),
    ] = 0
    keep_days: Annotated[
        NonNegative,
        Meta(
            description="Blocks are given up that are so many days older than the latest one. 0:"
            " age is no reason. If both are set, both must hold; if neither is, all are kept."
        ),
    ] = 0
    range_heights: Annotated[
        Positive,
        Meta(le=1_000_000, description="So many heights are given up, and archived, together."),
    ] = 1_000
    archive_directory: Annotated[
        str,
        Meta(
            description="Blocks are given up only once an archive of them lies here and is proven:"
            " an absolute path outside of the data directory, for this node alone. Empty: none is"
            " made."
        ),
    ] = ""


class Sync(_Section, frozen=True):
    """How a node catches up."""

    mode: Annotated[
        Literal["auto", "blocks"],
        Meta(
            description="auto: a node without any block begins with a snapshot of its peers, if "
            "they have one, and keeps no blocks before it. blocks: it fetches every block."
        ),
    ] = "auto"


class Threads(_Section, frozen=True):
    """Worker threads."""

    verifiers: Annotated[Positive, Meta(le=64, description="Threads that check signatures.")] = 2


class Vault(_Section, frozen=True):
    """The custodian's gateway:

    keeps this hospital's encrypted records and releases them under consent.
    """

    enabled: Annotated[
        bool,
        Meta(description="Whether this node serves a vault. Needs the gateway keys."),
    ] = False
    gateway_actor: Annotated[
        str,
        Meta(description="Actor (hex) that signs access logs, a custodian_gateway."),
    ] = ""


class Disk(_Section, frozen=True):
    """The disk guard: a node never runs into a full disk.

    Each line is the larger of the bytes and the percentage.
    """

    check_seconds: Annotated[Positive, Meta(description="How often free space is checked.")] = 10
    warn_bytes: Annotated[NonNegative, Meta(description="Below this the node warns.")] = 2 * 1024**3
    warn_percent: Annotated[
        Percent, Meta(description="Below this share of the disk the node warns.")
    ] = 10.0
    refuse_bytes: Annotated[
        NonNegative, Meta(description="Below this new transactions are refused (disk_low).")
    ] = 1024**3
    refuse_percent: Annotated[
        Percent, Meta(description="Below this share new transactions are refused.")
    ] = 5.0
    stop_bytes: Annotated[
        NonNegative, Meta(description="Below this the node stops cleanly with exit code 73.")
    ] = 512 * 1024**2
    stop_percent: Annotated[
        Percent, Meta(description="Below this share the node stops cleanly.")
    ] = 2.0


class Devnet(_Section, frozen=True):
    """Only for trying out faults: refused on a chain whose name does not begin with devnet-."""

    clock_offset_ms: Annotated[
        int,
        Meta(
            ge=-CLOCK_OFFSET_MS_MAX,
            le=CLOCK_OFFSET_MS_MAX,
            description="How far this node's clock is wrong, on development networks only.",
        ),
    ] = 0


class Config(_Section, frozen=True):
    """The whole configuration."""

    base: Base = msgspec.field(default_factory=Base)
    p2p: P2P = msgspec.field(default_factory=P2P)
    rpc: Rpc = msgspec.field(default_factory=Rpc)
    ops: Ops = msgspec.field(default_factory=Ops)
    consensus: Consensus = msgspec.field(default_factory=Consensus)
    mempool: Mempool = msgspec.field(default_factory=Mempool)
    storage: Storage = msgspec.field(default_factory=Storage)
    snapshots: Snapshots = msgspec.field(default_factory=Snapshots)
    backup: Backup = msgspec.field(default_factory=Backup)
    pruning: Pruning = msgspec.field(default_factory=Pruning)
    sync: Sync = msgspec.field(default_factory=Sync)
    threads: Threads = msgspec.field(default_factory=Threads)
    vault: Vault = msgspec.field(default_factory=Vault)
    disk: Disk = msgspec.field(default_factory=Disk)
    devnet: Devnet = msgspec.field(default_factory=Devnet)


class Key(msgspec.Struct, frozen=True):
    """One key, for the template, the flags and the documentation."""

    section: str
    name: str
    default: object
    description: str

    @property
    def path(self) -> str:
        """`section.name`, as flags and messages call it."""
        return f"{self.section}.{self.name}"

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return f"MEDQUORUM_{self.section.upper()}__{self.name.upper()}"


def sections() -> list[tuple[str, type[_Section]]]:
    """The tables in the order of the file."""
    return [(field.name, type(field.default_factory())) for field in msgspec.structs.fields(Config)]


def keys() -> list[Key]:
    """Every key in the order of the file."""
    found: list[Key] = []
    for section, kind in sections():
        defaults = kind()
        found.extend(
            Key(section, field.name, getattr(defaults, field.name), _description(field.type))
            for field in msgspec.structs.fields(kind)
        )
    return found


def _description(annotated: object) -> str:
    texts = [
        meta.description
        for meta in getattr(annotated, "__metadata__", ())
        if isinstance(meta, Meta)
    ]
    return next((text for text in texts if text), "")
