"""net.json: what a network consists of, for every command that comes after the one that made it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from devnet.ports import HOST

FORMAT: Final = 2


class Standing(StrEnum):
    """What a node is to the chain."""

    VALIDATOR = "validator"
    OBSERVER = "observer"


class NodeInfo(msgspec.Struct, frozen=True):
    """A node, as net.json describes it. Keys are hexadecimal."""

    index: int
    org: str
    p2p: int
    rpc: int
    ops: int
    node_key: str
    validator_key: str
    vault: bool
    standing: Standing = Standing.VALIDATOR

    @property
    def name(self) -> str:
        """As commands call it."""
        return f"node{self.index}"

    @property
    def url(self) -> str:
        """Its API."""
        return f"http://{HOST}:{self.rpc}"

    @property
    def ops_url(self) -> str:
        """Its health and metrics."""
        return f"http://{HOST}:{self.ops}"

    @property
    def ports(self) -> tuple[int, int, int]:
        """All that it listens on."""
        return self.p2p, self.rpc, self.ops


class NetFile(msgspec.Struct, frozen=True):
    """The file. Every node that ever joined had a number below `next_index`."""

    format: int
    chain_id: str
    base_port: int
    nodes: tuple[NodeInfo, ...]
    next_index: int


def pretty(value: object) -> bytes:
    """JSON for people and programs."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def replace_file(file: Path, data: bytes) -> None:
    """Other readers see the old file or the new one."""
    new = file.with_suffix(".new")
    new.write_bytes(data)
    new.replace(file)
