"""Breaks the code under test on purpose, and mends it again."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, Self


class Patch:
    """Replaces attributes while it is open."""

    def __init__(self) -> None:
        self._undo: list[tuple[Any, str, Any]] = []

    def set(self, target: object, name: str, value: object) -> None:
        """Replace an attribute that exists."""
        self._undo.append((target, name, getattr(target, name)))
        setattr(target, name, value)

    def function(self, module: str, name: str, value: Callable[..., object]) -> None:
        """Replace a function where it is defined, and nowhere else."""
        self.set(import_module(module), name, value)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        while self._undo:
            setattr(*self._undo.pop())
