"""What can go wrong with a development network.

DevnetError          each with the exit code that a script sees
├── ManifestError    the manifest cannot be used, 78
├── NoNetworkError   there is no network of this name, 3
├── PortsBusyError   somebody else listens on a port that we need, 75
├── BusyError        another command is changing the network, 75
├── StateError       the command does not fit what is there, 64
└── NotReadyError    nodes ended or were not ready in time, 70
"""

from __future__ import annotations

from typing import ClassVar


class DevnetError(Exception):
    """Base. Never raised itself."""

    exit_code: ClassVar[int] = 70


class ManifestError(DevnetError):
    """The manifest cannot be used."""

    exit_code = 78


class NoNetworkError(DevnetError):
    """There is no network of this name."""

    exit_code = 3


class PortsBusyError(DevnetError):
    """Somebody else listens on a port that we need; the message names them."""

    exit_code = 75


class BusyError(DevnetError):
    """Another command is changing the network right now."""

    exit_code = 75


class StateError(DevnetError):
    """The command does not fit what is there."""

    exit_code = 64


class NotReadyError(DevnetError):
    """Nodes ended or were not ready in time; the message has the end of their logs."""

    exit_code = 70
