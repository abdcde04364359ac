"""The project around the package: Dockerfile and scripts, and which subpackage may import which."""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

#: The subpackages and top modules by level, 0 first. An import goes down, never up, and never between two of one level;
#: only the modules of level 0 may import each other. docs/architecture.md shows the same table.
LEVELS = (
    (
        "code_hash",
        "console",
        "device",
        "errors",
        "extensions",
        "file_kinds",
        "files",
        "held_file",
        "language",
        "locks",
        "notebook",
        "pages",
        "plain_zip",
        "printable",
        "toml_file",
    ),
    ("cnn",),
    ("data", "gan", "metrics", "pictures", "pretrained", "weights"),
    ("extractors",),
    ("scoring", "submission", "training"),
    ("checks", "grading", "watching"),
    ("stages",),
    ("cli",),
)


def instructions() -> list[tuple[str, str]]:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in lines]


class TestDockerfile:
    def test_every_line_is_an_instruction(self) -> None:
        known = {"FROM", "RUN", "ENV", "COPY", "USER", "WORKDIR", "ENTRYPOINT", "CMD"}
        assert {word for word, _ in instructions()} <= known and instructions()[0][0] == "FROM"

    def test_the_base_is_a_pinned_cuda_image(self) -> None:
        assert re.fullmatch(r"nvidia/cuda:\d+\.\d+\.\d+-(base|runtime)-\S+", instructions()[0][1])

    def test_it_does_not_run_as_root(self) -> None:
        users = [value for word, value in instructions() if word == "USER"]
        assert users and users[-1] not in ("root", "0")
        order = [word for word, _ in instructions()]
        assert order.index("USER") < order.index("ENTRYPOINT")
        assert any(f"useradd --create-home --uid 10001 {users[-1]}" in value for _, value in instructions())

    def test_the_entry_point_is_facegen_in_exec_form(self) -> None:
        assert ("ENTRYPOINT", '["facegen"]') in instructions()

    def test_what_is_copied_exists_and_is_not_ignored(self) -> None:
        kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
        for word, value in instructions():
            if word == "COPY":
                for source in shlex.split(value)[:-1]:
                    assert (ROOT / source).exists() and source in kept, source

    def test_package_lists_do_not_stay_in_a_layer(self) -> None:
        for word, value in instructions():
            if word == "RUN" and "apt-get update" in value:
                assert "rm -rf /var/lib/apt/lists" in value and "--no-install-recommends" in value


@pytest.mark.parametrize("script", ["scripts/demo", "scripts/test", ".ci/run"])
def test_scripts_are_executable_and_fail_on_the_first_failure(script: str) -> None:
    assert os.access(ROOT / script, os.X_OK)
    assert "set -euo pipefail" in (ROOT / script).read_text(encoding="utf-8")


@pytest.mark.parametrize("script", ["scripts/demo", "scripts/test"])
def test_the_readme_gives_the_two_commands(script: str) -> None:
    assert script in (ROOT / "README.md").read_text(encoding="utf-8")


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


#: The source of every module of the package by its full name.
SOURCES = {module_name(path): path.read_text(encoding="utf-8") for path in sorted((ROOT / "facegen").rglob("*.py"))}
#: Those that are folders: what is relative in them is relative to themselves.
PACKAGES = {module_name(path.parent / "__init__.py") for path in (ROOT / "facegen").rglob("__init__.py")}


def imports_of(source: str, package: str, *, at_once: bool = False) -> set[str]:
    """The full names that a module in ``package`` imports, each with what is taken from it: ``facegen.data.pool.run``.

    ``facegen.x`` counts as imported where it is used as an attribute, for the package loads its functions lazily.
    With ``at_once``, only what the module's own import runs: not functions' bodies, nor what is for type checkers.
    """
    names = set()
    for node in _nodes(ast.parse(source), at_once):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            above = parts[: len(parts) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names |= {f"{base}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "facegen":
            names.add(f"facegen.{node.attr}")
    return names


def _nodes(node: ast.AST, at_once: bool) -> Iterator[ast.AST]:
    yield node
    for child in ast.iter_child_nodes(node):
        later = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        typing = isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING")
        if not (at_once and (later or typing)):
            yield from _nodes(child, at_once)


def package_of(module: str) -> str:
    return module if module in PACKAGES else module.rpartition(".")[0]


def imported_by(module: str) -> set[str]:
    return imports_of(SOURCES[module], package_of(module))


def level_of(name: str) -> int:
    """The level of the subpackage or top module that a full name is in."""
    subpackage = name.split(".")[1]
    levels = [level for level, members in enumerate(LEVELS) if subpackage in members]
    assert len(levels) == 1, (
        f"facegen.{subpackage} is at {len(levels)} levels: LEVELS in tests/test_project.py has each once"
    )
    return levels[0]


def ascents(module: str, source: str) -> list[str]:
    """What a module imports that is not below it."""
    own, found = module.split(".")[1], []
    for name in sorted(imports_of(source, package_of(module))):
        top, _, rest = name.partition(".")
        other = rest.split(".")[0]
        if top != "facegen" or other in ("", own) or other.startswith("__"):
            continue
        if level_of(name) >= max(level_of(module), 1):
            found.append(f"{module} imports {name}")
    return found


def circle_among(sources: Mapping[str, str]) -> list[str]:
    """Modules of which each imports the next as it is imported itself, the first again at the end; none is empty."""
    graph = {
        module: {
            found
            for name in imports_of(source, package_of(module), at_once=True)
            if (found := _module_in(name, sources)) not in (None, module)
        }
        for module, source in sources.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as problem:
        return list(problem.args[1])
    return []


def _module_in(name: str, modules: Mapping[str, str]) -> str | None:
    """The module that a full name is or is in."""
    while name and name not in modules:
        name = name.rpartition(".")[0]
    return name or None


class TestLevels:
    #: All but facegen/__init__.py, which names what it loads lazily, and __main__.py, which starts the command line.
    MODULES = sorted(SOURCES.keys() - {"facegen", "facegen.__main__"})

    def test_each_subpackage_has_one_level(self) -> None:
        present = {module.split(".")[1] for module in self.MODULES}
        listed = [name for level in LEVELS for name in level]
        assert sorted(listed) == sorted(present), "LEVELS has each subpackage and top module of facegen once"

    def test_the_architecture_page_shows_them(self) -> None:
        page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
        shown = re.findall(r"^(\d)  ([\w ·]+)$", page, re.MULTILINE)
        assert [(int(level), names.split(" · ")) for level, names in shown] == [
            (level, list(LEVELS[level])) for level in reversed(range(len(LEVELS)))
        ]

    def test_imports_go_down(self) -> None:
        assert [line for module in self.MODULES for line in ascents(module, SOURCES[module])] == []

    def test_no_modules_import_each_other_in_a_circle(self) -> None:
        assert circle_among(SOURCES) == []

    @pytest.mark.parametrize(
        "line",
        [
            "import facegen.stages.fid",
            "import facegen.stages.fid as y",
            "from facegen import stages",
            "from facegen import stages as y",
            "from facegen.stages import fid",
            "from facegen.stages.fid import fid",
            "from ..stages import fid",
            "from .. import stages",
            "import facegen\nfacegen.stages.fid",
            "def later():\n    from facegen.stages import fid",
        ],
    )
    def test_an_import_that_goes_up_is_seen(self, line: str) -> None:
        (found,) = ascents("facegen.gan.x", line)
        assert found.startswith("facegen.gan.x imports facegen.stages")

    @pytest.mark.parametrize(
        "line",
        [
            "from facegen import cnn, console",
            "from ..cnn import layers",
            "from . import losses",
            "from .losses import hinge",
            "import facegen\nfacegen.__version__",
            "import torch.nn as nn",
        ],
    )
    def test_an_import_that_goes_down_or_stays_is_right(self, line: str) -> None:
        assert ascents("facegen.gan.x", line) == []

    def test_one_of_the_same_level_is_seen(self) -> None:
        assert ascents("facegen.gan.x", "from facegen.data import pool") == ["facegen.gan.x imports facegen.data.pool"]

    def test_level_0_imports_itself_and_nothing_above(self) -> None:
        source = "from facegen import errors\nfrom facegen import cnn"
        assert ascents("facegen.console", source) == ["facegen.console imports facegen.cnn"]

    def test_a_subpackage_without_a_level_says_so(self) -> None:
        with pytest.raises(AssertionError, match=r"facegen.attic is at 0 levels: LEVELS"):
            ascents("facegen.gan.x", "from facegen import attic")

    @pytest.mark.parametrize("line", ["from . import a", "from .a import f", "import p.a", "from p import a"])
    def test_a_circle_is_seen(self, line: str) -> None:
        assert set(circle_among({"p.a": "from p.b import g", "p.b": line})) == {"p.a", "p.b"}

    @pytest.mark.parametrize(
        "source", ["def f():\n    import p.a", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import p.a"]
    )
    def test_what_is_imported_later_makes_no_circle(self, source: str) -> None:
        assert circle_among({"p.a": "from p.b import g", "p.b": source}) == []


def users_of(library: str) -> set[str]:
    """The subpackages and top modules that import it."""
    return {
        module.split(".")[1]
        for module in TestLevels.MODULES
        if library in {name.split(".")[0] for name in imported_by(module)}
    }


#: Run where the copy lies: every module is imported, and one network runs, in a Python that knows no facegen.
LIFTED = """
import importlib, pkgutil, sys

class NoFacegen:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "facegen":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, NoFacegen())
sys.path.insert(0, sys.argv[1])
import borrowed_cnn
for module in pkgutil.walk_packages(borrowed_cnn.__path__, "borrowed_cnn."):
    importlib.import_module(module.name)
import torch
from borrowed_cnn.registry import find_architecture
network = find_architecture("resnet20").build(classes=7, width=4).eval()
print(*network(torch.randn(2, 3, 32, 32)).shape)
"""


def test_cnn_can_be_lifted_out(tmp_path: Path) -> None:
    """A copy under another name works alone: it imports torch, the standard library and itself."""
    shutil.copytree(ROOT / "facegen" / "cnn", tmp_path / "borrowed_cnn", ignore=shutil.ignore_patterns("__pycache__"))
    assert not [path.name for path in tmp_path.rglob("*.py") if "facegen" in path.read_text(encoding="utf-8")]
    command = [sys.executable, "-I", "-c", LIFTED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.stdout.split(), done.stderr) == (["2", "7"], "")


#: The libraries that one subpackage hides from the others, and who else may use them: data reads archives of
#: photographs; a command may build the table that the console prints.
ONLY_IN = {"click": {"cli"}, "tarfile": {"submission", "data"}, "rich": {"console", "cli"}}


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_library_stays_where_it_is_hidden(library: str) -> None:
    assert users_of(library) <= ONLY_IN[library]


#: Opening a path for reading in other ways than :func:`facegen.files.open_regular` can wait for a pipe for ever.
OPENED = re.compile(r"\.open\(\"rb\"|\.read_bytes\(|ZipFile\((self\.)?_?path")
#: It itself; and facegen's own files, and its modules.
MAY_OPEN = {"facegen.files", "facegen.pretrained", "facegen.code_hash"}


def test_files_are_opened_in_one_way() -> None:
    assert {module for module, source in SOURCES.items() if OPENED.search(source)} == MAY_OPEN


def test_nothing_loads_a_pickle() -> None:
    for module, source in SOURCES.items():
        assert "weights_only=False" not in source and "allow_pickle=True" not in source, module
    assert users_of("pickle") == set()
