"""The limits of the gateway."""

from __future__ import annotations

from typing import Final

from medquorum.limits import ENVELOPE_BYTES_MAX

CUSTODY_BYTES_MAX: Final = ENVELOPE_BYTES_MAX + 128
"""Of the file of one envelope, behind its hash."""
INDEX_BYTES_MAX: Final = 128
"""Of what a copy of the vault says about itself."""
RELEASES_MAX: Final = 4
"""Releases in progress; each may hold RELEASE_BYTES_MAX in memory."""
RELEASE_BYTES_MAX: Final = 40 * 1024 * 1024
"""Ciphertext of one release. In base64 it is still an answer that clients read."""
LOG_WAIT_SECONDS: Final = 7.0
"""How long the requester waits for an access log to be committed. Two of these, a permit that came
too late and the denial after it, fit into the time of one request; one fits into a client's
patience.
"""
LOG_VALID_HEIGHTS: Final = 10
"""An access log that was not committed by then never is, and nothing is released for it."""
