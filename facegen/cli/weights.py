"""``facegen weights``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from facegen import console
from facegen.errors import EnvironmentProblem, InputError
from facegen.extractors.table import DEFAULT, Extractor, extractors
from facegen.weights.source import Installed


@click.command()
@click.argument("name", required=False, metavar="[EXTRACTOR]")
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path),
    help="Install this file, which was downloaded on another machine.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def weights(name: str | None, source: Path | None, as_json: bool) -> None:
    """Show where an extractor's weights are and check their sha256. The default extractor is Inception.

    Missing weights are downloaded (Inception's have 96 MB), and a partial download is continued. FACEGEN_OFFLINE=1
    forbids downloads. A copy that pytorch-fid left in torch hub's folder is used where it is. The exit code is 0 if
    the weights are installed and right. Without a name, the weights of all extractors are listed, but only
    Inception's are downloaded.
    """
    entry = extractors().get(name or DEFAULT)
    if entry is None:
        raise InputError(f"There is no extractor {name!r}.", f"Choose one of: {', '.join(extractors())}.")
    problem: EnvironmentProblem | None = None
    found: Installed | None = None
    try:
        found = entry.weights.install(source) if source is not None else entry.weights.find() or entry.weights.ensure()
    except EnvironmentProblem as caught:
        problem = caught
    listed = [_row(other, found if other == entry else None) for other in extractors().values()] if name is None else []
    if as_json:
        answer: dict[str, Any] = {
            "path": None if found is None else str(found.path),
            "sha256": None if found is None else found.sha256,
            "right": found is not None and found.right,
            "name": _name(entry, found),
            "published_sha256": entry.weights.sha256,
            "licence": entry.licence,
        }
        console.result_json({"schema": 1, **answer, **({"extractors": listed} if name is None else {})})
    else:
        if found is not None:
            verdict = "right" if found.right else f"wrong: not {entry.weights.sha256}"
            console.result(str(found.path), f"sha256 {found.sha256} ({verdict})")
        for row in listed:
            place = f"{row['path'] or row['source']}; licence: {row['licence']}"
            console.result(f"{row['extractor']:<13} {row['state']:<13} {place}")
    if problem is not None:
        raise problem
    if found is not None and not found.right:
        raise EnvironmentProblem(f"{found.path} is not the published {_name(entry, found)}.", entry.weights.reinstall)


def _row(entry: Extractor, found: Installed | None) -> dict[str, Any]:
    """Describe an extractor's weights without downloading them."""
    found = found or entry.weights.find()
    return {
        "extractor": entry.name,
        "state": "not installed" if found is None else "right" if found.right else "wrong",
        "path": None if found is None else str(found.path),
        "sha256": None if found is None else found.sha256,
        "published_sha256": entry.weights.sha256,
        "source": entry.weights.source,
        "licence": entry.licence,
    }


def _name(entry: Extractor, found: Installed | None) -> str | None:
    """Return the published name of the file, else facegen's name of it."""
    return entry.weights.name or (None if found is None else found.path.name)
