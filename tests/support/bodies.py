"""Any well-formed body of any type: hypothesis strategies made from the declarations."""

from __future__ import annotations

from typing import TypeVar

from hypothesis import strategies as st
from msgspec import Struct, inspect

from medquorum.codec import Wire
from node.ledger.txtype import TxType

StructT = TypeVar("StructT", bound=Struct)

INTERESTING = (0, 1, 2, 10, 1_800_000_000_000, 2**32, 2**53 - 1)
TOKENS = ("a", "none", "treat", "clinician", "hospital", "approve", "zz.unknown-token")


def bodies(tx_type: TxType[Wire]) -> st.SearchStrategy[Wire]:
    """Bodies that decode.

    Ids come from a small pool, so that they meet each other and what exists.
    """
    return _structures(tx_type.body)


def _structures(kind: type[StructT]) -> st.SearchStrategy[StructT]:
    described = inspect.type_info(kind)
    assert isinstance(described, inspect.StructType)
    fields = [_values(field.type) for field in described.fields]
    return st.tuples(*fields).map(lambda values: kind(*values))


def _values(kind: inspect.Type) -> st.SearchStrategy[object]:
    match kind:
        case inspect.StructType():
            return _structures(kind.cls)
        case inspect.BytesType():
            low, high = kind.min_length or 0, kind.max_length or 64
            lengths = st.sampled_from(sorted({low, min(max(low, 32), high), min(high, 128)}))
            return st.builds(lambda n, fill: bytes([fill]) * n, lengths, st.integers(0, 3))
        case inspect.IntType():
            low, high = kind.ge or 0, 2**53 - 1 if kind.le is None else kind.le
            return st.sampled_from([n for n in (*INTERESTING, low, high) if low <= n <= high])
        case inspect.StrType():
            if kind.pattern is not None and "https" in kind.pattern:
                return st.sampled_from(("", "https://h.test"))
            return st.sampled_from(TOKENS)
        case inspect.EnumType():
            return st.sampled_from([member.value for member in kind.cls])
        case inspect.VarTupleType():
            low = kind.min_length or 0
            high = min(kind.max_length or 4, low + 3)
            return st.lists(_values(kind.item_type), min_size=low, max_size=high).map(tuple)
        case _:
            raise AssertionError(f"no strategy for {kind}")
