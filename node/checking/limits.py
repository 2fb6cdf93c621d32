"""The limits of checks."""

from __future__ import annotations

from typing import Final

FINDINGS_MAX: Final = 100
"""More damage than this is counted, not told one by one."""
