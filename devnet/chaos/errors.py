"""What can go wrong with a history, apart from the network under test.

DevnetError
├── ScenarioError    the scenario cannot be used, 78
└── ProxyError       the proxy could not listen, 75
"""

from __future__ import annotations

from typing import ClassVar

from devnet.errors import DevnetError


class ScenarioError(DevnetError):
    """The scenario cannot be used; the message says where."""

    exit_code: ClassVar[int] = 78


class ProxyError(DevnetError):
    """An address of the proxy is taken."""

    exit_code: ClassVar[int] = 75
