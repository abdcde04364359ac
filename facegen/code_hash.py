"""A hash of what code computes: part of a cache's key, so that no result of other code is ever taken for this one's.

What else a result depends on stands beside it in the key: data and weights, by their content. The versions of torch,
NumPy and Pillow do not. They change a result by rounding (a convolution in its seventh digit, a decoded JPEG by one of
255 here and there), as another device or another number of threads does. With them in the key, every upgrade would take
the features of all references anew, half an hour of Inception on a CPU, to move a score behind its last printed digit.
"""

from __future__ import annotations

import ast
import hashlib
import sys
import uuid
from collections.abc import Iterable
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

#: Modules that say, store or place results, and compute none.
_ASIDE = frozenset(
    {
        "facegen.code_hash",
        "facegen.console",
        "facegen.device",
        "facegen.errors",
        "facegen.files",
        "facegen.language",
    }
)


@cache
def code_hash(*modules: str) -> str:
    """The sha256 of these modules' code and of all that they import of facegen or of their own packages, 64 hex digits.

    Comments, docstrings and layout do not count; everything else does, so a change that alters no result may still
    change the hash, and costs a computation. So does another Python, which may write a syntax tree otherwise. A version
    number bumped by hand could be forgotten, and then a wrong result would be read back.

    A module that is compiled counts by its file. Of one that is in no file, as a notebook, nothing can be known: no two
    processes have the same hash.

    Args:
        modules: their full names, ``"facegen.extractors.inception"``.

    Raises:
        ModuleNotFoundError: one that is not there.
    """
    own = {"facegen", *(module.partition(".")[0] for module in modules)}
    codes = _closure(modules, own)
    return hashlib.sha256("".join(f"{name} {codes[name]}" for name in sorted(codes)).encode()).hexdigest()


class _Module(NamedTuple):
    """A module's code, as a hash, and the names that it imports, wherever in it; some are no modules."""

    code: str
    imports: tuple[str, ...]


def _closure(modules: Iterable[str], own: set[str]) -> dict[str, str]:
    """The code of the modules, and of what they import of the packages ``own``, by name."""
    found: dict[str, str] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name in found or name in _ASIDE:
            continue
        module = _module(name)
        found[name] = module.code
        waiting += [each for each in module.imports if each.partition(".")[0] in own and _spec(each) is not None]
    return found


@cache
def _module(name: str) -> _Module:
    source = _source(name)
    if source is None:
        return _Module(uuid.uuid4().hex, ())
    if isinstance(source, bytes):
        return _Module(hashlib.sha256(source).hexdigest(), ())
    tree = ast.parse(source)
    imports = _imported(tree, name)
    return _Module(hashlib.sha256(ast.dump(_without_docstrings(tree)).encode()).hexdigest(), imports)


def _source(name: str) -> str | bytes | None:
    """A module's text; where there is none, the bytes of its file; None where it has no file."""
    spec = _spec(name)
    if spec is None:
        if name not in sys.modules:
            raise ModuleNotFoundError(f"there is no module {name}")
        file = getattr(sys.modules[name], "__file__", None)
        return None if file is None else Path(file).read_text(encoding="utf-8")
    text: str | None = spec.loader.get_source(name) if hasattr(spec.loader, "get_source") else None  # type: ignore[union-attr]
    if text is None and spec.origin is not None and Path(spec.origin).is_file():
        return Path(spec.origin).read_bytes()
    return text


def _without_docstrings(tree: ast.Module) -> ast.Module:
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


def _imported(tree: ast.Module, module: str) -> tuple[str, ...]:
    """The names that a tree imports; relative imports too."""
    names: list[str] = []
    spec = _spec(module)
    package = module if spec is not None and spec.submodule_search_locations else module.rpartition(".")[0]
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
    return tuple(name for name in names if name != "facegen")  # which only names what is elsewhere


@cache
def _spec(name: str) -> ModuleSpec | None:
    """Where a module is; None where it is not, or in no file. Nothing is imported, unlike by ``find_spec("a.b")``."""
    parent, _, _ = name.rpartition(".")
    if not parent:
        try:
            return find_spec(name)
        except (ValueError, AttributeError):  # it is loaded, and was not imported: a script, a notebook
            return None
    above = _spec(parent)
    if above is None or above.submodule_search_locations is None:
        return None
    loaded = sys.modules.get(parent)  # a package may have changed its path since
    return PathFinder.find_spec(name, above.submodule_search_locations if loaded is None else loaded.__path__)
