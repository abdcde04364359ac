#!/usr/bin/env python
"""Put the figures of docs/figures/*.json into the pages that quote them.

    python scripts/figures.py            # rewrites what stands between the markers of every page
    python scripts/figures.py --check    # changes nothing; exit code 1 where a page is out of date

A page names a figure in comments that are invisible once it is rendered:

    <!-- fig NAME:KEY .1f -->19.7<!-- /fig -->     one figure, in Python's format; without one, as it is
    <!-- table NAME:TABLE --> … <!-- /table -->    a table; the comments stand on lines of their own
    <!-- source NAME --> … <!-- /source -->        the date, the processor, the versions and the command; `NAME ko`
                                                   says it in Korean

KEY is a key of the file's values, or TABLE/ROW/COLUMN, a cell of one of its tables. ROW is the row's first cell and
COLUMN is the column's heading, in lower case, with "_" in place of all but letters and digits. KEY/interval is the 95%
interval of a figure that has one. CONTRIBUTING.md has the rules, under Figures.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
FIGURES = ROOT / "docs" / "figures"

MARKER = re.compile(r"<!-- (fig|table|source) (\S+?)(?: (\S+))? -->(.*?)<!-- /\1 -->", re.DOTALL)
FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)


class UnknownFigure(Exception):
    """A marker names a figure that no file in docs/figures has."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="name the pages that are out of date")
    options = parser.parse_args()
    stale = []
    for page in pages():
        text = page.read_text(encoding="utf-8")
        try:
            wanted = filled(text)
        except UnknownFigure as error:
            parser.error(f"{page.relative_to(ROOT)}: {error}")
        if wanted != text:
            stale.append(page)
            print(f"{'out of date' if options.check else 'wrote'}: {page.relative_to(ROOT)}")
            if not options.check:
                page.write_text(wanted, encoding="utf-8")
    raise SystemExit(1 if stale and options.check else 0)


def pages() -> list[Path]:
    """Return the pages that may quote figures."""
    docs = (path for path in (ROOT / "docs").rglob("*.md") if path.name != "api.md")
    return [*sorted(ROOT.glob("README*.md")), *sorted(docs), ROOT / "facegen" / "pretrained" / "card.md"]


def filled(text: str) -> str:
    """Return a page with the current figures between its markers. Code blocks stay as they are."""
    parts = FENCE.split(text)
    return "".join(part if place % 2 else MARKER.sub(_filled, part) for place, part in enumerate(parts))


def _filled(found: re.Match[str]) -> str:
    kind, target, style, _ = found.groups()
    opening = found[0].partition("-->")[0] + "-->"
    if kind == "fig":
        return f"{opening}{shown(value_of(target), style or '')}<!-- /fig -->"
    body = in_markdown(target) if kind == "table" else source_of(target, style or "en")
    return f"{opening}\n\n{body}\n\n<!-- /{kind} -->"


def markers(text: str) -> Iterator[tuple[str, str]]:
    """Yield the kind and target of each marker outside of code blocks."""
    for part in FENCE.split(text)[::2]:
        yield from ((found[1], found[2]) for found in MARKER.finditer(part))


@cache
def load(name: str) -> dict[str, Any]:
    path = FIGURES / f"{name}.json"
    if not path.is_file():
        raise UnknownFigure(f"There is no docs/figures/{name}.json.")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def value_of(address: str) -> Any:
    """Return the number or text at ``NAME:KEY`` or ``NAME:TABLE/ROW/COLUMN``; with ``/interval``, its 95% interval."""
    value = entry_at(address.removesuffix("/interval"))
    if not address.endswith("/interval"):
        return value[0] if isinstance(value, list) else value
    if not isinstance(value, list):
        raise UnknownFigure(f"{address} does not exist: the figure has no interval.")
    return value[1:]


def entry_at(address: str) -> Any:
    """Return what a file has at an address, with its interval. A reference to another file is followed."""
    name, _, key = address.partition(":")
    match key.split("/"):
        case [_]:
            return followed(_entry(load(name)["values"], key, f"{name}.json"))
        case [table, row, column]:
            return followed(_entry(_row(name, table, row), column, f"{name}:{table}"))
        case _:
            raise UnknownFigure(f"{address} is no address of a figure.")


def followed(value: Any) -> Any:
    """Return a value. If it is "=NAME:KEY", return what that file has."""
    return entry_at(value[1:]) if isinstance(value, str) and value.startswith("=") else value


def _row(name: str, table: str, row: str) -> dict[str, Any]:
    """Return the cells of a row by column."""
    found = _entry(load(name)["tables"], table, f"{name}.json")
    rows = {slug(cells[0]): cells for cells in found["rows"]}
    if len(rows) < len(found["rows"]):
        raise UnknownFigure(f"{name}:{table} has rows that begin alike, so none of its cells has an address.")
    return dict(zip(map(slug, found["columns"]), _entry(rows, row, f"{name}:{table}"), strict=True))


def _entry(entries: Mapping[str, Any], key: str, place: str) -> Any:
    if key not in entries:
        raise UnknownFigure(f"{place} has no {key!r}; it has {', '.join(entries)}.")
    return entries[key]


def slug(head: Any) -> str:
    """Return a row's or column's name as an address has it."""
    return "_".join(re.findall(r"[^\W_]+", str(head).lower()))


def shown(value: Any, style: str = "") -> str:
    """Return a value as a page has it: a pair is an interval, three numbers are a value with its interval."""
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        *single, low, high = (shown(part, style) for part in value)
        return f"{single[0]} ({low}–{high})" if single else f"{low}–{high}"
    return f"{value:{style}}" if style else f"{value:,}" if isinstance(value, int) else str(value)


def in_markdown(address: str) -> str:
    """Return the table at ``NAME:TABLE`` in Markdown. Columns without text are aligned to the right."""
    name, _, key = address.partition(":")
    found = _entry(load(name)["tables"], key, f"{name}.json")
    rows = [[followed(cell) for cell in row] for row in found["rows"]]
    numeric = [all(not isinstance(cell, str) for cell in column) for column in zip(*rows, strict=True)]
    lines = [found["columns"], ["--:" if number else "---" for number in numeric]]
    lines += [[shown(cell, style) for cell, style in zip(row, found["formats"], strict=True)] for row in rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def source_of(name: str, language: str = "en") -> str:
    """Return the line that says when, on what and by which command the figures of a file were measured."""
    found = load(name)
    names = {"python": "Python", "cuda": "CUDA"}
    known = [f"{names.get(package, package)} {release}" for package, release in found["versions"].items() if release]
    machine = ", ".join(filter(None, [found["processor"], *known]))
    command = f"`{found['command']}`" if found["command"] else ""
    if language == "ko":
        return f"측정: {', '.join(filter(None, [found['measured'], machine, command]))}."
    parts = [
        f"Measured on {found['measured']}",
        f" with {machine}" if machine else "",
        f", by {command}" if command else "",
    ]
    unknown = [what for what, is_known in (("processor", found["processor"]), ("versions", known)) if not is_known]
    notes = [f"The {' and the '.join(unknown)} were not noted." if unknown else "", found.get("note", "")]
    return " ".join(filter(None, ["".join(parts) + ".", *notes]))


if __name__ == "__main__":
    main()
