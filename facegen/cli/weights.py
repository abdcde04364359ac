"""``facegen weights``."""

from __future__ import annotations

from pathlib import Path

import click

from facegen import console
from facegen.errors import EnvironmentProblem
from facegen.weights.published import INCEPTION, ensure_weights, find_weights, install_weights


@click.command()
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path),
    help="Install this file, fetched elsewhere, for a machine without a network.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
def weights(source: Path | None, as_json: bool) -> None:
    """Say where the Inception weights of FID are and whether their sha256 is right.

    Where they are missing they are downloaded (96 MB), going on from a partial download; FACEGEN_OFFLINE=1 forbids it.
    A copy that pytorch-fid left in torch hub's folder is used where it is. Exit code 0: they are there and right.
    """
    if source is not None:
        found = install_weights(source, INCEPTION)
    else:
        found = find_weights(INCEPTION) or ensure_weights(INCEPTION)
    if as_json:
        answer = {"path": str(found.path), "sha256": found.sha256, "right": found.right}
        console.result_json({"schema": 1, **answer, "name": INCEPTION.name, "published_sha256": INCEPTION.sha256})
    else:
        verdict = "right" if found.right else f"wrong: not {INCEPTION.sha256}"
        console.result(f"{found.path}\nsha256 {found.sha256} ({verdict})")
    if not found.right:
        raise EnvironmentProblem(
            f"{found.path} is not the published {INCEPTION.name}.",
            "Delete it and run 'facegen weights' again, or install a right one with --from.",
        )
