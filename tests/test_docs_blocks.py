"""Every command line, block of Python and printed output of the pages is run; CONTRIBUTING.md has the rules."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts" / "docs"))
try:
    from blocks import pages, read_page
    from execute import Worlds, run_page
finally:
    sys.path.pop(0)

PAGES = {name: read_page(name) for name in pages()}


def different_pages() -> dict[str, list[str]]:
    """The pages that do something, without those that do the same as one before, as a translation does."""
    found: dict[str, list[str]] = {}
    for name, page in PAGES.items():
        if page.blocks:
            found.setdefault(page.key, []).append(name)
    return {names[0]: names for names in found.values()}


@pytest.fixture(scope="session")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Worlds:
    return Worlds(tmp_path_factory.mktemp("docs"))


@pytest.mark.parametrize("name", different_pages())
def test_the_blocks_of_a_page_do_what_it_says(name: str, worlds: Worlds) -> None:
    assert run_page(PAGES[name], worlds).faults == []


@pytest.mark.parametrize("name", PAGES)
def test_a_page_keeps_the_rules(name: str) -> None:
    page = PAGES[name]
    assert page.faults == []
    if page.elsewhere is not None:
        assert Path(name).name in (ROOT / page.elsewhere).read_text(encoding="utf-8")
