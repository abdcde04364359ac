"""The pages of the project: links, commands, files, fields and names that exist, the API's page, the glossary."""

from __future__ import annotations

import ast
import re
import runpy
import shlex
from functools import cache
from importlib import import_module
from pathlib import Path

import click
import pytest

from facegen.cli import main
from facegen.cli.root import COMMANDS
from facegen.extractors.table import extractors

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    str(path.relative_to(ROOT))
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "submissions").glob("*.md"))
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


def test_the_way_from_a_path_to_pixels_names_every_module_of_data() -> None:
    there = {path.stem for path in (ROOT / "facegen" / "data").iterdir() if not path.name.startswith("_")}
    assert there - set(re.findall(r"`(\w+)/?`", section(ARCHITECTURE, "From a path to pixels"))) == set()


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    targets = re.findall(r"\]\(([^()\s]+)\)", text_of(page))
    assert [target for target in targets if not leads_somewhere(page, target)] == []


@pytest.mark.parametrize("page", PAGES)
def test_a_picture_has_words(page: str) -> None:
    assert re.findall(r"!\[\s*\]\([^)]*\)", text_of(page)) == []


def test_links_to_other_sites_are_addresses() -> None:
    """Whether they answer, scripts/links.py asks."""
    found = runpy.run_path(str(ROOT / "scripts" / "links.py"))["addresses"]()
    whole = re.compile(r"https://[\w.-]+\.[a-z]+(/[^\s<>]*)?")
    assert found and [address for address in found if not whole.fullmatch(address)] == []


@pytest.mark.parametrize("target", ["absent.md", "README.md#absent", "#absent"])
def test_a_link_into_nothing_is_seen(target: str) -> None:
    assert not leads_somewhere("README.md", target)


@pytest.mark.parametrize("page", ["docs/architecture.md", "docs/api.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_the_readme_links_each_page_for_who_carries_on(page: str) -> None:
    assert f"]({page})" in text_of("README.md")


@pytest.mark.parametrize("name", ["api", "cli"])
def test_a_generated_page_is_what_its_script_writes(name: str) -> None:
    script = ROOT / "scripts" / f"{name}.py"
    assert text_of(f"docs/{name}.md") == runpy.run_path(str(script))["page"](), f"run scripts/{name}.py"


@cache
def options_of(command: str) -> frozenset[str]:
    """The options of a command, and those of facegen itself for an empty name."""
    found = main if not command else main.get_command(click.Context(main), command)
    assert found is not None
    return frozenset(
        {"--help", "-h", *(name for option in found.params for name in (*option.opts, *option.secondary_opts))}
    )


def commands_in(text: str) -> list[str]:
    """What stands in code and calls ``facegen``: lines of blocks for a shell, and code within lines."""
    prose, lines = [], []
    for place, part in enumerate(re.split(r"^```", text, flags=re.MULTILINE)):
        if place % 2 == 0:
            prose.append(part)
        elif part.startswith(("\n", "sh\n", "console\n", "bat\n", "powershell\n")):
            lines += part.splitlines()
    lines += re.findall(r"`([^`\n]+)`", "\n".join(prose))
    calls = r"(?:\$ )?(?:\w+=\S+ )*(?:(?:torchrun|python|docker run) .*)?facegen ([a-z-].*)"
    return [found[1] for line in lines if (found := re.fullmatch(calls, line))]


def faults_of(call: str) -> list[str]:
    """The words behind ``facegen`` that name no command, and options that their command has not."""
    words = shlex.split(call.partition(" | ")[0], comments=True)
    values = {place + 1 for place, word in enumerate(words) if word in ("--config", "--lang")}
    own = next((i for i, word in enumerate(words) if not word.startswith("-") and i not in values), len(words))
    command = words[own] if own < len(words) else ""
    if command and command not in COMMANDS:
        return [command]
    given = [(word, options_of("" if place < own else command)) for place, word in enumerate(words) if word[0] == "-"]
    return [f"{command} {word}".strip() for word, known in given if word.partition("=")[0] not in known]


@pytest.mark.parametrize("page", PAGES)
def test_commands_and_their_options_exist(page: str) -> None:
    assert [fault for call in commands_in(text_of(page)) for fault in faults_of(call)] == []


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("`facegen frid a`", ["frid"]),
        ("```sh\nfacegen pack a b --outt c\n```", ["pack --outt"]),
        ("`facegen --help`, `facegen --hepl`", ["--hepl"]),
        ("```\n$ python -m facegen --colour fid a\n```", ["fid --colour"]),
        ("`facegen -q --lang ko fid a --json`, `facegen train --kimg=3  # --absent`", []),
    ],
)
def test_a_command_that_there_is_not_is_seen(text: str, faults: list[str]) -> None:
    assert [fault for call in commands_in(text) for fault in faults_of(call)] == faults


def test_the_readme_has_each_command_once() -> None:
    assert sorted(re.findall(r"^\| `facegen (\w+)` \|", text_of("README.md"), re.MULTILINE)) == sorted(COMMANDS)


#: A changelog names what went, too; the API's page is written from docstrings.
@pytest.mark.parametrize("page", [page for page in PAGES if page not in ("CHANGELOG.md", "docs/api.md")])
def test_files_that_are_named_exist(page: str) -> None:
    named = set(re.findall(r"`((?:facegen|scripts|tests|docs)/[\w./-]+)`", text_of(page)))
    assert [name for name in sorted(named) if "NAME" not in name and not (ROOT / name).exists()] == []


def exists(name: str) -> bool:
    """Whether a full name is a module, or something in one."""
    module, _, attribute = name.rpartition(".")
    if (ROOT / name.replace(".", "/")).is_dir() or (ROOT / f"{name.replace('.', '/')}.py").is_file():
        return True
    return bool(module) and exists(module) and hasattr(import_module(module), attribute)


@pytest.mark.parametrize("page", [page for page in PAGES if page != "CHANGELOG.md"])
def test_names_of_python_exist(page: str) -> None:
    """Full names within code; and, in blocks of Python, what is imported from facegen and taken of it."""
    text = text_of(page)
    names = set(re.findall(r"`(facegen(?:\.[A-Za-z_]\w*)+)(?=[`(])", text)) - {"facegen.toml"}
    for block in re.findall(r"^```python\n((?:#|import|from|\"\"\").*?)^```$", text, re.MULTILINE | re.DOTALL):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] == "facegen":
                names |= {f"{node.module}.{alias.name}" for alias in node.names}
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "facegen":
                names.add(f"facegen.{node.attr}")
    assert [name for name in sorted(names) if not exists(name)] == []


def test_a_name_that_there_is_not_is_seen() -> None:
    assert exists("facegen.gan.losses.LOSSES") and not exists("facegen.gan.loss") and not exists("facegen.fidd")


def test_the_page_of_a_recipes_fields_is_what_the_script_writes() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "recipe_fields.py"))
    assert text_of("docs/recipe-fields.md") == script["page"](), "run scripts/recipe_fields.py"


@pytest.mark.parametrize("name", extractors())
def test_an_extractor_has_its_row(name: str) -> None:
    assert f"\n| `{name}` | " in section("docs/score.md", "Which network is used")


@cache
def sentences_of_the_code() -> str:
    """Every text of the package's code, with ``…`` for what is filled in, a line each."""
    texts = []
    for path in sorted((ROOT / "facegen").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values]
                texts.append("".join(parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return "\n".join(" ".join(text.split()) for text in texts)


def not_in_the_code(quote: str) -> list[str]:
    """The parts of a quoted message that no text of the code has; ``…`` stands for any text."""
    parts = [part.strip() for part in re.split(r"…|(?<=\.) ", quote)]
    return [part for part in parts if part and part not in sentences_of_the_code()]


def test_messages_that_troubleshooting_quotes_are_in_the_code() -> None:
    quotes = re.findall(r"^ *> (.+)$", text_of("docs/troubleshooting.md"), re.MULTILINE)
    assert len(quotes) > 20 and {quote: part for quote in quotes if (part := not_in_the_code(quote))} == {}


def test_a_message_that_there_is_not_is_seen() -> None:
    assert not_in_the_code("A batch of … images does not fit into …") == []
    assert not_in_the_code("A batch of … pictures does not fit into …") == ["pictures does not fit into"]


class TestArchitecture:
    def test_folders_of_files_to_be_named_exist(self) -> None:
        folders = {
            Path(name).parent
            for name in re.findall(r"`((?:facegen|tests)/[\w./]*NAME\.\w+)`", text_of("docs/extending.md"))
        }
        assert folders and [str(folder) for folder in folders if not (ROOT / folder).is_dir()] == []

    def test_every_subpackage_and_top_module_is_in_the_picture(self) -> None:
        table = section(ARCHITECTURE, "The picture")
        present = {path.stem for path in (ROOT / "facegen").iterdir() if path.suffix == ".py" or path.is_dir()}
        assert {name for name in present if not name.startswith("__") and f"`{name}`" not in table} == set()


def test_the_glossary_is_sorted_and_has_a_term_in_both_languages_and_whole_sentences() -> None:
    tables = re.split(r"^## .+$", text_of("docs/glossary.md"), flags=re.MULTILINE)[1:]
    for table in tables:
        rows = [line for line in table.splitlines() if line.startswith("| **")]
        entries = [re.fullmatch(r"\| \*\*(.+)\*\* \| (\S.*?) \| ([A-Z].*\.) \|", row) for row in rows]
        assert entries and None not in entries, rows
        terms = [entry[1] for entry in entries if entry]
        assert terms == sorted(terms, key=str.lower)


def translated(page: str) -> tuple[list[str], list[str], list[str]]:
    """The blocks of code of a page, its pictures, and the levels of its headings."""
    text = text_of(page)
    blocks = re.findall(r"^```.*?^```$", text, re.MULTILINE | re.DOTALL)
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    pictures = [Path(target).name for target in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", prose)]
    return blocks, pictures, re.findall(r"^(#+) ", prose, re.MULTILINE)


@pytest.mark.parametrize("chapter", sorted(path.name for path in (ROOT / "docs" / "tutorial").glob("*.md")))
def test_the_korean_tutorial_has_the_blocks_pictures_and_headings_of_the_english_one(chapter: str) -> None:
    assert translated(f"docs/ko/tutorial/{chapter}") == translated(f"docs/tutorial/{chapter}")
