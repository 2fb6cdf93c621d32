"""A validator that lies: the real daemon, whose messages are bent on their way out.

    python -m devnet.chaos.byzantine equivocate --home HOME

Below its lie it is honest: it keeps its log and its sign state, and hears everything. So it is as
well informed as a liar can be, and what it says beside the truth is signed with its real key. It
starts only on a chain whose name begins with `devnet-`, and whose engine is made for liars.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final, get_args

from msgspec.structs import replace
from typing_extensions import override

from consensus.messages import (
    Commit,
    Prepare,
    Proposal,
    decode_message,
    encode_message,
)
from devnet.chaos.scenario import Lie
from medquorum.keys import SigningKey
from node.app import Node
from node.config.load import load
from node.daemon import DEVNET_PREFIX, load_genesis, run_daemon
from node.home import Home
from node.logs import configure
from node.network import Links
from node.wire import FrameKind
from p2p.model import Lane

GARBAGE_SHARE: Final = 0.1
"""Share of its messages beside which a liar sends garbage: more, and its peers would hang up, and
it would be merely silent.
"""
GARBAGE_BYTES_MAX: Final = 256
USAGE: Final = 64


class LyingLinks(Links):
    """The transport, as a liar uses it."""

    def __init__(self, links: Links, rng: random.Random) -> None:
        self._links = links
        self.rng = rng

    @override
    def connected(self) -> tuple[bytes, ...]:
        return self._links.connected()

    @override
    def disconnect(self, peer: bytes, reason: str) -> None:
        self._links.disconnect(peer, reason)

    @override
    def send(self, peer: bytes, lane: Lane, kind: int, payload: bytes) -> bool:
        sent = True
        for said_kind, said in self.instead(peer, kind, payload):
            sent = self._links.send(peer, lane, said_kind, said) and sent
        # A liar looks as if it had said everything.
        return sent

    def instead(self, peer: bytes, kind: int, payload: bytes) -> list[tuple[int, bytes]]:
        """What is sent to a peer instead of this."""
        del peer
        return [(kind, payload)]


class Silent(LyingLinks):
    """Says nothing about any block, and everything else."""

    @override
    def instead(self, peer: bytes, kind: int, payload: bytes) -> list[tuple[int, bytes]]:
        return [] if kind == FrameKind.CONSENSUS else [(kind, payload)]


class Withholding(LyingLinks):
    """Votes, and gives nobody a transaction or a block."""

    @override
    def instead(self, peer: bytes, kind: int, payload: bytes) -> list[tuple[int, bytes]]:
        kept = kind in (FrameKind.TXS, FrameKind.TX_BATCH, FrameKind.BLOCKS)
        return [] if kept else [(kind, payload)]


class Selective(LyingLinks):
    """At each height and round, some hear everything and the others nothing."""

    @override
    def instead(self, peer: bytes, kind: int, payload: bytes) -> list[tuple[int, bytes]]:
        if kind == FrameKind.CONSENSUS:
            message = decode_message(payload)
            place = f"{message.height} {getattr(message, 'round', 0)} ".encode()
            if sha256(place + peer).digest()[0] % 2:
                return []
        return [(kind, payload)]


class Garbage(LyingLinks):
    """Sometimes sends bytes that mean nothing, as any kind of frame that fits the lane."""

    @override
    def instead(self, peer: bytes, kind: int, payload: bytes) -> list[tuple[int, bytes]]:
        said = [(kind, payload)]
        if self.rng.uniform(0, 1) < GARBAGE_SHARE:
            bent = bytearray(payload) or bytearray(1)
            bent[self.rng.randrange(len(bent))] ^= 1 << self.rng.randrange(8)
            noise = self.rng.randbytes(self.rng.randint(0, GARBAGE_BYTES_MAX))
            said.append((kind, self.rng.choice((bytes(bent), payload[:-1], noise))))
        return said


class Equivocating(LyingLinks):
    """Says two things at each height, round and phase, one after the other, to some in this order
    and to the others in that; and proposes one block to some and another one to the rest.
    """

    def __init__(self, links: Links, rng: random.Random, key: SigningKey, chain_id: bytes) -> None:
        super().__init__(links, rng)
        self._key = key
        self._chain_id = chain_id

    @override
    def instead(self, peer: bytes, kind: int, payload: bytes) -> list[tuple[int, bytes]]:
        other = self._contradiction(payload) if kind == FrameKind.CONSENSUS else None
        if other is None:
            return [(kind, payload)]
        first_group = sha256(peer).digest()[0] % 2 == 0
        if other.is_proposal:
            return [(kind, payload if first_group else other.payload)]
        both = [(kind, payload), (kind, other.payload)]
        return both if first_group else both[::-1]

    def _contradiction(self, payload: bytes) -> _Other | None:
        """Another message at the same place, properly signed; None for what is not our vote."""
        message = decode_message(payload)
        if not isinstance(message, Proposal | Prepare | Commit):
            return None
        if message.signer != self._key.public:
            return None
        other: Proposal | Prepare | Commit
        if isinstance(message, Proposal):
            if message.justification.entries:
                return None
            other = replace(
                message, header=replace(message.header, time_ms=message.header.time_ms + 1)
            )
        else:
            other = replace(message, block_hash=sha256(message.block_hash).digest())
        signature = self._key.sign(other.signed_bytes(self._chain_id))
        signed = replace(other, signature=signature)
        return _Other(encode_message(signed), isinstance(message, Proposal))


@dataclass(frozen=True, slots=True)
class _Other:
    """What a liar could say instead."""

    payload: bytes
    is_proposal: bool


def lying(lie: Lie, links: Links, node: Node) -> Links:
    """The links of a node, bent."""
    rng = random.Random(node.keys.node.public)
    match lie:
        case "silent":
            return Silent(links, rng)
        case "withhold":
            return Withholding(links, rng)
        case "selective":
            return Selective(links, rng)
        case "garbage":
            return Garbage(links, rng)
        case "equivocate":
            if node.keys.validator is None:
                return links
            return Equivocating(links, rng, node.keys.validator, node.chain.chain_id)


def composer(lie: Lie) -> Callable[..., Node]:
    """Makes nodes that tell this lie."""

    def compose(**parts: object) -> Node:
        node = Node(**parts)  # type: ignore[arg-type]  # what the daemon hands to any composer
        node.network.attach(lying(lie, node.transport, node))
        return node

    return compose


def main(words: list[str]) -> int:
    """Run the daemon of a home, lying; its exit code."""
    lies = {str(lie): lie for lie in get_args(Lie)}
    match words:
        case [word, "--home", root] if word in lies:
            home = Home(Path(root))
        case _:
            sys.stderr.write(f"usage: byzantine {'|'.join(lies)} --home HOME\n")
            return USAGE
    genesis = load_genesis(home)
    if genesis.engine != "pbft":
        sys.stderr.write(f"{genesis.engine} withstands crashes only: nobody may lie to it\n")
        return USAGE
    if not genesis.chain_name.startswith(DEVNET_PREFIX):
        sys.stderr.write(f"only a chain whose name begins with {DEVNET_PREFIX} may be lied to\n")
        return USAGE
    loaded = load(home.config_file, {}, {})
    base = loaded.config.base
    log = configure(base.log_level, base.log_format, base.moniker)
    return run_daemon(
        home,
        loaded,
        passphrase=None,
        log=log,
        ready=lambda endpoints: log.info("ready", port=endpoints.rpc),
        compose=composer(lies[words[0]]),
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
