"""Write the figures of a measurement to docs/figures/NAME.json, with the machine, the versions and the date.

A script in scripts/bench/ calls :func:`record` with what it measures for the pages. `python scripts/figures.py` then
puts the figures into the pages. CONTRIBUTING.md has the rules, under Figures.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import re
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from facegen.files import write_text

FIGURES = Path(__file__).parents[2] / "docs" / "figures"
#: Lists longer than this as JSON have a line for each item.
WIDTH = 140

#: A number, a number with its 95% interval [value, low, high], a short text, "=NAME:ADDRESS" for a value that another
#: file has, or None where nothing was measured.
Cell = float | str | list[float] | None
Table = dict[str, Any]


def table(columns: Mapping[str, str], rows: Sequence[Sequence[Cell]]) -> Table:
    """Return a table for :func:`record`.

    Args:
        columns: The heading of each column, and the format of its numbers, such as ``".1f"``; empty leaves them as they
            are.
        rows: The cells. The first cell names the row.
    """
    return {"columns": list(columns), "formats": list(columns.values()), "rows": [list(row) for row in rows]}


def record(
    name: str,
    *,
    title: str,
    command: str,
    values: Mapping[str, Cell] | None = None,
    tables: Mapping[str, Table] | None = None,
    data: Any = None,
    packages: Sequence[str] = ("torch",),
    folder: Path = FIGURES,
) -> Path:
    """Write ``folder/name.json`` and return its path.

    Args:
        title: What was measured, as a noun phrase.
        command: The command that measures it again, from the root of the repository.
        values: Single figures by key.
        tables: Tables by name, made by :func:`table`.
        data: Raw measurements that the script reads again, such as the points of a plot.
        packages: The packages whose versions matter, beside Python's.
    """
    found = {
        "schema": 1,
        "title": title,
        "measured": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "processor": processor(),
        "versions": {"python": platform.python_version(), **{name: release(name) for name in packages}},
        "command": command,
        "values": dict(values or {}),
        "tables": dict(tables or {}),
    }
    if data is not None:
        found["data"] = data
    path = folder / f"{name}.json"
    folder.mkdir(parents=True, exist_ok=True)
    write_text(path, in_json(found) + "\n")
    return path


def add_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--record NAME`` to a script's options."""
    parser.add_argument("--record", metavar="NAME", help="write the figures to docs/figures/NAME.json")


def in_markdown(cells: Sequence[Cell], formats: Sequence[str]) -> str:
    """Return a row of a table as a line of Markdown, for the console."""
    shown = (
        "" if cell is None else cell if isinstance(cell, str) else f"{cell:{style}}"
        for cell, style in zip(cells, formats, strict=True)
    )
    return f"| {' | '.join(shown)} |"


def read_data(name: str, folder: Path = FIGURES) -> Any:
    """Return the raw measurements of ``folder/name.json``; an empty dict if the file does not exist."""
    path = folder / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))["data"] if path.is_file() else {}


def this_command() -> str:
    """Return the command of the script in scripts/bench/ that is running, from the root of the repository."""
    return " ".join(["python", f"scripts/bench/{Path(sys.argv[0]).name}", *sys.argv[1:]])


def in_json(value: Any, indent: str = "") -> str:
    """Return a record as JSON, with a line for each key and for each row of a table."""
    line = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, (dict, list)) or not value or ("{" not in line and len(line) < WIDTH):
        return line
    inner = indent + " "
    if isinstance(value, dict):
        lines = [f"{inner}{json.dumps(key, ensure_ascii=False)}: {in_json(item, inner)}" for key, item in value.items()]
    else:
        lines = [inner + in_json(item, inner) for item in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return "\n".join((opening, ",\n".join(lines), indent + closing))


def release(package: str) -> str:
    """Return the version of an installed package, without what follows a plus sign."""
    return version(package).partition("+")[0]


def processor() -> str:
    """Return a description of this machine's processor: cores, model, fast number formats, and GPU."""
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").is_file() else ""
    named = re.search(r"^model name\s*: (.+)$", info, re.MULTILINE)
    model = re.sub(
        r"\((?:R|TM)\)|\s+(?:Processor|CPU)\b", "", named[1] if named else platform.processor() or "processor"
    )
    flags = set(re.findall(r"\b(?:avx2|avx512f|avx512_bf16|amx_bf16)\b", info))
    quick = "AVX-512" if "avx512f" in flags else "AVX2" if "avx2" in flags else ""
    quick += " BF16" if "avx512_bf16" in flags else ""
    quick += " and AMX" if "amx_bf16" in flags else ""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    words = f"{cores} cores of {model}" if cores != 1 else f"1 core of {model}"
    return words + (f" ({quick})" if quick else "") + gpu()


def gpu() -> str:
    import torch

    return f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
