"""An engine's evidence in the form that convicts by itself (medquorum.evidence).

What a signature does not cover, a block's content for one, is left out: the hash is enough.
"""

from __future__ import annotations

from consensus.engine import Evidence as Found
from consensus.messages import SignedMessage, Vote, decode_message, vote_payload, vote_tag
from consensus.raft.messages import raft_payload, raft_tag
from medquorum.evidence import Evidence, Statement, make_evidence
from medquorum.invariants import InvariantBroken


def statement_of(vote: SignedMessage) -> Statement:
    """What a vote says, and the signature under it."""
    if isinstance(vote, Vote):
        return Statement(vote_tag(vote).value, vote.round, vote_payload(vote), vote.signature)
    return Statement(raft_tag(vote).value, vote.term, raft_payload(vote), vote.signature)


def evidence_of(found: Found) -> Evidence:
    """What an engine found. Its votes are its own encodings, so they decode."""
    votes = []
    for data in (found.first, found.second):
        vote = decode_message(data)
        if not isinstance(vote, SignedMessage):
            raise InvariantBroken("an engine calls something evidence that nobody signed")
        votes.append(vote)
    first, second = votes
    return make_evidence(found.validator, first.height, statement_of(first), statement_of(second))
