"""What is published, and what SECURITY.md promises of it."""

from __future__ import annotations

import ast
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from facegen.errors import InputError
from facegen.weights.state_dicts import read_state_dict

ROOT = Path(__file__).parents[1]
SOURCES = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in (ROOT / "facegen").rglob("*.py")}


class TestPromises:
    PAGE = (ROOT / "SECURITY.md").read_text(encoding="utf-8")

    def test_every_promise_names_tests_that_exist(self) -> None:
        rows = re.findall(r"^\| \*\*(.+?)\*\*.* \| (.*) \|$", self.PAGE, re.MULTILINE)
        assert len(rows) >= 10
        for promise, told in rows:
            tests = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", told)
            assert tests, promise
            for file, name in tests:
                assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8"), f"{promise} {file}::{name}"


class TestLists:
    """What hatchling would put into the two files, as .ci/run has it; scripts/bounds.py builds them."""

    #: All of the wheel that is no Python.
    DATA = (
        r"facegen/py\.typed",
        r"facegen/locale/ko/LC_MESSAGES/facegen\.(po|mo)",
        r"facegen/grading/templates/(feedback|leaderboard|parts)\.html",
        r"facegen/grading/templates/(leaderboard\.js|page\.css)",
        r"facegen/scoring/report/templates/report\.html",
        r"facegen/watching/templates/(watch\.html|watch\.css|charts\.js|watch\.js)",
        r"facegen/pretrained/(card\.md|fingerprints\.npy|generator\.safetensors)",
        r"facegen/training/recipes/\w+\.toml",
        r"facegen/py\.typed",
    )
    #: Figures, and faces that a generator drew: docs/measurements.md tells of each. No photograph is among them.
    PICTURES = r"docs/(tutorial/)?[\w-]+\.png"

    @staticmethod
    def listed(kind: str) -> set[str]:
        builder = pytest.importorskip(f"hatchling.builders.{kind}")
        made = {"wheel": "WheelBuilder", "sdist": "SdistBuilder"}[kind]
        return {file.distribution_path for file in getattr(builder, made)(str(ROOT)).recurse_included_files()}

    def test_the_wheel_holds_the_package_alone(self) -> None:
        files = self.listed("wheel")
        data = {name for name in files if not re.fullmatch(r"facegen/[\w/]+\.py", name)}
        assert [name for name in data if not any(re.fullmatch(pattern, name) for pattern in self.DATA)] == []
        assert all(any(re.fullmatch(pattern, name) for name in data) for pattern in self.DATA)
        assert files - data == SOURCES.keys()
        assert {path.name for path in (ROOT / "facegen/training/recipes").iterdir()} <= {
            Path(name).name for name in data
        }

    def test_the_sdist_holds_what_builds_and_tests_it(self) -> None:
        files = self.listed("sdist")
        wanted = {"README.md", "LICENSE", "SECURITY.md", "CHANGELOG.md", "CONTRIBUTING.md"}
        wanted |= {"Dockerfile", ".dockerignore", ".ci/run", "scripts/test", "tests/conftest.py"} | SOURCES.keys()
        assert wanted <= files
        pictures = r".*\.(png|jpe?g|gif|webp|bmp|tiff?|zip|gz|h5|parquet)"
        assert [name for name in files if re.fullmatch(pictures, name) and not re.fullmatch(self.PICTURES, name)] == []
        assert max((ROOT / name).stat().st_size for name in files) < 10_000_000


def test_torch_refuses_what_runs_code() -> None:
    """CVE-2025-32434: before 2.6, torch ran the code of a TorchScript file in spite of ``weights_only=True``."""
    (lowest,) = re.findall(r'"torch>=(\d+)\.(\d+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert (int(lowest[0]), int(lowest[1])) >= (2, 6)


#: Modules whose import is a promise broken, and the one file that may use each. The longest name that fits decides.
ONLY_IN = {
    **dict.fromkeys(("pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "yaml"), ()),
    **dict.fromkeys(("runpy", "pty", "webbrowser"), ()),
    "ctypes": ("facegen/extractors/low_memory.py",),  # the C library's memory settings
    **dict.fromkeys(("socket", "ssl", "requests", "ftplib", "smtplib", "httpx", "urllib3"), ()),
    "http": ("facegen/weights/published.py",),
    "http.server": ("facegen/watching/server.py",),  # the page of runs, which listens to this machine alone
    "urllib.request": ("facegen/weights/published.py",),
    "subprocess": ("facegen/checks/hardware.py",),  # asks the graphics driver
    **{service: (f"facegen/training/{service}.py",) for service in ("wandb", "mlflow")},  # which send
}
#: Calls by what stands before the parenthesis; ``.x`` is a method of anything.
FORBIDDEN = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "torch.jit.load"}
FORBIDDEN |= {"torch.hub.load", "torch.package.PackageImporter", ".extractall", ".extract"}
#: Calls that need a word, which is to have this value.
NEEDED = {
    "torch.load": ("weights_only", True),
    "np.load": ("allow_pickle", False),
    "numpy.load": ("allow_pickle", False),
    "Environment": ("autoescape", True),
}
#: What stands in every module that does any of it: the others need not be parsed.
_SUSPECT = re.compile(
    rf"(^|\s)(import|from) +({'|'.join({name.partition('.')[0] for name in ONLY_IN})})\b|shell=|\.extract(all)?\("
    rf"|(?<![\w.])({'|'.join(re.escape(name) for name in {*FORBIDDEN, *NEEDED})})\("
)


def breaches(file: str, source: str) -> Iterator[str]:
    """What a module does that is promised not to be done."""
    if _SUSPECT.search(source) is None:
        return
    for node in ast.walk(ast.parse(source)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            named = max((module for module in ONLY_IN if f"{name}.".startswith(f"{module}.")), key=len, default=None)
            if named is not None and file not in ONLY_IN[named]:
                yield f"{file}:{node.lineno} imports {name}"
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            words = {word.arg: getattr(word.value, "value", None) for word in node.keywords}
            if called in FORBIDDEN or f".{called.rpartition('.')[2]}" in FORBIDDEN & {".extractall", ".extract"}:
                yield f"{file}:{node.lineno} calls {called}"
            if called in NEEDED and words.get(NEEDED[called][0]) is not NEEDED[called][1]:
                yield f"{file}:{node.lineno} calls {called} without {NEEDED[called][0]}={NEEDED[called][1]}"
            if words.get("shell"):
                yield f"{file}:{node.lineno} runs a shell"


def test_the_code_does_nothing_that_is_promised_not_to_be_done() -> None:
    assert [breach for file, source in SOURCES.items() for breach in breaches(file, source)] == []


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from pickle import loads",
        "import urllib.request",
        "from urllib.request import urlopen",
        "from urllib import request",
        "import http.client",
        "from http.server import HTTPServer",
        "def f():\n    import socket",
        "import subprocess",
        "eval('1')",
        "exec(text)",
        "os.system('ls')",
        "archive.extractall(folder)",
        "archive.extract(member)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.jit.load(path)",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "Environment(loader=loader)",
        "run('ls', shell=True)",
    ],
)
def test_a_broken_promise_is_seen(line: str) -> None:
    assert len(list(breaches("facegen/x.py", line))) == 1


@pytest.mark.parametrize(
    "line",
    ["torch.load(path, weights_only=True)", "np.load(path, allow_pickle=False)", "network.eval()", "re.compile(x)"],
)
def test_what_is_promised_may_be_done(line: str) -> None:
    assert list(breaches("facegen/x.py", line)) == []


class Scripted(nn.Module):
    """What TorchScript stores of it saves a tensor to ``path`` as it is loaded."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.tensor, self.path = torch.zeros(1), path

    @torch.jit.export
    def __getstate__(self) -> tuple[Tensor, str, bool]:
        return (self.tensor, self.path, self.training)

    @torch.jit.export
    def __setstate__(self, state: tuple[Tensor, str, bool]) -> None:
        self.tensor = state[0]
        self.path = state[1]
        self.training = state[2]
        torch.save(state[0], state[1])

    def forward(self, x: Tensor) -> Tensor:
        return x


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore:.*torch.jit.load")
def test_code_in_a_file_of_weights_is_not_run(tmp_path: Path) -> None:
    """TorchScript, taken for another zip for its first member is not the usual one. Before 2.6 torch ran it."""
    torch.jit.script(Scripted(str(tmp_path / "ran"))).save(str(tmp_path / "module.pt"))
    with zipfile.ZipFile(tmp_path / "module.pt") as module, zipfile.ZipFile(tmp_path / "weights.pth", "w") as weights:
        for name in sorted(module.namelist(), key=lambda name: "/code/" not in name):
            weights.writestr(name, module.read(name))
    with pytest.raises(InputError, match=r"weights\.pth is not"):
        read_state_dict(tmp_path / "weights.pth")
    assert not (tmp_path / "ran").exists()
