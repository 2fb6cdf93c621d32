"""All transaction types that this build knows, and which of them are active at a height.

The modules of BUILT_IN are active from the first height on, with version 1 of their types.
Everything that comes later (a new version of a type, a module from elsewhere) sleeps until
governance activates it, so that all nodes start to run it at the same height.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final, get_type_hints

from medquorum.codec import Wire, decode
from medquorum.errors import DecodeError, OversizedError
from medquorum.hashing import Kind
from medquorum.transaction import OPERATION_BYTES_MAX, Operation, Transaction
from node.ledger import membership
from node.ledger.codes import Code
from node.ledger.context import View
from node.ledger.entry import FIRST_VERSION, Entry
from node.ledger.errors import RegistryError, TxError
from node.ledger.membership import WHOLE_MODULE
from node.ledger.params import CORE_PARAMS
from node.ledger.schemas import TypeSchema, type_schema
from node.ledger.txtype import EventType, Module, Param, Query, Traffic, TxType

DUE_NAMESPACE: Final = "due"

_NAME: Final = re.compile(r"[a-z][a-z0-9_.\-]{0,63}")
_ATTRIBUTES_MAX: Final = 16
_U16_MAX: Final = 2**16 - 1
_INT_MAX: Final = 2**53 - 1


class Registry:
    """Everything that was declared, checked against each other. Immutable.

    `code_hashes` gives the hash of each module's source (see `module_code_hash`), for comparison
    with what governance agreed upon. Raises RegistryError if the modules contradict themselves or
    each other.
    """

    def __init__(
        self,
        modules: Sequence[Module],
        third_party: Sequence[Module] = (),
        code_hashes: Mapping[str, bytes] | None = None,
    ) -> None:
        self.modules: Final = (*modules, *third_party)
        self.built_in: Final = frozenset(module.name for module in modules)
        self.code_hashes: Final = dict(code_hashes or {})
        self._modules = _unique("module", ((m.name, m) for m in self.modules))
        self._types = _unique(
            "type",
            (
                ((t.name, t.version), Entry(m, t, m.name in self.built_in))
                for m in self.modules
                for t in m.types
            ),
        )
        self._queries = _unique("query", ((q.name, q) for m in self.modules for q in m.queries))
        self._params = _unique(
            "parameter",
            ((p.name, p) for p in (*CORE_PARAMS, *(p for m in self.modules for p in m.params))),
        )
        self._events = _unique("event", ((e.name, e) for m in self.modules for e in m.events))
        for module in self.modules:
            _check_module(module)

    def module(self, name: str) -> Module | None:
        """The module, or None."""
        return self._modules.get(name)

    def entry(self, name: str, version: int) -> Entry | None:
        """The type, or None."""
        return self._types.get((name, version))

    def entries(self) -> tuple[Entry, ...]:
        """All types, in the order of their names and versions."""
        return tuple(self._types[key] for key in sorted(self._types))

    def schemas(self) -> tuple[TypeSchema, ...]:
        """The published form of all types, in the order of their names and versions."""
        return tuple(type_schema(entry) for entry in self.entries())

    def query(self, name: str) -> Query[Any] | None:
        """The query, or None."""
        return self._queries.get(name)

    def queries(self) -> tuple[Query[Any], ...]:
        """All queries, in the order of their names."""
        return tuple(self._queries[name] for name in sorted(self._queries))

    def params(self) -> tuple[Param, ...]:
        """The parameters of the core and of all modules, in the order of their names."""
        return tuple(self._params[name] for name in sorted(self._params))

    def founding_modules(self) -> tuple[Module, ...]:
        """The modules that are there from genesis on.

        Others may be installed on some nodes only.
        """
        return tuple(module for module in self.modules if module.name in self.built_in)

    def events(self) -> tuple[EventType, ...]:
        """All events, in the order of their names."""
        return tuple(self._events[name] for name in sorted(self._events))

    def traffic(self, tx: Transaction) -> Traffic:
        """The class of the humblest of its operations, so that bulk cannot ride on a vote."""
        operations = tx.body.operations
        if len(operations) == 1:
            only = self._types.get((operations[0].type, operations[0].version))
            return Traffic.BULK if only is None else only.type.traffic
        classes = {
            entry.type.traffic
            for operation in operations
            if (entry := self._types.get((operation.type, operation.version))) is not None
        }
        for traffic in (Traffic.BULK, Traffic.CLINICAL):
            if traffic in classes:
                return traffic
        return Traffic.GOVERNANCE if classes else Traffic.BULK

    def decode_body(self, operation: Operation) -> Wire:
        """The operation's body. Raises TxError with E_TYPE, E_SIZE or, for any other fault,
        E_SCHEMA.

        Needs no state: whether the type is active at a height is another question (`is_active`).
        """
        entry = self._types.get((operation.type, operation.version))
        if entry is None:
            raise TxError(Code.TYPE, f"{operation.type} version {operation.version} is unknown")
        try:
            body: Wire = decode(entry.type.body, operation.body, size_max=OPERATION_BYTES_MAX)
        except OversizedError as error:
            raise TxError(Code.SIZE, str(error)) from None
        except DecodeError as error:
            raise TxError(Code.SCHEMA, str(error)) from None
        return body

    def is_active(self, entry: Entry, view: View) -> bool:
        """Whether the type may run at the view's height."""
        decided = membership.is_activated(view, entry.type.name, entry.type.version)
        if decided is not None:
            return decided
        if entry.from_genesis:
            return True
        if entry.built_in or entry.type.version != FIRST_VERSION:
            return False
        return bool(membership.is_activated(view, entry.module.name, WHOLE_MODULE))


def module_code_hash(sources: Mapping[str, bytes]) -> bytes:
    """The hash of a module's code, from the SHA-256 of each source file by relative path.

    The caller reads the files. The hash depends on names and contents, not on the order of the
    mapping.
    """
    lines = [sources[path].hex() + "  " + path + "\n" for path in sorted(sources)]
    return sha256(Kind.CODE.value + "".join(lines).encode()).digest()


def _unique(what: str, pairs: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for key, value in pairs:
        if key in found:
            raise RegistryError(f"the {what} {key} is declared twice")
        found[key] = value
    return found


def _check_module(module: Module) -> None:
    _check_name("module", module.name)
    if module.name == DUE_NAMESPACE:
        raise RegistryError(f"the namespace {DUE_NAMESPACE} belongs to the executor")
    _unique(f"table prefix of {module.name}", ((table.prefix, table) for table in module.tables))
    _unique(f"table of {module.name}", ((table.name, table) for table in module.tables))
    for tx_type in module.types:
        _check_type(tx_type)
    for event in module.events:
        _check_name("event", event.name)
        if len(event.attributes) > _ATTRIBUTES_MAX or len(set(event.attributes)) != len(
            event.attributes
        ):
            raise RegistryError(f"event {event.name} has too many attributes or one twice")
        for attribute in event.attributes:
            _check_name("attribute", attribute)
    for query in module.queries:
        _check_name("query", query.name)
    for parameter in module.params:
        _check_name("parameter", parameter.name)
        if not 0 <= parameter.minimum <= parameter.default <= parameter.maximum <= _INT_MAX:
            raise RegistryError(f"the default of {parameter.name} is outside its bounds")
    for kind in module.due:
        _check_name("due work", kind)


def _check_type(tx_type: TxType[Any]) -> None:
    _check_name("type", tx_type.name)
    if not FIRST_VERSION <= tx_type.version <= _U16_MAX:
        raise RegistryError(
            f"version {tx_type.version} of {tx_type.name} is not in 1 to {_U16_MAX}"
        )
    body = tx_type.body
    if not issubclass(body, Wire):
        raise RegistryError(f"the body of {tx_type.name} is not a Wire structure")
    config = body.__struct_config__
    if not (config.array_like and config.frozen and config.forbid_unknown_fields):
        raise RegistryError(f"the body of {tx_type.name} loosens what Wire promises")
    if body.__struct_defaults__:
        raise RegistryError(f"the body of {tx_type.name} has a field with a default")
    get_type_hints(body)


def _check_name(what: str, name: str) -> None:
    if _NAME.fullmatch(name) is None:
        raise RegistryError(f"{name!r} is not the name of a {what}")
