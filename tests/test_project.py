"""The project around the package: Dockerfile, scripts, and the house's floors."""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

#: The floors of the house: an import goes down, never up, and never between two rooms of one floor.
FLOORS = {
    "code_hash": 0, "errors": 0, "console": 0, "files": 0, "device": 0,
    "cnn": 1, "data": 2, "gan": 2, "metrics": 2, "pictures": 2, "pretrained": 2, "weights": 2, "extractors": 3,
    "scoring": 4, "submission": 4, "training": 4, "checks": 5, "grading": 5, "stages": 6, "cli": 7,
}  # fmt: skip


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


def imports_of(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


MODULES = sorted(path for path in (ROOT / "facegen").rglob("*.py") if path.parent != ROOT / "facegen")


def room_of(path: Path) -> str:
    return path.relative_to(ROOT / "facegen").parts[0]


def test_imports_go_down() -> None:
    wrong = []
    for path in MODULES:
        room = room_of(path)
        for name in imports_of(path):
            top, _, rest = name.partition(".")
            other = rest.split(".")[0]
            if top != "facegen" or other in ("", room):
                continue
            if FLOORS[other] >= FLOORS[room]:
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert wrong == []


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


#: data reads archives of photographs; a command may build the table that the console prints.
ALSO = {"tarfile": ("data",), "rich": ("cli",)}


@pytest.mark.parametrize(("library", "room"), [("click", "cli"), ("tarfile", "submission"), ("rich", "console")])
def test_a_library_stays_in_its_room(library: str, room: str) -> None:
    allowed = {room, *ALSO.get(library, ())}
    users = {room_of(path) for path in MODULES if library in {name.split(".")[0] for name in imports_of(path)}}
    assert users <= allowed


def test_nothing_loads_a_pickle() -> None:
    for path in MODULES:
        text = path.read_text(encoding="utf-8")
        assert "weights_only=False" not in text and "allow_pickle=True" not in text, path.name
        assert "pickle" not in {name.split(".")[0] for name in imports_of(path)}, path.name
