"""docs/extending.md: each example is taken from the page, put into a package, and used.

The package stands in a folder of its own, as pip would install it: its entry points are those of the page.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import numpy as np
import pytest
import torch
import torchvision
from click.testing import CliRunner, Result
from PIL import Image

from facegen.cli import main
from facegen.cnn.registry import ARCHITECTURES
from facegen.extractors import table as extractor_table
from facegen.grading.flags.table import FLAGS
from facegen.scoring import metric_table
from facegen.stages import grade
from facegen.submission.rules import Limits
from facegen.submission.writer import write_tarball

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PAGE = (Path(__file__).parents[1] / "docs" / "extending.md").read_text(encoding="utf-8")
HOW_TO_ADD = PAGE.partition("\n## How to add\n")[2]
Run = Callable[..., Result]


def sections(text: str) -> dict[str, str]:
    """The parts of the page by their headings; what is before the first heading has none."""
    parts = re.split(r"^### (.+)\n", text, flags=re.MULTILINE)
    return {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


def files_in(section: str) -> dict[str, str]:
    """The blocks of code whose first line is a comment with a path, by that path."""
    blocks = re.findall(r"^```(?:python|toml)\n# (\S+)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    return dict(blocks)


def commands_in(section: str) -> list[list[str]]:
    """The words of each line of its blocks of shell commands, without the name ``facegen``."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    return [shlex.split(line)[1:] for block in blocks for line in block.splitlines()]


def file_of(module: str) -> str:
    return f"{module.replace('.', '/')}.py"


SECTIONS = sections(HOW_TO_ADD)
FILES = files_in(HOW_TO_ADD)
PROJECT = tomllib.loads(FILES["pyproject.toml"])["project"]
ENTRIES = PROJECT["entry-points"]["facegen.extensions"]
#: Features that are quick to compute, where an example needs some.
QUICK = ("--extractor", "my_faces.colours:tiles")


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``dataset`` and ``images``, 64 drawn faces each, the second with another seed."""
    folder = tmp_path_factory.mktemp("drawn")
    for name, seed in (("dataset", "0"), ("images", "1")):
        words = ["prepare", "synthetic:64", str(folder / name), "--seed", seed, "--workers", "1"]
        assert CliRunner().invoke(main, words).exit_code == 0
    return folder


@pytest.fixture
def here(tmp_path: Path, drawn: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, in which the page's commands run."""
    for name in ("dataset", "images"):
        (tmp_path / name).symlink_to(drawn / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def install(here: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Writes the page's files, and installs the entry points that are of one section, until the test ends."""

    def installed(title: str) -> None:
        for name, text in FILES.items():
            (here / name).parent.mkdir(exist_ok=True)
            (here / name).write_text(text, encoding="utf-8")
        (here / "my_faces" / "__init__.py").touch()
        about = here / "my_faces-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Name: {PROJECT['name']}\nVersion: {PROJECT['version']}\n", encoding="utf-8")
        entries = {name: module for name, module in ENTRIES.items() if file_of(module) in files_in(SECTIONS[title])}
        lines = ["[facegen.extensions]", *(f"{name} = {module}" for name, module in entries.items()), ""]
        (about / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
        monkeypatch.syspath_prepend(here)

    tables: tuple[dict[str, object], ...] = (ARCHITECTURES, extractor_table._TABLE, FLAGS, metric_table._TABLE)  # type: ignore[assignment]
    before = [dict(table) for table in tables]
    yield installed
    for table, entries in zip(tables, before, strict=True):
        table.clear()
        table.update(entries)
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_faces"]:
        del sys.modules[name]


def follow(title: str, facegen: Run, *more: str, command: int = 0) -> str:
    """Runs one of the section's commands, with more options; returns what it prints."""
    words = commands_in(SECTIONS[title])[command]
    outcome = facegen(*words, *more)
    assert outcome.exit_code == 0, outcome.stderr
    return outcome.stdout


def test_every_section_has_a_test_and_an_example() -> None:
    tested = {"A recipe", "A metric", "An extractor", "A flag", "A network", "Another image size"}
    assert set(SECTIONS) == {"", *tested} and all(commands_in(SECTIONS[title]) for title in tested)


def test_the_entry_points_are_the_modules_of_the_sections() -> None:
    registering = {name for name, text in FILES.items() if "register_" in text}
    assert {file_of(module) for module in ENTRIES.values()} == registering


def test_a_recipe_trains(here: Path, facegen: Run) -> None:
    (here / "narrow.toml").write_text(FILES["narrow.toml"], encoding="utf-8")
    follow("A recipe", facegen, "--kimg", "0.064", "--device", "cpu")
    assert json.loads((here / "run" / "log.jsonl").read_text().splitlines()[-1])["kimg"] == 0.064


def test_a_metric_is_measured(install: Callable[[str], None], facegen: Run) -> None:
    install("A metric")
    printed = follow("A metric", facegen, *QUICK, "--json")
    assert json.loads(printed)["metrics"]["median_distance"] > 0


def test_an_extractor_is_named_in_the_score(install: Callable[[str], None], facegen: Run) -> None:
    install("An extractor")
    score = json.loads(follow("An extractor", facegen, "--json"))
    assert score["extractor"] == "custom:my_faces.colours:tiles" and score["dims"] == 48


def test_an_extractor_of_the_table_takes_its_weights(here: Path, install: Callable[[str], None], facegen: Run) -> None:
    """Seeded ones, under torchvision's names, as the published ones have: no test has a network."""
    install("An extractor")
    for name in ("images", "dataset"):
        (here / name).unlink()
        facegen("prepare", "synthetic:3", name, "--workers", "1")
    torch.save(torchvision.models.resnet18().state_dict(), here / "seeded.pth")
    score = json.loads(follow("An extractor", facegen, "--weights", "seeded.pth", "--json", command=2))
    assert score["extractor"] == "resnet18-custom" and score["dims"] == 512 and score["value"] < 1e-6


def test_the_weights_of_an_extractor_are_looked_for(
    install: Callable[[str], None], facegen: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("An extractor")
    monkeypatch.delitem(sys.modules, "facegen.cli.weights", raising=False)  # as in a new process
    assert "resnet18-f37072fd.pth" in facegen(*commands_in(SECTIONS["An extractor"])[1]).stderr


def test_a_flag_is_shown_on_the_leaderboard(
    here: Path, install: Callable[[str], None], facegen: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("A flag")
    monkeypatch.setattr(grade, "limits_for", lambda size: Limits(count=8, size=size))  # 1,000 would take seconds
    files = {f"{number}.png": here / f"{number}.png" for number in range(8)}
    for path, values in zip(files.values(), np.random.default_rng(0).integers(0, 256, (8, 64, 64)), strict=True):
        Image.fromarray(values.astype(np.uint8)).convert("RGB").save(path)
    (here / "submissions").mkdir()
    write_tarball(files, here / "submissions" / "s1.tar.gz")
    follow("A flag", facegen, *QUICK)
    (row,) = json.loads((here / "grades" / "leaderboard.json").read_text())["submissions"]
    assert "grey" in row["flags"]


def test_a_network_is_listed_and_inspected(install: Callable[[str], None], facegen: Run) -> None:
    install("A network")
    assert "6×8" not in follow("A network", facegen) and "patches" in facegen("inspect", "--list").stdout.split()


def test_another_size_is_prepared(here: Path, facegen: Run) -> None:
    size = commands_in(SECTIONS["Another image size"])
    (words,) = [words for words in size if words[0] == "prepare"]
    outcome = facegen(*("synthetic:4" if word == "photographs" else word for word in words), "--workers", "1")
    assert outcome.exit_code == 0, outcome.stderr
    assert np.load(here / "faces128" / "images.npy").shape == (4, 128, 128, 3)


def test_every_command_of_another_size_has_its_options() -> None:
    for words in commands_in(SECTIONS["Another image size"]):
        command = main.get_command(click.Context(main), words[0])
        assert command is not None
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known, words
