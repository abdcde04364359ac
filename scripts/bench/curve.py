#!/usr/bin/env python
"""Measure the Fréchet distance of generators against kimg, and the floor of held-out images: a table, JSON and a plot.

    python scripts/bench/curve.py snapshots/*.safetensors --reference train --heldout valid --out docs/curve

Each generator draws 1,000 images (seed 0), which are scored as `facegen fid` scores them. The floor is the mean score
of disjoint draws of 1,000 held-out real images against the same reference. The plot needs matplotlib (`pip install -e
'.[dev]'`).
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from record import record, table, this_command

from facegen import sample
from facegen.data.dataset import FaceDataset
from facegen.data.images import open_images
from facegen.scoring.scorer import SetScorer, open_scorer
from facegen.training.saved_generator import load_generator

if TYPE_CHECKING:
    from matplotlib.figure import Figure

N = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("generators", nargs="+", type=Path)
    parser.add_argument("--reference", type=Path, required=True)
    parser.add_argument("--heldout", type=Path, help="dataset of real images that are not in the reference")
    parser.add_argument("--extractor", choices=("inception", "effnet-lite0"), default="effnet-lite0")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="writes OUT.png, and figures/NAME.json beside it")
    options = parser.parse_args()
    extractor = None if options.weights else options.extractor
    scorer = open_scorer(options.reference, extractor=extractor, weights=options.weights)
    print(f"{scorer.description}, {N:,} images each", flush=True)
    floor = heldout_floor(scorer, options.heldout) if options.heldout else None
    if floor:
        print(
            f"floor {np.mean(floor):.2f}: held-out real images, draws {[round(value, 2) for value in floor]}",
            flush=True,
        )
    points = []
    for path in options.generators:
        points.append((load_generator(path).kimg, score(scorer, path)))
        print(f"kimg {points[-1][0]:8.3f}  {points[-1][1]:8.2f}", flush=True)
    points.sort()
    distance, _, _ = scorer.description.partition(" against")
    record(
        options.out.name,
        title=f"{distance} of {N:,} generated images against kimg",
        command=this_command(),
        values={"floor": float(np.mean(floor))} if floor else {},
        tables={"points": table({"kimg": ".0f", distance: ".1f"}, points)},
        data={"measure": scorer.description, "n": N, "floor": floor, "points": points},
        folder=options.out.parent / "figures",
    )
    figure = plot({"kimg": {f"{N:,} generated images": points}}, float(np.mean(floor)) if floor else None, distance)
    figure.axes[0].set_title(scorer.description)
    figure.savefig(options.out.with_suffix(".png"), dpi=120)


def heldout_floor(scorer: SetScorer, heldout: Path) -> list[float]:
    """Return the scores of as many disjoint draws as the held-out images allow."""
    images = FaceDataset.open(heldout).images
    order = np.random.default_rng(0).permutation(len(images))
    draws = [np.sort(order[first : first + N]) for first in range(0, len(order) - N + 1, N)]
    return [scorer.score(images[rows]).value for rows in draws]


def score(scorer: SetScorer, generator: Path) -> float:
    with tempfile.TemporaryDirectory() as work:
        drawn = sample(generator, Path(work) / "images", n=N)
        return scorer.score_collection(open_images(drawn.images)).value


def plot(
    panels: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]], floor: float | None, distance: str
) -> Figure:
    """Plot curves of a distance on a logarithmic scale with the line of its floor, one panel per x axis.

    Args:
        panels: Label of the x axis → label of a curve → its points (x, distance).
        floor: Score of held-out real images; None if it was not measured.
        distance: Label of the y axis.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (axes,) = pyplot.subplots(
        1, len(panels), figsize=(3 + 4 * len(panels), 4), layout="constrained", sharey=True, squeeze=False
    )
    for axis, (against, curves) in zip(axes, panels.items(), strict=True):
        for label, points in curves.items():
            axis.plot(*zip(*points, strict=True), marker="o", label=label)
        if floor is not None:
            axis.axhline(floor, color="grey", linestyle="--", label=f"{N:,} held-out real images")
        axis.set(xlabel=against, yscale="log")
        axis.grid(visible=True, which="both", alpha=0.3)
    axes[0].set_ylabel(distance)
    axes[0].legend()
    return figure


if __name__ == "__main__":
    main()
