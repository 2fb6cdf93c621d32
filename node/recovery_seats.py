"""What a hospital hands to whoever proposes a recovery: one validator of the new set, as one line
of JSON (docs/spec/disaster-recovery.md, section 5).
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from medquorum.codec import decode, encode
from medquorum.encoding import from_hex
from medquorum.errors import DecodeError, VerificationError
from medquorum.keys import PUBLIC_KEY_BYTES, SIGNATURE_BYTES
from medquorum.recovery import RecoveredValidator

FORMAT: Final = "medquorum/recovery-seat/v1"
SEAT_BYTES_MAX: Final = 4096


class _Seat(msgspec.Struct, forbid_unknown_fields=True):
    format: Literal["medquorum/recovery-seat/v1"]
    key: str
    node_key: str
    org: str
    possession: str


def dump_seat(validator: RecoveredValidator) -> bytes:
    """The line."""
    seat = _Seat(
        FORMAT,
        validator.key.hex(),
        validator.node_key.hex(),
        validator.org.hex(),
        validator.possession.hex(),
    )
    return msgspec.json.encode(seat) + b"\n"


def load_seat(data: bytes) -> RecoveredValidator:
    """Read it. That the keys are good ones is seen when they are proposed. Raises
    VerificationError.
    """
    try:
        seat = msgspec.json.decode(data, type=_Seat)
        validator = RecoveredValidator(
            from_hex(seat.key, size=PUBLIC_KEY_BYTES),
            from_hex(seat.node_key, size=PUBLIC_KEY_BYTES),
            from_hex(seat.org, size=32),
            from_hex(seat.possession, size=SIGNATURE_BYTES),
        )
        return decode(RecoveredValidator, encode(validator), size_max=SEAT_BYTES_MAX)
    except (msgspec.DecodeError, DecodeError, ValueError) as error:
        raise VerificationError(
            "recovery_seat", f"not a validator of a recovery: {error}"
        ) from None
