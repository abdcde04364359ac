"""The hash of what code computes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

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
    module._exists.cache_clear()
    for name in [name for name in sys.modules if name.startswith("facegen.scratch")]:
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
    with pytest.raises((ValueError, ModuleNotFoundError)):
        code_hash("facegen.absent")


def test_the_network_behind_an_extractor_counts() -> None:
    from facegen import code_hash as module

    assert any(part.startswith("facegen.cnn.") for part in module._closure(("facegen.extractors.inception",)))
