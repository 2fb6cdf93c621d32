"""Where votes stand in the order in which a correct engine first says them."""

from __future__ import annotations

from typing import NamedTuple

from medquorum.certificate import VoteTag
from medquorum.codec import encode
from medquorum.hashing import Kind, tagged_hash


class VotePosition(NamedTuple):
    """The place of a vote in its signer's order.

    `digest` is the same for two votes iff they sign the same bytes (on one chain).
    """

    height: int
    round: int
    phase: int
    digest: bytes


def position_of(
    tag: VoteTag, height: int, round_: int, phase: int, payload: tuple[bytes | int, ...]
) -> VotePosition:
    """The position of a vote that says `payload` under `tag`."""
    said = encode((tag.value, height, round_, payload))
    return VotePosition(height, round_, phase, tagged_hash(Kind.VOTE, said))
