#!/usr/bin/env python
"""Test the tests of a subpackage by mutation: alter its code in one place at a time, which its tests should notice.

    python scripts/bench/mutants.py metrics --sample 150
    python scripts/bench/mutants.py submission --sample 100 --seed 3 --seconds 600
    python scripts/bench/mutants.py metrics --again metrics.txt            # the survivors of an earlier run, its output
    python scripts/bench/mutants.py metrics --module frechet --list        # every alteration, and nothing is run

A mutant has one comparison, operator, constant, condition or negation replaced. Words of messages are left alone. The
tests of the mutant's own module run first, then the subpackage's others. No file is written: each mutant is compiled in
its own process, forked from one that has imported torch already. A mutant that no test kills is shown with its line:
either a test is missing, or the two programs do the same. Ctrl-C or SIGTERM ends the run, which then reports what was
tried until then.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib.abc
import importlib.util
import os
import random
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parents[2]
#: A mutant loops for ever if its tests take more processor time than ``_TIMES`` times the time of all unaltered
#: tests, plus ``_MORE`` seconds.
_TIMES, _MORE = 2, 10
#: Modules that every mutant's process needs. They are imported once, and must not import what is altered.
_COMMON = (
    *(
        "torch",
        "torch._prims_common",
        "torch.utils._python_dispatch",
        "numpy",
        "scipy.linalg",
        "scipy.stats",
        "PIL.Image",
    ),
    *(
        "pytest",
        "_pytest.assertion.rewrite",
        "click.testing",
        "rich.console",
        "facegen.cli.root",
        "facegen.data.synthetic",
    ),
    *("facegen.extractors.feature_extractor", "hypothesis.strategies", "_hypothesis_pytestplugin"),
)
_OPERATORS: dict[type[ast.AST], type[ast.AST]] = {
    **{ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq},
    **{ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.And: ast.Or, ast.Or: ast.And},
    **{ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Div},
    **{ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.MatMult: ast.Mult, ast.LShift: ast.RShift, ast.RShift: ast.LShift},
    **{ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.BitXor: ast.BitOr},
}


@dataclass(frozen=True)
class Mutant:
    """A module with one altered place.

    Attributes:
        module: Its full name.
        path: Its file.
        line: Line of the place.
        what: The expression before and after.
        number: Number of the alteration within the module.
    """

    module: str
    path: Path
    line: int
    what: str
    number: int

    def __str__(self) -> str:
        return f"{self.path.name}:{self.line}  {self.what}"


def mutants_of(path: Path) -> list[Mutant]:
    """Return all mutants of a module."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    found = []
    for number, (node, alter) in enumerate(_alterations(tree)):
        before = _in_one_line(node)
        restore = copy.deepcopy(node.__dict__)
        alter(node)
        what = f"{before}  →  {_in_one_line(node)}"
        node.__dict__.update(restore)
        found.append(Mutant(module, path, getattr(node, "lineno", 0), what, number))
    return found


def _in_one_line(node: ast.AST) -> str:
    """Return an expression in short. For a statement with a body, return its condition."""
    shown = node.test if isinstance(node, ast.If | ast.While) else node
    return " ".join(ast.unparse(shown).split())[:90]


def _alterations(tree: ast.AST) -> Iterator[tuple[Any, Callable[[Any], None]]]:
    """Yield each node that can be altered and the alteration, always in the same order."""
    for node in _places(tree):
        match node:
            case ast.Compare(ops=ops):
                for at, operator in enumerate(ops):
                    if type(operator) in _OPERATORS:
                        yield node, lambda each, at=at: each.ops.__setitem__(at, _OPERATORS[type(each.ops[at])]())
            case ast.BinOp(op=operator) | ast.BoolOp(op=operator) | ast.AugAssign(op=operator):
                if type(operator) in _OPERATORS and not _is_text(node):
                    yield node, lambda each: setattr(each, "op", _OPERATORS[type(each.op)]())
            case ast.UnaryOp(op=ast.USub()):
                yield node, lambda each: setattr(each, "op", ast.UAdd())
            case ast.UnaryOp(op=ast.Not()):
                yield node, lambda each: setattr(each, "operand", ast.UnaryOp(ast.Not(), each.operand))
            case ast.Constant(value=bool()):
                yield node, lambda each: setattr(each, "value", not each.value)
            case ast.Constant(value=int()):
                yield node, lambda each: setattr(each, "value", each.value + 1)
            case ast.Constant(value=float()):
                yield node, lambda each: setattr(each, "value", each.value * 1.5 + 0.01)
            case ast.If() | ast.IfExp() | ast.While() if not isinstance(node.test, ast.Compare):
                yield node, lambda each: setattr(each, "test", ast.UnaryOp(ast.Not(), each.test))


def _is_text(node: Any) -> bool:
    """Return whether strings are put together: the words of messages are not tested."""
    return any(
        isinstance(each, ast.JoinedStr) or (isinstance(each, ast.Constant) and isinstance(each.value, str))
        for each in ast.walk(node)
    )


def _places(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a tree without those of messages, annotations and code for type checkers."""
    if isinstance(node, ast.JoinedStr | ast.Raise | ast.Assert):
        return
    if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
        return
    yield node
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _places(child)


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """An importer that imports the mutant instead of its module."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if name != self._mutant.module:
            return None
        return importlib.util.spec_from_file_location(name, self._mutant.path, loader=self)

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        tree = ast.parse(self._mutant.path.read_text(encoding="utf-8"))
        node, alter = list(_alterations(tree))[self._mutant.number]
        alter(node)
        exec(compile(ast.fix_missing_locations(tree), str(self._mutant.path), "exec"), module.__dict__)


def passes(mutant: Mutant | None, tests: list[str], most: int) -> bool:
    """Return whether the tests pass in a forked process; False also if they take more processor time than ``most``."""
    child = os.fork()
    if child == 0:
        import pytest

        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        resource.setrlimit(resource.RLIMIT_CPU, (most, most))  # processor time: a busy machine kills no mutant
        if mutant is not None:
            sys.meta_path.insert(0, _Finder(mutant))
        code = 1
        try:
            code = int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests]))
        finally:
            os._exit(code)
    try:
        _, status = os.waitpid(child, 0)
    except KeyboardInterrupt:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise
    return status == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("subpackage", help="subpackage of facegen with tests of its own: metrics, submission")
    parser.add_argument("--module", action="append", help="module to alter, for example frechet; repeat it (all)")
    parser.add_argument("--sample", type=int, help="number of mutants, drawn at random (all)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draw (0)")
    parser.add_argument("--again", type=Path, help="file with the output of an earlier run: only its mutants")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="start no mutant after this time")
    parser.add_argument("--own", action="store_true", help="run only the tests of the mutant's own module: quicker")
    parser.add_argument("--list", action="store_true", help="show the mutants and run nothing")
    options = parser.parse_args()
    modules = sorted((ROOT / "facegen" / options.subpackage).glob("*.py"))
    unknown = {*(options.module or ())} - {path.stem for path in modules}
    if not modules or unknown:
        parser.error(f"facegen has no {options.subpackage}{'.' + min(unknown) if modules else ''}")
    if options.sample is not None and options.sample < 1:
        parser.error("--sample is 1 or more")
    if options.again is not None and not options.again.is_file():
        parser.error(f"there is no file {options.again}")
    every = [each for path in modules if not options.module or path.stem in options.module for each in mutants_of(path)]
    chosen = every
    if options.again is not None:
        lines = options.again.read_text(encoding="utf-8").splitlines()
        chosen = [each for each in every if str(each) in lines]
    elif options.sample is not None and options.sample < len(every):
        chosen = random.Random(options.seed).sample(every, options.sample)
    if options.list:
        for mutant in chosen:
            print(mutant)
        return
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    for name in _COMMON:
        importlib.import_module(name)
    if f"facegen.{options.subpackage}" in sys.modules:
        sys.exit(f"What is imported beforehand imports facegen.{options.subpackage}, so that no mutant would be seen.")
    folder = Path("tests") / options.subpackage
    if not passes(None, [str(folder)], most=600):
        sys.exit(f"The tests of {folder} do not pass as they are.")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    most = int(_TIMES * (used.ru_utime + used.ru_stime) + _MORE)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    began, survivors, tried, interrupted = time.monotonic(), 0, 0, False
    try:
        for mutant in chosen:
            if time.monotonic() - began > options.seconds:
                break
            survived = _survives(mutant, folder, most, own_alone=options.own)
            tried += 1
            if survived:
                survivors += 1
                print(mutant, flush=True)
    except KeyboardInterrupt:
        interrupted = True
    print(
        f"facegen.{options.subpackage}: {len(every):,} mutants, {tried:,} tried, {tried - survivors:,} killed, "
        f"{survivors:,} survived, in {time.monotonic() - began:,.0f} seconds{', interrupted' if interrupted else ''}."
    )
    if interrupted:
        sys.exit(130)


def _survives(mutant: Mutant, folder: Path, most: int, *, own_alone: bool) -> bool:
    """Return whether all of a mutant's tests pass: first those of its own module, if it has any, then the others."""
    own = folder / f"test_{mutant.path.stem}.py"
    others = [str(path) for path in sorted(folder.glob("test_*.py")) if path != own]
    tests = [[str(own)], *([] if own_alone else [others])] if own.exists() else [others]
    return all(passes(mutant, each, most) for each in tests)


if __name__ == "__main__":
    main()
