"""Fixtures shared by the whole suite. Test data is made by code; real CelebA is used where it is at hand."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner, Result

from facegen.cli import main

#: Set FACEGEN_CELEBA to a folder with img_align_celeba.zip to run the tests on real faces.
CELEBA = Path(os.environ.get("FACEGEN_CELEBA", Path(__file__).parents[2] / "shared" / "celeba"))

#: Click before 8.2 mixes stderr into stdout unless told not to; since then it cannot.
MIXES = "mix_stderr" in inspect.signature(CliRunner).parameters
RUNNER = CliRunner(mix_stderr=False) if MIXES else CliRunner()


@pytest.fixture
def facegen() -> Callable[..., Result]:
    """Runs the command line in this process: ``facegen("fid", images, "--json")``; results on ``.stdout``."""

    def run(*words: object) -> Result:
        outcome = RUNNER.invoke(main, [str(word) for word in words], prog_name="facegen")
        if outcome.exception is not None and not isinstance(outcome.exception, SystemExit):
            raise outcome.exception
        return outcome

    return run


@pytest.fixture(scope="module")
def bench() -> Iterator[Callable[[str], ModuleType]]:
    """Imports a script of scripts/bench by its name; the tests of the next file do not find it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[1] / "scripts" / "bench")
        names: list[str] = []

        def script(name: str) -> ModuleType:
            names.append(name)
            return importlib.import_module(name)

        yield script
        for name in names:
            sys.modules.pop(name)


@pytest.fixture(scope="session")
def celeba() -> Path:
    """The folder with real CelebA's ``img_align_celeba.zip``; the test is skipped where it is absent."""
    if not (CELEBA / "img_align_celeba.zip").is_file():
        pytest.skip("real CelebA is not at hand: set FACEGEN_CELEBA to a folder with img_align_celeba.zip")
    return CELEBA


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps tests away from the user's cache of weights and reference statistics, and from the network."""
    monkeypatch.setenv("FACEGEN_OFFLINE", "1")
    monkeypatch.setenv("FACEGEN_CACHE", str(tmp_path_factory.mktemp("cache")))
