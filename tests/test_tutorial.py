"""The tutorial: both languages have the same pages, pictures are the script's, and quoted losses are the measured ones.

The blocks themselves are run by tests/test_docs_blocks.py.
"""

from __future__ import annotations

import json
import math
import re
import runpy
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ENGLISH, KOREAN = ROOT / "docs" / "tutorial", ROOT / "docs" / "ko" / "tutorial"
#: The names of the pages, which are equal in both languages.
PAGES = sorted(path.name for path in ENGLISH.glob("*.md"))
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "tutorial_pictures.py"))
CODE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def text_of(folder: Path, page: str) -> str:
    return (folder / page).read_text(encoding="utf-8")


def code_of(folder: Path, page: str) -> list[tuple[str, str]]:
    """The language and the text of each block, without the comments of a shell's lines, which are translated."""
    blocks = [(language, text) for language, text in CODE.findall(text_of(folder, page))]
    return [(language, re.sub(r" +# .*", "", text) if language == "sh" else text) for language, text in blocks]


def prose_of(folder: Path, page: str) -> str:
    return CODE.sub("", text_of(folder, page))


def pictures_of(folder: Path, page: str) -> list[Path]:
    return [(folder / target).resolve() for target in re.findall(r"!\[[^\]]+\]\(([^()\s]+)\)", prose_of(folder, page))]


def headings_of(folder: Path, page: str) -> list[str]:
    """The marks of the headings: ``##`` for one of the second level."""
    return re.findall(r"^(#+) ", prose_of(folder, page), re.MULTILINE)


def links_of(folder: Path, page: str) -> list[str]:
    """The pages of the tutorial that a page links to."""
    targets = re.findall(r"(?<!!)\[[^\]]+\]\(([\w-]+\.md)\)", prose_of(folder, page))
    return sorted(targets)


def test_both_languages_have_the_same_pages() -> None:
    assert sorted(path.name for path in KOREAN.glob("*.md")) == PAGES != []


@pytest.mark.parametrize("part", [code_of, pictures_of, headings_of, links_of])
@pytest.mark.parametrize("page", PAGES)
def test_a_page_has_the_same_in_both_languages(page: str, part: Callable[[Path, str], object]) -> None:
    assert part(KOREAN, page) == part(ENGLISH, page)


def test_every_picture_is_there_and_shown() -> None:
    shown = {picture for page in PAGES for picture in pictures_of(ENGLISH, page)}
    there = {path.resolve() for path in ENGLISH.iterdir() if path.suffix in (".png", ".svg")}
    assert there - shown == set() and [picture for picture in shown if not picture.is_file()] == []


def test_pictures_are_small() -> None:
    assert [path.name for path in ENGLISH.iterdir() if path.stat().st_size > 60_000] == []


@pytest.mark.parametrize("name", SCRIPT["DIAGRAMS"])
def test_a_diagram_is_what_the_script_draws(name: str, tmp_path: Path) -> None:
    SCRIPT["draw"](tmp_path, [name])
    assert (tmp_path / name).read_text(encoding="utf-8") == text_of(ENGLISH, name), "run scripts/tutorial_pictures.py"


@pytest.mark.parametrize("folder", [ENGLISH, KOREAN], ids=["English", "Korean"])
def test_the_losses_with_and_without_batchnorm_are_the_measured_ones(folder: Path) -> None:
    rows = json.loads((ROOT / "docs" / "figures" / "depth-batchnorm.json").read_text())["tables"]["last"]["rows"]
    measured = {row[0]: (row[1], row[3]) for row in rows}
    lines = [line for line in text_of(folder, "batchnorm.md").splitlines() if line.startswith("| ")]
    quoted = [[float(number) for number in re.findall(r"\d\.\d{3}", line)] for line in lines]
    table = [numbers for numbers in quoted if len(numbers) == 4]
    names = (("BatchNorm, rate 0.1", "BatchNorm, rate 0.01"), ("no norm, rate 0.1", "no norm, rate 0.01"))
    assert len(table) == len(names)
    for numbers, (quick, slow) in zip(table, names, strict=True):
        assert numbers == pytest.approx([*measured[quick], *measured[slow]], abs=0.00051)
    assert f"ln 10 = {math.log(10):.3f}" in text_of(folder, "batchnorm.md")
