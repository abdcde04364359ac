#!/usr/bin/env python
"""Check that the published package installs and works at both ends of the versions that pyproject.toml allows.

    python scripts/bounds.py                                  # both ends, all tests: some 15 minutes and 8 GB
    python scripts/bounds.py --ends lowest -- tests/data -x   # one end; pytest gets what follows --
    python scripts/bounds.py --minutes 20 -- tests/training   # at most 20 minutes for the tests of each end

The script builds the sdist, and the wheel from it. That wheel must equal the one built from the project itself. For
each end it installs the wheel into a new virtual environment: the lowest version of each requirement on the oldest
Python, or the newest versions on the newest Python. There it runs 'facegen --version', 'facegen doctor',
'facegen sample' and 'facegen run' on drawn faces in an empty folder, and the tests in the unpacked sdist. It ends with
a table in Markdown. A failure at one end appears in its row, and the other end still runs.

Both Pythons must be on PATH, as python3.10 and python3.13, and must run. Those of pyenv do if PYENV_VERSION names them.
Each environment is deleted after its use. --folder keeps uv's cache, so that a second run downloads nothing, and
pytest's output, which you can follow there. Exit code 1: something failed at one end.
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
    """A Python, and which of the allowed versions are installed with it.

    ``lowest-direct`` takes the lowest versions that pyproject.toml names. The requirements of those packages
    are for their own authors to bound.
    """

    python: str
    resolution: str


ENDS = {"lowest": End("python3.10", "lowest-direct"), "newest": End("python3.13", "highest")}
#: Packages whose versions the table shows.
SHOWN = ("torch", "torchvision", "numpy", "scipy", "pillow", "click", "rich", "jinja2", "safetensors")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ends", nargs="+", choices=list(ENDS), default=list(ENDS))
    parser.add_argument("--folder", type=Path, help="folder to work in; it keeps the downloads")
    parser.add_argument("--minutes", type=float, default=60, help="longest time for the tests of one end")
    parser.add_argument("pytest", nargs="*", help="tests to run, after --; default: all")
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
    """A folder with uv, the built files, and one virtual environment at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "UV_CACHE_DIR": str(folder / "cache"), "FACEGEN_OFFLINE": "1"}
        self.environment |= {"FACEGEN_CACHE": str(folder / "facegen"), "OMP_NUM_THREADS": "1"}
        # With these variables another facegen or environment would be used, and each process would compile its imports.
        for name in ("PYTHONPATH", "VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE"):
            self.environment.pop(name, None)
        self.uv = folder / "tools" / "bin" / "uv"
        if not self.uv.exists():
            self._run(sys.executable, "-m", "venv", folder / "tools")
            self._run(folder / "tools" / "bin" / "python", "-m", "pip", "install", "--quiet", "uv")

    def build(self) -> None:
        """Build the sdist, unpack it, and build its wheel. Exit if the project itself gives another wheel."""
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
        """Return a table row for one end, and whether all went well. The environment is deleted afterwards."""
        started, place = time.monotonic(), self.folder / name
        shutil.rmtree(place, ignore_errors=True)
        versions = dict.fromkeys(("python", *SHOWN), "–")
        commands = tests = "not run"
        try:
            python = self._install(ENDS[name], place)
            versions = self._versions(python)
            commands = self._commands(place / "bin" / "facegen")
            tests = self._tests(python, pytest, minutes)
        except subprocess.CalledProcessError as problem:  # stderr has its message
            commands = f"{self._shown(problem.cmd)}: exit code {problem.returncode}"
        finally:
            shutil.rmtree(place, ignore_errors=True)
        good = (
            commands == "right"
            and re.fullmatch(r"\d+ passed(, \d+ (skipped|deselected|xfailed|warnings?))* in .*", tests) is not None
        )
        return [name, *versions.values(), commands, tests, f"{time.monotonic() - started:.0f}"], good

    def _install(self, end: End, place: Path) -> Path:
        """Install the wheel and the requirements of its tests in ``place``, and return the new interpreter."""
        python = place / "bin" / "python"
        self._run(self.uv, "venv", "--quiet", "--python", shutil.which(end.python) or end.python, place)
        install = (self.uv, "pip", "install", "--quiet", "--python", python)
        # They are named themselves, because uv does not count a wheel's requirements as direct.
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
        """Run a user's first commands in an empty folder; return "right", or the first command that failed."""
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
        """Return the last line of pytest without its frame. The log stays beside the environment."""
        # The same flags as in scripts/test. A second -q would remove the last line.
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
        """Run a command and return its stdout. stderr goes to the terminal. Raise CalledProcessError if it fails."""
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
