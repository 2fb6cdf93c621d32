"""State keys whose paths agree in their first bits, found by search, so that trees grow deep."""

from __future__ import annotations

from typing import Final

CLOSE_KEYS: Final = (
    b"close190798", b"close482070",  # 37 bits
    b"close443377", b"close571068",  # 36 bits
    b"close245262", b"close865470",  # 39 bits
)  # fmt: skip
