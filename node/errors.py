"""The exceptions of the daemon.

NodeError
├── RefusedError     a request or transaction is refused; `code` names it in the catalogue
│   ├── GoneError          a height that is not here any more, or never was
│   └── QuorumAtRiskError  a change of validators after which too few would be there to vote
├── ConfigError      the configuration cannot be used
├── IdentityError    keys, genesis and data directory do not belong together
├── ChainReplaced    a chain that begins with a snapshot is ready to be opened in place of this one
├── RecoveryRefusedError  organisations named validators by a recovery that does not fit this chain
└── DivergenceError  our result of a certified block is not the certified one: we must stop
"""

from __future__ import annotations

from node.forecast import Forecast


class NodeError(Exception):
    """Base of the daemon's exceptions. Never raised itself."""


class RefusedError(NodeError):
    """A request or transaction is refused.

    `code` is a stable name of the catalogue; `detail` is for a person.
    """

    def __init__(
        self, code: str, detail: str, *, retry_after_ms: int = 0, tx_id: bytes = b""
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.retry_after_ms = retry_after_ms
        self.tx_id = tx_id


class GoneError(RefusedError):
    """What was asked for is of a `height` that is not here (any more); from `oldest` on it is."""

    def __init__(self, what: str, height: int, oldest: int) -> None:
        super().__init__("pruned", f"{what} of height {height} is not here: the oldest is {oldest}")
        self.height = height
        self.oldest = oldest


class QuorumAtRiskError(RefusedError):
    """A change of the validators after which too few would be there to vote, as this node sees it.

    `forecast` says who is missing.
    """

    def __init__(self, forecast: Forecast, *, tx_id: bytes = b"") -> None:
        super().__init__("quorum_at_risk", forecast.complaint(), tx_id=tx_id)
        self.forecast = forecast


class ConfigError(NodeError):
    """The configuration cannot be used."""


class IdentityError(NodeError):
    """Keys, genesis and data directory do not belong together."""


class StopNode(NodeError):  # noqa: N818 - a request, not an error
    """The node was asked to stop."""


class ChainReplaced(NodeError):  # noqa: N818 - a request, not an error
    """A chain that begins with a snapshot of `height` is ready. The node must start again."""

    def __init__(self, height: int) -> None:
        super().__init__(f"a chain that begins after height {height} is ready")
        self.height = height


class RecoveryRefusedError(NodeError):
    """A disaster recovery does not continue the chain that is here. `reason` is a stable name of
    the rule that it breaks.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class DivergenceError(NodeError):
    """Our own result of a certified block differs from the certified one.

    `module` names the first namespace that differs, if known.
    """

    def __init__(self, height: int, detail: str) -> None:
        super().__init__(f"height {height}: {detail}")
        self.height = height
        self.detail = detail
