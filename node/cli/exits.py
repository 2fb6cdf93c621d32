"""How a command ends. The codes follow sysexits.h, and service managers act on them.

Errors are told apart by the names of their classes: importing storage, the transport and the client
for their error classes would cost each command more time than its work.
"""

from __future__ import annotations

import errno
from enum import IntEnum
from typing import Final

import click


class Exit(IntEnum):
    """Restarting mends 70 and 75 at best; 64, 65, 73 and 78 wait for a person."""

    OK = 0
    NO = 1
    """The command did its work, and the answer is no: rejected, not proven, not healthy."""
    UNREACHABLE = 2
    """Of `status` only: no node answered."""
    USAGE = 64
    CORRUPT = 65
    INTERNAL = 70
    DISK = 73
    TEMPORARY = 75
    CONFIG = 78
    INTERRUPTED = 130


class Ended(click.ClickException):
    """Ends the command with a message and this code."""

    def __init__(self, code: Exit, message: str) -> None:
        super().__init__(message)
        self.code = code


_BY_CLASS: Final[dict[str, Exit]] = {
    # The network and its nodes.
    "UnreachableError": Exit.TEMPORARY,
    "WaitTimeoutError": Exit.TEMPORARY,
    "ProblemError": Exit.NO,
    "AnswerError": Exit.CONFIG,
    # Bytes that are not what they should be.
    "VerificationError": Exit.CORRUPT,
    "DecodeError": Exit.CORRUPT,
    "DamagedError": Exit.CORRUPT,
    "RecoveryRefusedError": Exit.NO,
    # This machine.
    "ConfigError": Exit.CONFIG,
    "IdentityError": Exit.CONFIG,
    "KeyFormatError": Exit.CONFIG,
    "FormatError": Exit.CONFIG,
    "BackendError": Exit.CONFIG,
    "SignStateMismatchError": Exit.CONFIG,
    "DataDirLockedError": Exit.TEMPORARY,
    "DiskLowError": Exit.DISK,
    "DiskFullError": Exit.DISK,
    "DiskError": Exit.TEMPORARY,
}
_OURS: Final = ("medquorum.", "node.", "storage.", "p2p.", "consensus.")


def ending_of(error: Exception) -> Exit | None:
    """The exit code of an error that is worth one line, or None for a bug of ours."""
    if isinstance(error, OSError):
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            return Exit.DISK
        return Exit.TEMPORARY if error.errno == errno.EADDRINUSE else Exit.CONFIG
    for kind in type(error).__mro__:
        if kind.__name__ in _BY_CLASS and kind.__module__.startswith(_OURS):
            code = _BY_CLASS[kind.__name__]
            retryable = kind.__name__ == "ProblemError" and getattr(error, "retryable", False)
            return Exit.TEMPORARY if retryable else code
    return None


def message_of(error: Exception) -> str:
    """One line for a person."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error) or type(error).__name__
