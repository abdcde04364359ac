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
    help="Install this file, fetched elsewhere, for a machine without a network.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
def weights(name: str | None, source: Path | None, as_json: bool) -> None:
    """Say where an extractor's weights are and whether their sha256 is right: Inception's, unless you name another.

    Where they are missing they are downloaded (Inception's are 96 MB), going on from a partial download;
    FACEGEN_OFFLINE=1 forbids it. A copy that pytorch-fid left in torch hub's folder is used where it is. Exit code 0:
    they are there and right. Without a name, all extractors' weights are listed too; none but Inception's are
    downloaded.
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
    """What is known of an extractor's weights, without downloading them."""
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
    """The name of the file as it was published, else its name here."""
    return entry.weights.name or (None if found is None else found.path.name)
