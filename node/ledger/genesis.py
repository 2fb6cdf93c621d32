"""The state of height 0: what the founders agreed upon, then what each module adds."""

from __future__ import annotations

from collections.abc import Iterator

from medquorum.block import ValidatorSet
from medquorum.errors import MalformedError
from medquorum.genesis import Genesis
from node.ledger import membership
from node.ledger.overlay import BlockOverlay
from node.ledger.params import CORE_PARAMS, PARAMS, initial_row
from node.ledger.registry import Registry
from node.ledger.runtime import ModuleContext, Position

Changes = dict[str, dict[bytes, bytes | None]]


class _NoState:
    """The state before genesis: nothing, anywhere."""

    def get(self, _namespace: str, _key: bytes, /) -> bytes | None:
        """None."""
        return None

    def scan(
        self, _namespace: str, _start: bytes, _stop: bytes, /, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Nothing, in either order."""
        del reverse
        return iter(())


def genesis_changes(genesis: Genesis, registry: Registry) -> Changes:
    """What the state of height 0 holds, as changes to an empty state.

    Raises MalformedError if the genesis contradicts itself or sets a parameter that does not exist
    or is out of bounds.
    """
    genesis.check()
    overlay = BlockOverlay(_NoState())
    position = Position()
    _set_params(genesis, registry, overlay)
    governance = overlay.namespace(membership.NAMESPACE)
    membership.VALIDATORS.put(governance, ValidatorSet(genesis.validators))
    for module in registry.founding_modules():
        if module.genesis is not None:
            context = ModuleContext(
                module=module.name,
                height=0,
                time_ms=genesis.time_ms,
                voters_hash=genesis.validator_set().hash(),
                overlay=overlay,
                position=position,
                events={},
            )
            module.genesis(genesis, context)
    overlay.commit()
    return overlay.changes()


def _set_params(genesis: Genesis, registry: Registry, overlay: BlockOverlay) -> None:
    chosen = {param.name: param.value for param in genesis.params}
    state = overlay.namespace(membership.NAMESPACE)
    modules = registry.founding_modules()
    for declared in (*CORE_PARAMS, *(param for module in modules for param in module.params)):
        value = chosen.pop(declared.name, declared.default)
        if not declared.minimum <= value <= declared.maximum:
            raise MalformedError(
                f"parameter {declared.name} must be {declared.minimum} to {declared.maximum}"
            )
        PARAMS.put(state, initial_row(declared, value), declared.name)
    if chosen:
        raise MalformedError(f"no module has the parameters {', '.join(sorted(chosen))}")
