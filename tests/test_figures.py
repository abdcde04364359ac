"""The figures of the pages: each is in a file of docs/figures/, and a page has what the file has."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

from facegen.training.known_curves import KNOWN_CURVES

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "docs" / "figures").glob("*.json"))
FIELDS = ["schema", "title", "measured", "processor", "versions", "command", "values", "tables"]

#: What reads as a measured figure: a score, a speed, a factor, a time that something took, memory.
TYPED = re.compile(
    r"(?:≈?FID|FD) \d[\d.,]*\b|FI?D of \d+\.\d|(?<!\d)×\d[\d.]*|\d[\d.,]* (?:images/s|images (?:a|per) second|kimg/s)\b"
    r"|\d[\d.]* times as (?:fast|quick)|\d[\d.]* [MG]i?B of memory"
    r"|(?:took|takes?)(?: about| only)? [\d½][\d.,]*½? (?:s|seconds|min|minutes|hours)\b"
)
#: By page, what is no measurement of facegen: a target, a limit, an example, what a paper says.
DEFINITIONS = {"docs/notebook.md": {"×2"}, "README.md": {"FID 20"}}  # two GPUs; the target

SPEC = importlib.util.spec_from_file_location("figures", ROOT / "scripts" / "figures.py")
assert SPEC is not None and SPEC.loader is not None
figures = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(figures)

PAGES = [str(path.relative_to(ROOT)) for path in figures.pages()]
#: Pages whose figures need markers: not translations, which repeat them, nor the two pages made from docstrings.
ENGLISH = [page for page in PAGES if re.fullmatch(r"README\.md|docs/(?!api|cli)[\w-]+\.md|.*card\.md", page)]


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def record(bench: Callable[[str], ModuleType]) -> ModuleType:
    return bench("record")


@pytest.mark.parametrize("page", PAGES)
def test_a_page_has_what_the_files_have(page: str) -> None:
    assert text_of(page) == figures.filled(text_of(page)), "Run scripts/figures.py."


@pytest.mark.parametrize("page", PAGES)
def test_no_line_begins_with_a_figure(page: str) -> None:
    """Markdown takes such a line for HTML and ends the paragraph before it."""
    assert re.findall(r"^ {0,3}(?:[-*] +)?<!-- fig .*$", text_of(page), re.MULTILINE) == []


@pytest.mark.parametrize("page", ENGLISH)
def test_no_figure_is_typed(page: str) -> None:
    assert [figure for figure in typed(text_of(page)) if figure not in DEFINITIONS.get(page, ())] == []


def typed(text: str) -> list[str]:
    """Return what reads as a measured figure and is neither between markers nor in code."""
    text = re.sub(r"^```.*?^```$|`[^`\n]+`", "", text, flags=re.MULTILINE | re.DOTALL)
    return TYPED.findall(figures.MARKER.sub("", text))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("It scores ≈FID 19.7 after 370 kimg.", ["≈FID 19.7"]),
        ("It scores ≈FID <!-- fig a:b -->19.7<!-- /fig -->.", []),
        ("At 42 images/s it takes 4½ minutes.", ["42 images/s", "takes 4½ minutes"]),
        ("It needs 1.5 GiB of memory for images of 64×64.", ["1.5 GiB of memory"]),
        ("```\n20 images/s\n```\nThis is ×3.2, by `FID 3`.", ["×3.2"]),
    ],
)
def test_a_typed_figure_is_seen(text: str, found: list[str]) -> None:
    assert typed(text) == found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
class TestFile:
    def test_it_says_when_on_what_and_by_which_command(self, path: Path) -> None:
        found = json.loads(path.read_text(encoding="utf-8"))
        assert list(found)[: len(FIELDS)] == FIELDS and set(found) - set(FIELDS) <= {"note", "data"}
        assert found["schema"] == 1 and re.fullmatch(r"20\d\d-[01]\d-[0-3]\d", found["measured"])
        assert "python" in found["versions"] and (found["command"] or found["note"])
        for table in found["tables"].values():
            assert {len(row) for row in table["rows"]} == {len(table["columns"])} == {len(table["formats"])}

    def test_the_script_of_its_command_exists(self, path: Path) -> None:
        command = json.loads(path.read_text(encoding="utf-8"))["command"] or ""
        assert [name for name in re.findall(r"scripts/[\w./-]+", command) if not (ROOT / name).is_file()] == []

    def test_a_page_quotes_it(self, path: Path) -> None:
        assert path.stem in quoted()

    def test_it_is_laid_out_as_record_writes_it(self, path: Path, record: ModuleType) -> None:
        text = path.read_text(encoding="utf-8")
        assert text == record.in_json(json.loads(text)) + "\n"


@cache
def quoted() -> set[str]:
    """Return the names of the files that pages quote, and of those that these files refer to."""
    names = {target.partition(":")[0] for page in PAGES for _, target in figures.markers(text_of(page))}
    texts = [path.read_text(encoding="utf-8") for path in FILES if path.stem in names]
    return names | {name for text in texts for name in re.findall(r'"=([\w-]+):', text)}


RECORD = {
    "measured": "2026-01-02",
    "processor": "1 core",
    "versions": {"python": "3.11", "torch": None},
    "command": "python scripts/bench/a.py",
    "values": {"fid": [19.66, 19.2, 20.3], "count": 15978, "same": "=a:points/370_kimg/fid"},
    "tables": {
        "points": {
            "columns": ["length", "≈FID"],
            "formats": ["", ".1f"],
            "rows": [["370 kimg", "=a:fid"], ["400 kimg", None]],
        }
    },
}


class TestMarkers:
    @pytest.fixture
    def fill(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
        """Fill a page from RECORD, which is named ``a``."""
        (tmp_path / "a.json").write_text(json.dumps(RECORD), encoding="utf-8")
        monkeypatch.setattr(figures, "FIGURES", tmp_path)
        figures.load.cache_clear()
        yield figures.filled
        figures.load.cache_clear()

    @pytest.mark.parametrize(
        ("marker", "shown"),
        [
            ("fig a:fid .1f", "19.7"),
            ("fig a:fid/interval .1f", "19.2–20.3"),
            ("fig a:count", "15,978"),
            ("fig a:same .0f", "20"),
            ("fig a:points/400_kimg/fid", "–"),
            (
                "table a:points",
                "\n\n| length | ≈FID |\n| --- | --: |\n| 370 kimg | 19.7 (19.2–20.3) |\n| 400 kimg | – |\n\n",
            ),
            ("source a", "\n\nMeasured on 2026-01-02 with 1 core, Python 3.11, by `python scripts/bench/a.py`.\n\n"),
            ("source a ko", "\n\n측정: 2026-01-02, 1 core, Python 3.11, `python scripts/bench/a.py`.\n\n"),
        ],
    )
    def test_what_is_put_between_them(self, fill: Callable[[str], str], marker: str, shown: str) -> None:
        kind = marker.split()[0]
        page = f"before <!-- {marker} -->old<!-- /{kind} --> after"
        assert fill(page) == f"before <!-- {marker} -->{shown}<!-- /{kind} --> after"
        assert fill(f"```\n{page}\n```") == f"```\n{page}\n```"

    @pytest.mark.parametrize(
        ("target", "said"),
        [
            ("b:fid", "There is no docs/figures/b.json"),
            ("a:absent", "a.json has no 'absent'; it has fid, count, same"),
            ("a:points/410_kimg/fid", "a:points has no '410_kimg'"),
            ("a:points/370_kimg/fd", "a:points has no 'fd'"),
            ("a:points/370_kimg", "is no address of a figure"),
            ("a:count/interval", "the figure has no interval"),
        ],
    )
    def test_an_address_without_a_figure_is_an_error(self, fill: Callable[[str], str], target: str, said: str) -> None:
        with pytest.raises(figures.UnknownFigure, match=said):
            fill(f"<!-- fig {target} --><!-- /fig -->")


def test_what_is_recorded_has_every_field(record: ModuleType, tmp_path: Path) -> None:
    points = record.table({"kimg": "", "≈FID": ".1f"}, [[370, [19.7, 19.2, 20.3]]])
    path = record.record(
        "a", title="A", command="scripts/demo", values={"n": 1}, tables={"points": points}, folder=tmp_path
    )
    found = json.loads(path.read_text(encoding="utf-8"))
    assert list(found) == FIELDS and set(found["versions"]) == {"python", "torch"}
    assert "core" in found["processor"]


def test_the_known_curve_is_that_of_the_page() -> None:
    rows = [
        *figures.load("laptop")["tables"]["runs"]["rows"],
        *figures.load("laptop-shipped")["tables"]["runs"]["rows"],
    ]
    measured = {kimg: fid[0] for kimg, _, fid, *_ in rows if isinstance(fid, list)}
    curve = KNOWN_CURVES["laptop"]
    assert {kimg: measured[kimg] for kimg, _ in curve.points} == dict(curve.points)
    assert curve.target == figures.value_of("laptop-shipped:pass")


def test_the_card_of_the_generator_that_ships_has_the_figures_of_its_run() -> None:
    """scripts/pretrained.py writes its table, from the scores alone."""
    value, low, high = figures.entry_at("laptop-shipped:runs/1010/fid")
    (found,) = re.findall(
        r"inception-custom FD \| ([\d.]+) \| ([\d.]+) to ([\d.]+)", text_of("facegen/pretrained/card.md")
    )
    assert [round(float(each), 1) for each in found] == [value, low, high]
