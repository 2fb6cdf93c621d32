"""Byzantine validators that misuse an honest node: what it sends is dropped, bent or said again.

These lies know no engine. The ones that are aimed at the rules of one are in adversary.py.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from msgspec.structs import replace

from consensus.messages import Status, decode_message, encode_message
from devnet.sim.machine import Machine
from devnet.sim.network import Net
from medquorum.codec import decode, encode
from medquorum.evidence import Statement, make_evidence
from node.wire import KINDS, Blocks, CertifiedBlock, EvidenceBatch, FrameKind, Tip
from p2p.model import Lane

GENERIC: Final = ("silent", "selective", "late", "garbage", "replay", "boast", "withhold", "forge")
SLANDER_SHARE: Final = 0.05
"""Of its announcements those beside which a liar accuses somebody: each costs it the connection."""
REMEMBERED: Final = 200
"""Old frames from which a liar chooses what to say again."""

Sent = list[tuple[bytes, int, bytes]]


class Liars:
    """Implements network.Tap: bends what the machines of `keys` send, in the way `lie` says."""

    def __init__(self, net: Net[Machine], keys: frozenset[bytes], lie: str) -> None:
        self._net = net
        self._rng = net.world.rng
        self._keys = keys
        self._lie = lie
        self._salt = self._rng.randrange(1 << 30)
        self._old: deque[tuple[int, bytes]] = deque(maxlen=REMEMBERED)

    def is_liar(self, machine: Machine) -> bool:
        """Whether this machine votes with one of the bad keys."""
        return machine.validator is not None and machine.validator.public in self._keys

    def outgoing(self, sender: Machine, key: bytes, kind: int, payload: bytes) -> Sent | None:
        """See Tap."""
        if not self.is_liar(sender):
            return None
        as_it_is = [(key, kind, payload)]
        match self._lie:
            case "silent":
                return [] if kind == FrameKind.CONSENSUS else None
            case "selective":
                return self._selective(key, kind, payload)
            case "late":
                return self._late(sender, key, kind, payload)
            case "garbage":
                return [*as_it_is, (key, *self._garbage(kind, payload))]
            case "replay":
                return [*as_it_is, *self._again(key, kind, payload)]
            case "boast":
                return [*as_it_is, *self._boast(key, kind)]
            case "withhold":
                return self._withhold(key, kind, payload)
            case "forge":
                return self._forge(key, kind, payload)
            case _:
                return None

    def _selective(self, key: bytes, kind: int, payload: bytes) -> Sent | None:
        """Each height and round, some hear everything and the others nothing."""
        if kind != FrameKind.CONSENSUS:
            return None
        message = decode_message(payload)
        round_ = getattr(message, "round", 0)
        chosen = hash((self._salt, message.height, round_, int.from_bytes(key[1:9], "big")))
        return [(key, kind, payload)] if chosen % 2 == 0 else []

    def _late(self, sender: Machine, key: bytes, kind: int, payload: bytes) -> Sent | None:
        """Votes come when nobody waits for them any more."""
        if kind != FrameKind.CONSENSUS:
            return None
        lane = KINDS[kind].lane
        self._net.world.later_ms(
            self._rng.uniform(20, 1_500),
            lambda: self._say(sender, key, lane, kind, payload),
        )
        return []

    def _say(self, sender: Machine, key: bytes, lane: Lane, kind: int, payload: bytes) -> None:
        self._net.transmit(sender, key, lane, kind, payload)

    def _forge(self, key: bytes, kind: int, payload: bytes) -> Sent:
        """Blocks whose certificate a quorum never signed, for those who fetch; and slander."""
        if kind == FrameKind.TIP and self._rng.chance(SLANDER_SHARE):
            return [(key, kind, payload), (key, FrameKind.EVIDENCE, self._slander())]
        if kind != FrameKind.BLOCKS:
            return [(key, kind, payload)]
        answer = decode(Blocks, payload, size_max=len(payload))
        forged: list[CertifiedBlock] = []
        for block in answer.blocks:
            # Each names the one before: only their certificates tell that these are not the chain.
            parent = forged[-1].header.hash() if len(forged) > 0 else block.header.parent
            header = replace(block.header, time_ms=block.header.time_ms + 1, parent=parent)
            certificate = replace(block.certificate, block_hash=header.hash())
            forged.append(replace(block, header=header, certificate=certificate))
        return [(key, kind, encode(Blocks(answer.first, tuple(forged))))]

    def _slander(self) -> bytes:
        """Evidence against an honest validator, which it never signed."""
        voters = self._net.machines
        victims = [m.validator.public for m in voters if m.validator and not self.is_liar(m)]
        said = [
            Statement("P", 0, (bytes([number]) * 32,), b"\x01" + self._rng.randbytes(64))
            for number in (1, 2)
        ]
        slander = make_evidence(self._rng.choice(victims), 1, *said)
        return encode(EvidenceBatch((slander,)))

    def _garbage(self, kind: int, payload: bytes) -> tuple[int, bytes]:
        """Bytes changed, cut off, added, or made up; sometimes as another kind of frame."""
        rng = self._rng
        bent = bytearray(payload)
        for _ in range(rng.randint(1, 4)):
            bent[rng.randrange(len(bent))] = rng.randrange(256)
        shapes = (bytes(bent), payload[: rng.randrange(len(payload))], payload + b"\0")
        kind = rng.choice(tuple(KINDS)) if rng.chance(0.2) else kind
        return kind, rng.choice((*shapes, rng.randbytes(rng.randint(0, 200))))

    def _again(self, key: bytes, kind: int, payload: bytes) -> Sent:
        """Something true that was said long ago."""
        self._old.append((kind, payload))
        if not self._rng.chance(0.3):
            return []
        return [(key, *self._rng.choice(self._old))]

    def _boast(self, key: bytes, kind: int) -> Sent:
        """Heights that nobody has reached."""
        rng = self._rng
        height = rng.choice((2, 5, 1_000, 10**9, 10**12, 2**53 - 1))
        if kind == FrameKind.CONSENSUS:
            status = encode_message(Status(height, rng.choice((0, 3, 2**32 - 1))))
            return [(key, FrameKind.CONSENSUS, status)]
        return [(key, FrameKind.TIP, encode(Tip(1, height)))]

    def _withhold(self, key: bytes, kind: int, payload: bytes) -> Sent | None:
        """No bodies and no blocks for anybody; sometimes an empty answer."""
        if kind == FrameKind.BLOCKS and self._rng.chance(0.5):
            return [(key, kind, encode(Blocks(1, ())))]
        if kind in (FrameKind.TXS, FrameKind.TX_BATCH, FrameKind.BLOCKS):
            return []
        return [(key, kind, payload)]
