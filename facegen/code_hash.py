"""A hash of code, used in cache keys so that a result of other code is never reused.

The key also holds what else a result depends on: the data and the weights, by their content. It does not hold the
versions of torch, NumPy and Pillow. They change a result only by rounding (a convolution in its seventh digit, a
decoded JPEG by one of 255 in some places), just as another device or another number of threads does. With versions in
the key, every upgrade would recompute the features of all references, which takes half an hour of Inception on a CPU
and moves a score behind its last printed digit.
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

#: Modules that print, store or locate results, but do not compute any.
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
    """Return the sha256 of the code of these modules and of everything that they import, as 64 hex digits.

    Imports count within facegen and within the modules' own packages. Comments, docstrings and layout do not count.
    Every other change counts, so a change that alters no result may cost a recomputation. Another Python version may
    also change the hash, because it may write a syntax tree differently. A version number that is raised by hand
    could be forgotten, and then a wrong result would be reused.

    A compiled module counts by its file. A module that has no file, for example in a notebook, cannot be hashed: its
    hash is different in every process.

    Args:
        modules: Full names, such as ``"facegen.extractors.inception"``.

    Raises:
        ModuleNotFoundError: A module does not exist.
    """
    own = {"facegen", *(module.partition(".")[0] for module in modules)}
    codes = _closure(modules, own)
    return hashlib.sha256("".join(f"{name} {codes[name]}" for name in sorted(codes)).encode()).hexdigest()


class _Module(NamedTuple):
    """A module's code as a hash, and all names that it imports. Some of these names are not modules."""

    code: str
    imports: tuple[str, ...]


def _closure(modules: Iterable[str], own: set[str]) -> dict[str, str]:
    """Return, by name, the modules and everything that they import from the packages ``own``."""
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
    """Return a module's source; if there is none, the bytes of its file; if it has no file, None."""
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
    """Return the names that a syntax tree imports, including relative imports."""
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
            # In ``from package import name``, the name may be a module.
            names += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return tuple(name for name in names if name != "facegen")  # its __init__ only refers to other modules


@cache
def _spec(name: str) -> ModuleSpec | None:
    """Find a module without importing its package, unlike ``find_spec``. None if it is absent or has no file."""
    parent, _, _ = name.rpartition(".")
    if not parent:
        try:
            return find_spec(name)
        except (ValueError, AttributeError):  # loaded but not imported: a script, a notebook
            return None
    above = _spec(parent)
    if above is None or above.submodule_search_locations is None:
        return None
    loaded = sys.modules.get(parent)  # a package may have changed its path after it was loaded
    return PathFinder.find_spec(name, above.submodule_search_locations if loaded is None else loaded.__path__)
