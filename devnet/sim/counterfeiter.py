"""A validator of a Raft chain that votes truly, and beside that sends what nobody signed.

Raft promises nothing against a validator that lies about itself. But not even that one can speak
for others: a certificate holds or it does not, whoever shows it, and so does a signature.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from consensus.messages import decode_message, encode_message
from consensus.raft.messages import Ack, Decision, RaftMessage
from devnet.sim.machine import Machine
from devnet.sim.network import Net
from medquorum.certificate import CommitCertificate
from medquorum.codec import decode, encode
from node.wire import Blocks, FrameKind

SHARE: Final = 0.05
"""Of its messages those beside which it sends a forgery: each may cost it the connection."""

COUNTERFEIT: Final = "counterfeit"
"""What this lie is called."""

Sent = list[tuple[bytes, int, bytes]]


class Counterfeiter:
    """Implements network.Tap: adds to what the machines of `keys` send."""

    def __init__(self, net: Net[Machine], keys: frozenset[bytes]) -> None:
        self._rng = net.world.rng
        self._keys = keys
        self._seen: CommitCertificate | None = None
        """The last certificate that anybody sent."""

    def outgoing(self, sender: Machine, key: bytes, kind: int, payload: bytes) -> Sent | None:
        """See Tap."""
        if kind == FrameKind.BLOCKS and self._is_forger(sender):
            return [(key, kind, self._other_blocks(payload))]
        if kind != FrameKind.CONSENSUS:
            return None
        message = decode_message(payload)
        if isinstance(message, Decision):
            self._seen = message.certificate
        if not self._is_forger(sender) or not self._rng.chance(SHARE):
            return None
        if isinstance(message, Ack):
            # Before the true one: who counts it has a certificate that does not hold.
            forged = encode_message(replace(message, signature=self._bent(message.signature)))
            return [(key, kind, forged), (key, kind, payload)]
        if self._seen is None or not isinstance(message, RaftMessage):
            return None
        decision = Decision(message.height, self._other(self._seen, message.height))
        return [(key, kind, payload), (key, kind, encode_message(decision))]

    def _is_forger(self, machine: Machine) -> bool:
        return machine.validator is not None and machine.validator.public in self._keys

    def _bent(self, signature: bytes) -> bytes:
        place = self._rng.randrange(1, len(signature))
        return signature[:place] + bytes([signature[place] ^ 1]) + signature[place + 1 :]

    def _other(self, seen: CommitCertificate, height: int) -> CommitCertificate:
        """Somebody's signatures under something else."""
        if seen.height == height and self._rng.chance(0.5):
            return replace(seen, round=seen.round + 1)
        return replace(seen, height=height, block_hash=self._rng.randbytes(32))

    def _other_blocks(self, payload: bytes) -> bytes:
        """Other headers, with certificates of other blocks, for whoever catches up."""
        answer = decode(Blocks, payload, size_max=len(payload))
        if not self._rng.chance(0.5):
            return payload
        forged = tuple(
            replace(block, header=replace(block.header, time_ms=block.header.time_ms + 1))
            for block in answer.blocks
        )
        certified = tuple(
            replace(block, certificate=replace(block.certificate, block_hash=block.header.hash()))
            for block in forged
        )
        return encode(Blocks(answer.first, certified))
