"""The hash of what code computes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

import facegen
from facegen.code_hash import code_hash

Write = Callable[[str, str], None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes a module into a package ``facegen.scratch``, and forgets what was hashed."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    monkeypatch.setattr(facegen, "__path__", [*facegen.__path__, str(tmp_path)])

    def put(name: str, code: str) -> None:
        (folder / f"{name}.py").write_text(code)
        forget()

    yield put
    forget()


def forget() -> None:
    from facegen import code_hash as module

    code_hash.cache_clear()
    module._spec.cache_clear()
    module._module.cache_clear()
    for name in [name for name in sys.modules if name.startswith(("facegen.scratch", "theirs"))]:
        del sys.modules[name]


def hashed(write: Write, code: str, **others: str) -> str:
    for name, text in others.items():
        write(name, text)
    write("a", code)
    return code_hash("facegen.scratch.a")


PLAIN = "def f(x):\n    return x + 1\n"


@pytest.mark.parametrize(
    "same",
    ["# a comment\n" + PLAIN, '"""What it is."""\n' + PLAIN, 'def f(x):\n    """Adds 1."""\n    return (x   +1)\n'],
    ids=["comment", "module's docstring", "docstring and layout"],
)
def test_words_and_layout_do_not_count(write: Write, same: str) -> None:
    assert hashed(write, same) == hashed(write, PLAIN)


def test_another_number_counts(write: Write) -> None:
    assert hashed(write, PLAIN.replace("1", "2")) != hashed(write, PLAIN)


@pytest.mark.parametrize(
    "line",
    ["from facegen.scratch.b import y", "from .b import y", "from . import b", "import facegen.scratch.b as b"],
)
def test_what_is_imported_counts(write: Write, line: str) -> None:
    before = hashed(write, line, b="y = 1\n")
    assert hashed(write, line, b="y = 2\n") != before


def test_what_is_imported_by_an_import_counts(write: Write) -> None:
    before = hashed(write, "from .b import y", b="from .c import y", c="y = 1\n")
    assert hashed(write, "from .b import y", b="from .c import y", c="y = 2\n") != before


def test_a_circle_of_imports_ends(write: Write) -> None:
    assert hashed(write, "from . import b", b="from . import a")


def test_a_module_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ModuleNotFoundError):
        code_hash("facegen.absent")


def test_the_network_behind_an_extractor_counts() -> None:
    from facegen import code_hash as module

    names = module._closure(["facegen.extractors.inception"], {"facegen"})
    assert any(name.startswith("facegen.cnn.") for name in names)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of somebody else's, ``theirs``, whose module ``a`` imports ``b``; forgotten in the end."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    for name, code in (("__init__", ""), ("a", "from .b import y\nimport json\n"), ("b", "y = 1\n")):
        (folder / f"{name}.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    yield folder
    forget()


def test_anothers_package_counts_with_what_it_imports_of_itself(package: Path) -> None:
    before = code_hash("theirs.a")
    forget()
    assert code_hash("theirs.a") == before
    forget()
    (package / "b.py").write_text("y = 2\n")
    assert code_hash("theirs.a") != before


def test_a_module_in_no_file_is_like_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "in_memory", ModuleType("in_memory"))
    before = code_hash("in_memory")
    assert code_hash("in_memory") == before
    forget()
    assert code_hash("in_memory") != before


def test_a_script_counts_by_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = ModuleType("a_script")
    script.__file__ = str(tmp_path / "a_script.py")
    monkeypatch.setitem(sys.modules, "a_script", script)
    hashes = []
    for code in ("x = 1\n", "x = 1  # the same\n", "x = 2\n"):
        (tmp_path / "a_script.py").write_text(code)
        forget()
        hashes.append(code_hash("a_script"))
    assert hashes[0] == hashes[1] != hashes[2]


def test_another_process_finds_the_same() -> None:
    """Whatever the seed of its hashes of strings, and wherever it starts."""
    ask = "from facegen.code_hash import code_hash; print(code_hash('facegen.scoring.scorer'))"
    environment = {**os.environ, "PYTHONHASHSEED": "1", "PYTHONPATH": str(Path(facegen.__file__).parents[1])}
    told = subprocess.run([sys.executable, "-c", ask], cwd="/", env=environment, capture_output=True, check=True)
    assert told.stdout.decode().strip() == code_hash("facegen.scoring.scorer")
