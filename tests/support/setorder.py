"""Finds iterations over sets in a syntax tree, as far as a tree without types can tell.

Seen are set displays and comprehensions, calls of `set` and `frozenset`, names that the same
function binds to one of these or annotates as a set, and arguments of the calls that iterate in
order. What does not depend on the order is allowed: `sorted(...)`, `len(...)`, another set.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final, TypeAlias

_Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda

_SET_TYPES: Final = frozenset({"set", "frozenset", "Set", "MutableSet", "AbstractSet"})
_IN_ORDER: Final = frozenset({"tuple", "list", "iter", "enumerate", "map", "filter", "zip", "join"})
_IN_ANY_ORDER: Final = frozenset(
    {"sorted", "len", "any", "all", "sum", "min", "max", "set", "frozenset"}
)


def _call_name(node: ast.Call) -> str:
    match node.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return ""


def _is_set_annotation(node: ast.expr) -> bool:
    match node:
        case ast.Subscript(value=value):
            return _is_set_annotation(value)
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name in _SET_TYPES
        case _:
            return False


def _is_set(node: ast.expr, set_names: frozenset[str]) -> bool:
    match node:
        case ast.Set() | ast.SetComp():
            return True
        case ast.Call(func=ast.Name(id="set" | "frozenset")):
            return True
        case ast.Name(id=name):
            return name in set_names
        case ast.BinOp(op=ast.BitOr() | ast.BitAnd() | ast.Sub() | ast.BitXor()):
            return _is_set(node.left, set_names) or _is_set(node.right, set_names)
        case _:
            return False


def _own_nodes(scope: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a scope without those of the functions inside it."""
    for child in ast.iter_child_nodes(scope):
        yield child
        if not isinstance(child, _Function):
            yield from _own_nodes(child)


def _set_names(scope: ast.AST) -> frozenset[str]:
    names: set[str] = set()
    for node in _own_nodes(scope):
        match node:
            case ast.arg(arg=name, annotation=ast.expr() as annotation) if _is_set_annotation(
                annotation
            ):
                names.add(name)
            case ast.AnnAssign(target=ast.Name(id=name)) if _is_set_annotation(node.annotation):
                names.add(name)
            case ast.Assign(targets=[ast.Name(id=name)]) if _is_set(node.value, frozenset()):
                names.add(name)
            case _:
                pass
    return frozenset(names)


def _iterated(node: ast.AST, unordered: frozenset[ast.AST]) -> list[ast.expr]:
    """What a node goes through in an order that shows."""
    match node:
        case ast.For() | ast.AsyncFor():
            return [node.iter]
        case ast.ListComp() | ast.GeneratorExp() | ast.DictComp() if node not in unordered:
            return [generator.iter for generator in node.generators]
        case ast.Call() if _call_name(node) in _IN_ORDER and node not in unordered:
            return list(node.args)
        case ast.Starred():
            return [node.value]
        case _:
            return []


def set_iterations(tree: ast.Module) -> Iterator[int]:
    """The lines of a module that iterate over a set in an order that can be seen."""
    scopes: list[ast.AST] = [
        tree,
        *(node for node in ast.walk(tree) if isinstance(node, _Function)),
    ]
    for scope in scopes:
        set_names = _set_names(scope)
        nodes = list(_own_nodes(scope))
        unordered = frozenset(
            argument
            for node in nodes
            if isinstance(node, ast.Call) and _call_name(node) in _IN_ANY_ORDER
            for argument in node.args
        )
        for node in nodes:
            for iterated in _iterated(node, unordered):
                if _is_set(iterated, set_names):
                    yield iterated.lineno
