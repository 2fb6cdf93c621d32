"""The check digit of GS1 numbers (GS1 General Specifications, section 7.9.1)."""

from __future__ import annotations

_ODD_WEIGHT = 3
_MODULUS = 10


def check_digit(digits: str) -> int:
    """The digit that completes `digits`: weights 3 and 1 in turn, from the right."""
    total = sum(
        int(digit) * (_ODD_WEIGHT if place % 2 == 0 else 1)
        for place, digit in enumerate(reversed(digits))
    )
    return -total % _MODULUS


def check_digit_holds(gtin: str) -> bool:
    """Whether the last digit of an all-digit number is the right one."""
    return int(gtin[-1]) == check_digit(gtin[:-1])
