"""The tutorial: the same pages in both languages, pictures that a page shows, diagrams as the script draws them.

tests/test_docs_blocks.py runs the blocks, and tests/test_docs.py compares those of the two languages.
"""

from __future__ import annotations

import json
import math
import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ENGLISH, KOREAN = ROOT / "docs" / "tutorial", ROOT / "docs" / "ko" / "tutorial"
#: The names of the pages, which are equal in both languages.
PAGES = sorted(path.name for path in ENGLISH.glob("*.md"))
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "tutorial_pictures.py"))


def text_of(folder: Path, name: str) -> str:
    return (folder / name).read_text(encoding="utf-8")


def chapters_linked_by(folder: Path, page: str) -> list[str]:
    return sorted(re.findall(r"(?<!!)\[[^\]\n]+\]\(([\w-]+\.md)\)", text_of(folder, page)))


def test_both_languages_have_the_same_pages() -> None:
    assert sorted(path.name for path in KOREAN.glob("*.md")) == PAGES != []


@pytest.mark.parametrize("page", PAGES)
def test_a_page_links_to_the_same_chapters_in_both_languages(page: str) -> None:
    assert chapters_linked_by(KOREAN, page) == chapters_linked_by(ENGLISH, page) != []


def test_every_picture_is_shown_and_small() -> None:
    shown = {name for page in PAGES for name in re.findall(r"!\[[^\]]+\]\(([\w.-]+)\)", text_of(ENGLISH, page))}
    pictures = [path for path in ENGLISH.iterdir() if path.suffix != ".md"]
    assert {path.name for path in pictures} == shown
    assert [path.name for path in pictures if path.stat().st_size > 60_000] == []


@pytest.mark.parametrize("name", SCRIPT["DIAGRAMS"])
def test_a_diagram_is_what_the_script_draws(name: str, tmp_path: Path) -> None:
    SCRIPT["draw"](tmp_path, [name])
    assert text_of(tmp_path, name) == text_of(ENGLISH, name), "run scripts/tutorial_pictures.py"


@pytest.mark.parametrize("folder", [ENGLISH, KOREAN], ids=["English", "Korean"])
def test_the_losses_with_and_without_batchnorm_are_the_measured_ones(folder: Path) -> None:
    figures = json.loads((ROOT / "docs" / "figures" / "depth-batchnorm.json").read_text(encoding="utf-8"))
    measured = {row[0]: (row[1], row[3]) for row in figures["tables"]["last"]["rows"]}
    page = text_of(folder, "batchnorm.md")
    rows = [re.findall(r"\d\.\d{3}", line) for line in page.splitlines() if line.startswith("| ")]
    quoted = [float(number) for row in rows for number in row]
    names = [f"{norm}, rate {rate}" for norm in ("BatchNorm", "no norm") for rate in (0.1, 0.01)]
    assert quoted == pytest.approx([loss for name in names for loss in measured[name]], abs=0.00051)
    assert f"ln 10 = {math.log(10):.3f}" in page
