"""The pages of the project: links that lead somewhere, the API's page, the glossary."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    str(path.relative_to(ROOT))
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "submissions").glob("*.md"))
)
ARCHITECTURE = "docs/architecture.md"


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def section(page: str, heading: str) -> str:
    """What is under a heading of the second level."""
    return text_of(page).partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def anchors(page: str) -> set[str]:
    """What its headings can be linked as: in lower case, without punctuation, hyphens for spaces."""
    prose = re.sub(r"^```.*?^```$", "", text_of(page), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def leads_somewhere(page: str, target: str) -> bool:
    """Whether a link is to a file that is there, and to a heading in it; other sites are not asked."""
    name, _, anchor = target.partition("#")
    path = ((ROOT / page).parent / name if name else ROOT / page).resolve()
    if "://" in target or not path.exists():
        return "://" in target
    return not anchor or anchor in anchors(str(path.relative_to(ROOT)))


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    targets = re.findall(r"\]\(([^()\s]+)\)", text_of(page))
    assert [target for target in targets if not leads_somewhere(page, target)] == []


@pytest.mark.parametrize("target", ["absent.md", "README.md#absent", "#absent"])
def test_a_link_into_nothing_is_seen(target: str) -> None:
    assert not leads_somewhere("README.md", target)


@pytest.mark.parametrize("page", ["docs/architecture.md", "docs/api.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_the_readme_links_each_page_for_who_carries_on(page: str) -> None:
    assert f"]({page})" in text_of("README.md")


def test_the_api_page_is_what_the_script_writes() -> None:
    assert text_of("docs/api.md") == runpy.run_path(str(ROOT / "scripts" / "api.py"))["page"](), "run scripts/api.py"


class TestArchitecture:
    @pytest.mark.parametrize("page", [ARCHITECTURE, "CONTRIBUTING.md"])
    def test_files_that_are_named_exist(self, page: str) -> None:
        named = set(re.findall(r"`((?:facegen|scripts|tests|docs)/[\w./-]+)`", text_of(page)))
        absent = [name for name in sorted(named) if "NAME" not in name and not (ROOT / name).exists()]
        assert named and absent == []

    def test_folders_of_files_to_be_named_exist(self) -> None:
        folders = {
            Path(name).parent for name in re.findall(r"`((?:facegen|tests)/[\w./]*NAME\.\w+)`", text_of(ARCHITECTURE))
        }
        assert folders and [str(folder) for folder in folders if not (ROOT / folder).is_dir()] == []

    def test_every_subpackage_and_top_module_is_in_the_picture(self) -> None:
        table = section(ARCHITECTURE, "The picture")
        present = {path.stem for path in (ROOT / "facegen").iterdir() if path.suffix == ".py" or path.is_dir()}
        assert {name for name in present if not name.startswith("__") and f"`{name}`" not in table} == set()

    def test_the_glossary_is_sorted_and_has_a_sentence_a_word(self) -> None:
        lines = [line for line in section(ARCHITECTURE, "Glossary").splitlines() if line.startswith("- ")]
        entries = dict(re.fullmatch(r"- \*\*(.+)\*\*: (.+)", line).groups() for line in lines)  # type: ignore[union-attr]
        assert list(entries) == sorted(entries, key=str.lower)
        assert [word for word, meaning in entries.items() if not re.fullmatch(r"[^.]*(\.\w[^.]*)*\.", meaning)] == []
