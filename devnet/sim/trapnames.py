"""The names of the traps (traps.py) and drills (drills.py) for Raft: the options say them."""

from __future__ import annotations

from typing import Final

MAJORITY: Final = "majority_then_gone"
"""A majority has the entry, and the leader goes before anybody hears that it is decided."""

MINORITY: Final = "minority_then_gone"
"""Some have the entry, no majority, and the leader goes."""

LATE_ACKS: Final = "acks_are_late"
"""What followers answer arrives when their leader has perhaps stopped leading, or leads again."""

SPLIT: Final = "votes_are_split"
"""Votes get lost, so a height sees many terms."""

ALONE: Final = "leader_alone"
"""The leader is cut off, in one direction or in both."""

TAKEOVER: Final = "late_takeover"
"""The order to take over arrives after the leader has changed its mind and decided an entry."""

FOLLOWERS: Final = "followers_gone"
"""Followers hold an entry in memory, say so, and die before they acknowledge it."""

TRAPS: Final = (
    MAJORITY,
    MAJORITY,
    MINORITY,
    MINORITY,
    LATE_ACKS,
    SPLIT,
    ALONE,
    TAKEOVER,
    FOLLOWERS,
)

AWAY: Final = "away"
"""A follower hears nobody, and nobody hears it."""

DEAF: Final = "deaf"
"""A follower hears nobody, and everybody hears it."""

LEADERLESS: Final = "leaderless"
"""The leader hears nobody, and nobody hears it."""

DRILLS: Final = (AWAY, DEAF, LEADERLESS)
