"""Every limit of the engines and their messages, with the reason for its value."""

from __future__ import annotations

from typing import Final

from medquorum.quorum import VALIDATORS_MAX

BODY_BYTES_MAX: Final = 1 << 20
"""A block's body: it names transactions and does not carry them, 32 bytes each in the main."""

PROOF_BYTES_MAX: Final = VALIDATORS_MAX * 256 + 4096
"""Round changes of all validators (at most 160 bytes each) and one certificate (66 bytes each)."""

MESSAGE_BYTES_MAX: Final = BODY_BYTES_MAX + PROOF_BYTES_MAX
"""The largest message is a proposal: a body and a justification."""

RECORD_BYTES_MAX: Final = MESSAGE_BYTES_MAX
"""No log record holds more than a message could."""

REASON_CHARS_MAX: Final = 64
"""The stable name of a halt's reason."""

DETAIL_CHARS_MAX: Final = 1024
"""What a halt tells an operator beside its reason."""

FUTURE_MESSAGES_PER_PEER_MAX: Final = 3
"""Votes of the next height that wait per peer: its proposal, PREPARE and COMMIT of round 0."""

FUTURE_BYTES_MAX: Final = 8 * BODY_BYTES_MAX
"""Bodies among them, all peers together. What does not fit is said again by its sender."""

FUTURE_PEERS_MAX: Final = 2 * VALIDATORS_MAX
"""Peers whose votes wait: two disjoint validator sets."""

COMMITS_PER_SIGNER_MAX: Final = 4
"""Rounds of one height whose COMMIT by one validator is kept; the highest ones."""

CERTIFICATES_MAX: Final = 32
"""Verified prepared certificates kept a height; those of the highest rounds."""

BLOCKS_MAX: Final = 8
"""Blocks of one height kept beside those that votes, claims or a decision still need."""

RESULTS_MAX: Final = 4
"""Results of executions kept a height: accepted, prepared, decided, and the newest other."""

VALIDATIONS_PER_ROUND_MAX: Final = 8
"""Validations of uncertified blocks in one round: a proposer cannot keep us busy with bad ones."""

SAID_ROUNDS_MAX: Final = 1024
"""Rounds of one height in which we know our own votes, to notice a twin of ourselves."""

WISHES_BEHIND_COMMIT_MAX: Final = 32
"""Wishes after which a COMMIT is no longer said again: the guard of the sign state, which sees it
anew after a restart, knows our last 64 votes.
"""

REPLIES_PER_PEER_MAX: Final = 2
"""Answers of one kind to one peer between two ticks of the RESEND timer."""

REPLY_PEERS_MAX: Final = 2 * VALIDATORS_MAX
"""Peers that get answers between two ticks of the RESEND timer."""

EVIDENCE_PER_VALIDATOR_MAX: Final = 1
"""Contradictions of one kind reported of one validator a height: one convicts."""

IDLE_RESEND_FACTOR: Final = 8
"""How much slower the RESEND timer runs while a height has nothing to decide."""

RULE_STEPS_MAX: Final = 4 * VALIDATORS_MAX
"""Rules that one event may set off. More is a loop in our own code."""

READS_MAX: Final = 1024
"""Reads that wait for a leader to be confirmed, or for its answer."""

TERM_MAX: Final = 2**32 - 1
"""The last term that can be written down. Pre-votes keep terms from growing without a majority."""
