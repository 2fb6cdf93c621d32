"""The parameters of the chain: integers within bounds, changed by governance only.

Every parameter of every module is a row of the governance namespace from genesis on, with its
bounds, so that reading or changing one depends on the state alone and never on the software that
reads it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from medquorum.codec import U53, Height, Wire
from medquorum.invariants import require
from node.ledger.context import View
from node.ledger.membership import NAMESPACE
from node.ledger.tables import Table, WritableState
from node.ledger.txtype import Param

TX_WINDOW: Final = "tx.window_heights"

ACTIVATION_HEIGHTS: Final = "gov.activation_heights_min"
PAUSE_MS_MAX: Final = "gov.pause_ms_max"
ROTA_CYCLES: Final = "consensus.rota_cycles"
ROTA_CYCLES_MAX: Final = 10

RETENTION_HEIGHTS: Final = "retention.heights_min"
RETENTION_DAYS: Final = "retention.days_min"

_DAY_MS: Final = 24 * 60 * 60 * 1000

CORE_PARAMS: Final = (
    Param(
        TX_WINDOW,
        default=1_000,
        minimum=10,
        maximum=100_000,
        summary="how far ahead valid_until may lie, and how long ids are remembered, in heights",
    ),
    Param(
        ACTIVATION_HEIGHTS,
        default=100,
        minimum=1,
        maximum=1_000_000,
        summary="heights between the decision to run new code and its first use, at least",
    ),
    Param(
        PAUSE_MS_MAX,
        default=30 * _DAY_MS,
        minimum=_DAY_MS,
        maximum=365 * _DAY_MS,
        summary="how long a decision may pause a module",
    ),
    Param(
        ROTA_CYCLES,
        default=2,
        minimum=0,
        maximum=ROTA_CYCLES_MAX,
        summary="turns to propose of each validator in a rota, until whose end one that misses its"
        " turn is passed over; 0: nobody ever is",
    ),
    Param(
        RETENTION_HEIGHTS,
        default=0,
        minimum=0,
        maximum=1_000_000_000,
        summary="the latest blocks, which every node keeps whole for audits, so many at least",
    ),
    Param(
        RETENTION_DAYS,
        default=0,
        minimum=0,
        maximum=36_500,
        summary="days for which every node keeps blocks whole for audits, by block time",
    ),
)


class ParamRow(Wire, frozen=True):
    """A parameter. `value` holds from `from_height` on, `before` held until then."""

    value: U53
    before: U53
    from_height: Height
    minimum: U53
    maximum: U53


PARAMS = Table(
    b"p", "params", key=("name",), value=ParamRow, meaning="parameters with their bounds"
)


def param(view: View, name: str) -> int:
    """The parameter's value at the view's height.

    The name must be declared by a module of this chain.
    """
    row = PARAMS.look_up(view.read(NAMESPACE), name)
    if row is None:
        require(False, f"no module of this chain has a parameter {name}")
        return 0
    return row.value if view.height >= row.from_height else row.before


def remembered_heights(view: View) -> int:
    """For how many heights ids are remembered, so that no transaction is committed twice.

    After the window was narrowed, the wider one still counts until all that entered under it has
    expired.
    """
    row = PARAMS.get(view.read(NAMESPACE), TX_WINDOW)
    if row is None:
        require(False, f"the ledger has no parameter {TX_WINDOW}")
        return 0
    settled = view.height >= row.from_height + row.before
    return row.value if settled else max(row.value, row.before)


def is_settling(view: View) -> bool:
    """Whether transactions of an earlier, wider window may still be valid. Until then it stays."""
    row = PARAMS.get(view.read(NAMESPACE), TX_WINDOW)
    return row is not None and row.value < row.before and view.height < row.from_height + row.before


def introduce_params(state: WritableState, declared: Iterable[Param]) -> None:
    """Add parameters of newly activated code that do not exist yet, with their defaults."""
    for parameter in declared:
        if not PARAMS.has(state, parameter.name):
            PARAMS.put(state, initial_row(parameter, parameter.default), parameter.name)


def initial_row(declared: Param, value: int) -> ParamRow:
    """The row of a parameter that nobody changed yet."""
    return ParamRow(value, value, 0, declared.minimum, declared.maximum)
