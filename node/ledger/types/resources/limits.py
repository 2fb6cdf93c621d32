"""Every bound of the resources module that a consortium does not tune."""

from __future__ import annotations

from typing import Final

WINDOWS_MAX: Final = 32
"""Offered windows of one device. Offering anew replaces all of them in one operation."""

SEARCH_ROWS_MAX: Final = 500
"""Devices that one page of a search looks at, whether or not they are free."""

HOUR_MS: Final = 60 * 60 * 1000
DAY_MS: Final = 24 * HOUR_MS
OVERDUE_EVERY_MS: Final = DAY_MS
"""An overdue loan is reported again after this time, until the device is back."""
