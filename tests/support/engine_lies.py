"""What a Byzantine validator of a scenario says: votes out of thin air, false justifications."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from consensus.engine import Build, HeightStarted
from consensus.messages import (
    NO_JUSTIFICATION,
    Commit,
    Justification,
    Message,
    Prepare,
    PreparedCertificate,
    Proposal,
    RoundChange,
    RoundChangeEntry,
    commit_bytes,
    prepare_bytes,
    proposal_bytes,
    round_change_bytes,
)
from consensus.pbft.members import Members
from medquorum.block import Header
from tests.support.engine_world import CHAIN_ID, make_header, sign


class Proposer(Protocol):
    """Who a forged block names."""

    key: bytes
    started: HeightStarted


@dataclass(slots=True)
class Forger:
    """Hears every wish that is said, and makes what is asked of it."""

    members: Members
    blocks: Mapping[str, tuple[Header, bytes]]
    wishes: dict[tuple[int, int], dict[bytes, RoundChange]] = field(default_factory=dict)

    def hear(self, message: Message) -> None:
        """Remember a wish."""
        if isinstance(message, RoundChange):
            place = (message.height, message.round)
            self.wishes.setdefault(place, {})[message.signer] = message

    def header(self, proposer: Proposer, height: int, round_: int, body: bytes) -> Header:
        """A well-formed header."""
        started = proposer.started
        request = Build(
            height,
            round_,
            proposer.key,
            started.parent_hash,
            started.parent_result_hash,
            self.members.set_hash,
            started.parent_time_ms + 1,
        )
        return make_header(request, body, 0)

    def vote(
        self, key: bytes, kind: str, place: tuple[int, int], block: str, result: bytes
    ) -> Message:
        """A vote that no engine cast, at (height, round)."""
        height, round_ = place
        if kind == "ROUND_CHANGE":
            signature = sign(key, round_change_bytes(CHAIN_ID, height, round_, ()))
            return RoundChange(height, round_, key, (), (), signature)
        header, body = self.blocks[block]
        hash_ = header.hash()
        if kind == "PREPARE":
            signature = sign(key, prepare_bytes(CHAIN_ID, height, round_, hash_))
            return Prepare(height, round_, key, hash_, signature)
        if kind == "COMMIT":
            signature = sign(key, commit_bytes(CHAIN_ID, height, round_, hash_, result))
            return Commit(height, round_, key, hash_, result, signature)
        signature = sign(key, proposal_bytes(CHAIN_ID, height, round_, hash_))
        return Proposal(height, round_, key, header, body, NO_JUSTIFICATION, signature)

    def lie(self, key: bytes, height: int, round_: int, trick: str, block: str) -> Message:
        """A proposal with a justification that is false in one way.

        hide-claims     leaves out the certificate though some entries claim one
        hide-highest    proves a lower claim than the highest
        repeat-entry    one entry as often as a quorum has members
        repeat-signer   a certificate in which one signature stands for a quorum
        too-few         one entry less than a quorum
        """
        wishes = dict(self.wishes.get((height, round_), {}))
        own = sign(key, round_change_bytes(CHAIN_ID, height, round_, ()))
        wishes.setdefault(key, RoundChange(height, round_, key, (), (), own))
        ordered = sorted(wishes.values(), key=lambda wish: self.members.position[wish.signer])
        entries = tuple(wish.entry() for wish in ordered)
        proof = self._false_proof(trick, entries, ordered)
        header, body = self.blocks[block]
        signature = sign(key, proposal_bytes(CHAIN_ID, height, round_, header.hash()))
        return Proposal(height, round_, key, header, body, proof, signature)

    def _false_proof(
        self, trick: str, entries: tuple[RoundChangeEntry, ...], wishes: list[RoundChange]
    ) -> Justification:
        certificates = sorted(
            (known for wish in wishes for known in wish.certificate),
            key=lambda known: known.round,
        )
        quorum = self.members.quorum
        match trick:
            case "hide-claims":
                return Justification(entries, ())
            case "hide-highest":
                return Justification(entries, (certificates[0],))
            case "repeat-entry":
                modest = next(entry for entry in entries if len(entry.prepared) == 0)
                return Justification((modest,) * quorum, ())
            case "repeat-signer":
                known = certificates[-1]
                repeated = PreparedCertificate(
                    known.round, known.block_hash, known.signers, known.signatures[:1] * quorum
                )
                return Justification(entries, (repeated,))
            case "too-few":
                return Justification(entries[: quorum - 1], ())
            case _:
                raise ValueError(trick)
