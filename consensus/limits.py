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
