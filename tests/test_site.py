"""The site of the documentation builds without a warning, and its pages look as on the repository's host."""

from __future__ import annotations

import json
import re
import runpy
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

markdown = pytest.importorskip("markdown")
pytest.importorskip("mkdocs")

ROOT = Path(__file__).parents[1]
HOOKS = runpy.run_path(str(ROOT / "scripts" / "docs" / "hooks.py"))
BUILD = runpy.run_path(str(ROOT / "scripts" / "docs" / "build.py"))
CONFIG = BUILD["load_config"](str(BUILD["CONFIG"]))
PAGES = sorted([*HOOKS["OUTSIDE"], *(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    assert BUILD["build_site"](folder) == []
    return folder


def test_every_page_is_on_the_site(site: Path) -> None:
    names = [HOOKS["OUTSIDE"].get(page, page.removeprefix("docs/")) for page in PAGES]
    assert [name for name in names if not (site / name).with_suffix(".html").is_file()] == []


def test_korean_pages_say_that_they_are(site: Path) -> None:
    starts = {
        path.relative_to(site).parts[0] == "ko": path.read_text(encoding="utf-8") for path in site.rglob("index.html")
    }
    assert '<html lang="ko"' in starts[True] and '<html lang="en"' in starts[False]


def test_a_page_loads_nothing_from_another_site(site: Path) -> None:
    loaded = re.compile(r'<(script|img|iframe)\b[^>]*\bsrc="(\w+:)?//|<link\b[^>]*rel="(stylesheet|preconnect)"[^>]*//')
    assert [path.name for path in site.rglob("*.html") if loaded.search(path.read_text(encoding="utf-8"))] == []


def test_both_languages_are_searched(site: Path) -> None:
    index = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))
    assert index["config"]["lang"] == ["en", "ko"]
    assert {"index.html", "cli.html", "readme.html"} <= {entry["location"] for entry in index["docs"]}


def test_a_link_that_leads_nowhere_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("[gone](gone.md) [here](#gone)", encoding="utf-8")
    config = "site_name: x\ntheme: mkdocs\nplugins: []\nvalidation: {links: {anchors: warn}}\n"
    (tmp_path / "mkdocs.yml").write_text(config, encoding="utf-8")
    monkeypatch.setitem(BUILD["build_site"].__globals__, "CONFIG", tmp_path / "mkdocs.yml")
    found = BUILD["build_site"]()
    assert len(found) == 2 and all("gone" in warning for warning in found)


class Shape(HTMLParser):
    """The elements of a page that a reader sees, in order, with the anchors of its headings left out."""

    SEEN = re.compile("h[1-6]|[uo]l|li|table|t[rhd]|pre|blockquote|img|strong|em|hr")

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if self.SEEN.fullmatch(tag):
            self.found.append(tag)


def shape(html: str) -> list[str]:
    parser = Shape()
    parser.feed(html)
    return parser.found


def on_the_host(text: str) -> list[str]:
    return shape(MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(text))


def on_the_site(text: str) -> list[str]:
    settings = {**CONFIG.mdx_configs, "toc": {"permalink": False}, "pymdownx.highlight": {"use_pygments": False}}
    return shape(markdown.markdown(text, extensions=CONFIG.markdown_extensions, extension_configs=settings))


@pytest.mark.parametrize("page", PAGES)
def test_a_page_looks_alike_on_the_host_and_on_the_site(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert on_the_site(text) == on_the_host(text), "CONTRIBUTING.md, Documentation, says how lists are indented"


@pytest.mark.parametrize("text", ["words\n- item", "- item\n  - inner", "1. item\n   - inner"])
def test_what_the_site_would_show_otherwise_is_seen(text: str) -> None:
    assert on_the_site(text) != on_the_host(text)


@pytest.mark.parametrize(
    ("heading", "anchor"),
    [
        ("Reading a score", "reading-a-score"),
        ("`facegen.toml` & more", "facegentoml--more"),
        ("From 1,000 images: what then?", "from-1000-images-what-then"),
        ("출력 크기", "출력-크기"),
        ("The self_test", "the-self_test"),
    ],
)
def test_an_anchor_is_github_s(heading: str, anchor: str) -> None:
    assert HOOKS["anchor"](heading) == anchor


@pytest.mark.parametrize(
    ("source", "name", "link", "there"),
    [
        ("docs/watch.md", "watch.md", "[a](../SECURITY.md#b)", "[a](security.md#b)"),
        ("docs/ko/x.md", "ko/x.md", "[a](../../README.md)", "[a](../readme.md)"),
        ("README.md", "readme.md", "![a](docs/demo.png)", "![a](demo.png)"),
        ("submissions/README.md", "submissions/readme.md", "[a](../docs/api.md)", "[a](../api.md)"),
        ("docs/x.md", "x.md", "[`a`](../facegen/files.py)", "`a`"),
        ("docs/x.md", "x.md", "[a](gone.md)", "[a](gone.md)"),
        ("docs/x.md", "x.md", "`[a](../README.md)`", "`[a](../README.md)`"),
        ("docs/x.md", "x.md", "[a](https://b.c/d)", "[a](https://b.c/d)"),
        ("docs/x.md", "x.md", "```md\n[a](../README.md)\n```", "```md\n[a](../README.md)\n```"),
    ],
)
def test_a_link_leads_to_the_site_s_page(source: str, name: str, link: str, there: str) -> None:
    assert HOOKS["site_links"](link, source, name, {"docs/demo.png", "docs/api.md"}) == there


def test_a_flow_chart_becomes_lines() -> None:
    chart = '```mermaid\nflowchart TD\n    a["one"] --> b["two"]\n    b --> a\n```'
    assert HOOKS["_MERMAID"].sub(HOOKS["_as_text"], chart) == "```text\none  →  two\ntwo  →  one\n```"
