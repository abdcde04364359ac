#!/usr/bin/env python
"""Whether what is published installs and works at both ends of the versions that pyproject.toml allows.

    python scripts/bounds.py                                  # both ends, all tests: some 15 minutes and 8 GB
    python scripts/bounds.py --ends lowest -- tests/data -x   # one end; what comes after -- goes to pytest
    python scripts/bounds.py --minutes 20 -- tests/training   # at most so long in each end's tests

The sdist is built, and the wheel from it, which has to be the wheel that is built from the project itself. Then, for
each end, the wheel is installed into a new virtual environment: with the lowest version of each requirement on the
oldest Python, or the newest of all on the newest Python. There 'facegen --version', 'facegen doctor', 'facegen sample'
and 'facegen run' on drawn faces run in an empty folder, and the tests in the unpacked sdist. The table at the end is
Markdown. What fails at one end is told in its row, and the other end runs all the same.

Both Pythons have to be on PATH, as python3.10 and python3.13, and to run: pyenv's do where PYENV_VERSION names them.
The environments are deleted as soon as they are done with; --folder keeps uv's cache, so that a second run downloads
nothing, and pytest's output, which can be followed there. Exit code 1: something failed at one end.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class End:
    """A Python, and which of the allowed versions are taken with it.

    ``lowest-direct`` is the lowest of what pyproject.toml names; what those need in turn is theirs to bound.
    """

    python: str
    resolution: str


ENDS = {"lowest": End("python3.10", "lowest-direct"), "newest": End("python3.13", "highest")}
#: What the table shows of each environment.
SHOWN = ("torch", "torchvision", "numpy", "scipy", "pillow", "click", "rich", "jinja2", "safetensors")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ends", nargs="+", choices=list(ENDS), default=list(ENDS))
    parser.add_argument("--folder", type=Path, help="where to work; what is downloaded stays there")
    parser.add_argument("--minutes", type=float, default=60, help="the longest that the tests of one end take")
    parser.add_argument("pytest", nargs="*", help="which tests, after --; all by default")
    options = parser.parse_args()
    for end in options.ends:
        if shutil.which(ENDS[end].python) is None:
            parser.error(f"there is no {ENDS[end].python} on PATH")
        if subprocess.run([ENDS[end].python, "-c", ""]).returncode:  # a shim of pyenv's
            parser.error(f"{ENDS[end].python} is on PATH and does not run")
    with tempfile.TemporaryDirectory(prefix="facegen-bounds-") as temporary:
        folder = (options.folder or Path(temporary)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        bench = Bench(folder)
        bench.build()
        rows = [bench.end_row(name, options.pytest, options.minutes) for name in options.ends]
    print(f"\n| versions | Python | {' | '.join(SHOWN)} | commands | tests | seconds |")
    print("|---" * (len(SHOWN) + 5) + "|")
    for row, _ in rows:
        print(f"| {' | '.join(row)} |")
    return 0 if all(good for _, good in rows) else 1


class Bench:
    """A folder with uv, what is built, and one virtual environment at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "UV_CACHE_DIR": str(folder / "cache"), "FACEGEN_OFFLINE": "1"}
        self.environment |= {"FACEGEN_CACHE": str(folder / "facegen"), "OMP_NUM_THREADS": "1"}
        # Else another facegen, or environment, would be taken; and each process would compile all that it imports.
        for name in ("PYTHONPATH", "VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE"):
            self.environment.pop(name, None)
        self.uv = folder / "tools" / "bin" / "uv"
        if not self.uv.exists():
            self._run(sys.executable, "-m", "venv", folder / "tools")
            self._run(folder / "tools" / "bin" / "python", "-m", "pip", "install", "--quiet", "uv")

    def build(self) -> None:
        """The sdist, unpacked too, and its wheel. SystemExit where the project itself gives another wheel."""
        for name in ("dist", "direct", "source"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        self._run(self.uv, "build", "--quiet", "--sdist", "--out-dir", self.folder / "dist", ROOT)
        (self.sdist,) = (self.folder / "dist").glob("*.tar.gz")
        self._run(self.uv, "build", "--quiet", "--wheel", "--out-dir", self.folder / "dist", self.sdist)
        self._run(self.uv, "build", "--quiet", "--wheel", "--out-dir", self.folder / "direct", ROOT)
        (self.wheel,) = (self.folder / "dist").glob("*.whl")
        if self.wheel.read_bytes() != (self.folder / "direct" / self.wheel.name).read_bytes():
            raise SystemExit(f"The wheel from {self.sdist.name} is not the one from {ROOT}.")
        with tarfile.open(self.sdist) as archive:
            archive.extractall(self.folder / "source", filter="data")
        (self.source,) = (self.folder / "source").iterdir()
        for built in (self.sdist, self.wheel):
            print(f"{built.name}: {built.stat().st_size / 1e6:.1f} MB", file=sys.stderr)

    def end_row(self, name: str, pytest: list[str], minutes: float) -> tuple[list[str], bool]:
        """A row of the table for one end, and whether all went well. Its environment is gone afterwards."""
        started, place = time.monotonic(), self.folder / name
        shutil.rmtree(place, ignore_errors=True)
        versions = dict.fromkeys(("python", *SHOWN), "–")
        commands = tests = "not run"
        try:
            python = self._install(ENDS[name], place)
            versions = self._versions(python)
            commands = self._commands(place / "bin" / "facegen")
            tests = self._tests(python, pytest, minutes)
        except subprocess.CalledProcessError as problem:  # what it said is on stderr
            commands = f"{self._shown(problem.cmd)}: exit code {problem.returncode}"
        finally:
            shutil.rmtree(place, ignore_errors=True)
        good = (
            commands == "right"
            and re.fullmatch(r"\d+ passed(, \d+ (skipped|deselected|xfailed|warnings?))* in .*", tests) is not None
        )
        return [name, *versions.values(), commands, tests, f"{time.monotonic() - started:.0f}"], good

    def _install(self, end: End, place: Path) -> Path:
        """The interpreter of a new environment in ``place`` with the wheel and its tests' requirements."""
        python = place / "bin" / "python"
        self._run(self.uv, "venv", "--quiet", "--python", shutil.which(end.python) or end.python, place)
        install = (self.uv, "pip", "install", "--quiet", "--python", python)
        # Named by themselves, for what a wheel requires is not direct to uv.
        requirements = ("--requirement", self.source / "pyproject.toml", "--extra", "test")
        self._run(*install, "--resolution", end.resolution, *requirements)
        self._run(*install, "--no-deps", self.wheel)
        self._run(self.uv, "pip", "check", "--quiet", "--python", python)
        return python

    def _versions(self, python: Path) -> dict[str, str]:
        code = "import platform, sys\nfrom importlib.metadata import version\n"
        code += "print(platform.python_version(), *map(version, sys.argv[1:]))"
        told = self._run(python, "-c", code, *SHOWN).split()
        return dict(zip(("python", *SHOWN), told, strict=True))

    def _commands(self, facegen: Path) -> str:
        """What a user does first, in an empty folder: "right", or the first command that failed."""
        chain = ("run", "synthetic:24", "--kimg", "0.05", "--device", "cpu", "--extractor", "effnet-lite0")
        for words in (("--version",), ("doctor",), ("sample", "--pretrained", "faces", "-n", "4"), chain):
            with tempfile.TemporaryDirectory(dir=self.folder) as empty:
                try:
                    self._run(facegen, *words, folder=Path(empty))
                except subprocess.CalledProcessError as problem:
                    print(problem.stdout, problem.stderr, file=sys.stderr)
                    return f"{words[0]}: exit code {problem.returncode}"
        return "right"

    def _tests(self, python: Path, words: list[str], minutes: float) -> str:
        """pytest's last line, without what frames it; the log stays beside the environment."""
        # As scripts/test has it; with a second -q there would be no last line.
        command = [str(python), "-m", "pytest", "-p", "no:cacheprovider", "--numprocesses", "auto", *words]
        path = self.folder / f"{python.parents[1].name}.log"
        with path.open("w", encoding="utf-8") as log:
            try:
                code = subprocess.run(
                    command, cwd=self.source, env=self.environment, stdout=log, stderr=log, timeout=60 * minutes
                ).returncode
            except subprocess.TimeoutExpired:
                return f"stopped after {minutes:g} minutes"
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        print(*(line for line in lines if line.startswith(("FAILED", "ERROR"))), sep="\n", file=sys.stderr)
        last = [line for line in lines if re.search(r"\d+ (passed|failed|error|skipped).* in ", line)]
        return last[-1].strip("= ") if last else f"pytest: exit code {code}"

    def _run(self, *words: object, folder: Path | None = None) -> str:
        """Its stdout. CalledProcessError where it fails, after what it said where nobody catches that."""
        command = [str(word) for word in words]
        print(f"> {self._shown(command)}", file=sys.stderr)
        return subprocess.run(
            command, cwd=folder or self.folder, env=self.environment, check=True, stdout=subprocess.PIPE, text=True
        ).stdout

    @staticmethod
    def _shown(command: list[str]) -> str:
        return " ".join(Path(word).name if os.sep in word else word for word in command if "\n" not in word)


if __name__ == "__main__":
    raise SystemExit(main())
