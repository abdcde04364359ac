"""A hash of what code computes: part of a cache's key, so that no result of other code is ever taken for this one's."""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from importlib.util import find_spec

#: Modules that say, store or place results, and compute none.
_ASIDE = frozenset({"facegen.code_hash", "facegen.console", "facegen.device", "facegen.errors", "facegen.files"})


@cache
def code_hash(*modules: str) -> str:
    """The sha256 of these modules' code and of all that they import of facegen, as 64 hex digits.

    Comments, docstrings and layout do not count; everything else does, so a change that alters no result may still
    change the hash, and costs a computation. A version number bumped by hand could be forgotten, and then a wrong
    result would be read back.

    Args:
        modules: their full names, ``"facegen.extractors.inception"``.
    """
    return hashlib.sha256("".join(_closure(modules)).encode()).hexdigest()


def _closure(modules: tuple[str, ...]) -> list[str]:
    """The code of the modules and of what they import, each once, in the order of their names."""
    found: dict[str, str] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name in found or name in _ASIDE:
            continue
        tree = _tree(name)
        found[name] = ast.dump(tree)
        waiting += _imported(tree, name)
    return [f"{name} {found[name]}" for name in sorted(found)]


def _tree(module: str) -> ast.Module:
    """A module's syntax tree without docstrings."""
    spec = find_spec(module)
    source = None if spec is None or spec.loader is None else spec.loader.get_source(module)  # type: ignore[attr-defined]
    if source is None:
        raise ValueError(f"there is no source of {module}")
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:]
    return tree


def _imported(tree: ast.Module, module: str) -> list[str]:
    """The modules of facegen that a tree imports, wherever in it; relative imports too."""
    names: list[str] = []
    package = module if _is_package(module) else module.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")
                base = ".".join([*parts[: len(parts) - node.level + 1], *([base] if base else [])])
            # ``from package import name``: the name may be a module.
            names += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return [name for name in names if name.startswith("facegen.") and _exists(name)]


@cache
def _exists(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # the name of a class or function: its parent is no package
        return False


def _is_package(module: str) -> bool:
    spec = find_spec(module)
    return spec is not None and spec.submodule_search_locations is not None
