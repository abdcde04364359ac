#!/usr/bin/env python
"""Measure how often the 95% interval of the Fréchet distance holds the expected distance: a table in Markdown.

    python scripts/bench/coverage.py                                             # simulated features, 256 dims
    python scripts/bench/coverage.py --reference train.npy --population dcgan.npy other-real.npy
    python scripts/bench/coverage.py --pairs [--reference … --population …]      # differences, which decide ranks

Each line draws --repeats sets of N. The mean of their distances stands for the expected distance. The line counts the
intervals that hold it; "too low" and "too high" intervals lie below and above it. Features from files are float arrays
[n, D]. Sets of these are drawn without replacement from a finite population, where they vary less than sets of new
images, so each deviation from the mean is enlarged by 1/√(1 − N/population). The first 256 dims are used as well, for
N > D. "jackknife" and "influence" are the mean standard errors of the interval and of the plug-in influence function.
Both estimate the "deviation" beside them.

With --pairs each line draws sets of two populations and forms all pairs. It counts how often the interval of the
difference (:func:`facegen.metrics.paired.margins_of_difference`) holds the expected difference. "outranked" is how
often one set was found better than the other beyond the error. If both are of one population, that is always wrong; if
they are of two, it is how often the better one won. The last column is the same with half of the images in both sets.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from record import Cell, add_option, in_markdown, record, table, this_command
from scipy import linalg

from facegen.metrics.frechet import FrechetStatistics, frechet_distance, frechet_statistics
from facegen.metrics.interval import confidence_interval, leave_one_out
from facegen.metrics.paired import margins_of_difference

Features = npt.NDArray[np.floating]
Draw = Callable[[int, np.random.Generator], Features]
#: The columns of the two tables, and the formats of their numbers.
COLUMNS = {
    "features": "",
    "D": ",",
    "N": ",",
    "distance": ".2f",
    "deviation": ".3f",
    "jackknife": "",
    "influence": ".3f",
    "holds it": ".1%",
    "too low": ".1%",
    "too high": ".1%",
}
PAIR_COLUMNS = {
    "first": "",
    "second": "",
    "D": ",",
    "N": ",",
    "difference": ".2f",
    "deviation": ".3f",
    "holds it": ".1%",
    "outranked": ".1%",
    "half of the images in common: holds it": ".1%",
}
SIZES = (250, 500, 1000)
DIMS = 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", type=Path, help=".npy file of features")
    parser.add_argument("--population", type=Path, nargs="+", default=[], help=".npy files of features to draw from")
    parser.add_argument("--repeats", type=int, default=300)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="N")
    parser.add_argument("--pairs", action="store_true", help="measure differences of two sets")
    add_option(parser)
    options = parser.parse_args()
    if (options.reference is None) != (not options.population):
        parser.error("--reference and --population go together")
    columns = PAIR_COLUMNS if options.pairs else COLUMNS
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}", flush=True)
    rows = []
    for cells in of_pairs(options) if options.pairs else of_sets(options):
        rows.append(cells)
        print(in_markdown(cells, list(columns.values())), flush=True)
    if options.record:
        what = "a difference of two distances" if options.pairs else "a Fréchet distance"
        record(
            options.record,
            title=f"How often the 95% interval of {what} holds the expected one",
            command=this_command(),
            values={"repeats": options.repeats},
            tables={"pairs" if options.pairs else "intervals": table(columns, rows)},
        )


def of_sets(options: argparse.Namespace) -> Iterator[list[Cell]]:
    if options.reference is None:
        yield from simulated(options.repeats, options.sizes)
        return
    reference = np.load(options.reference)
    for path in options.population:
        population = np.load(path)
        for dims in (population.shape[1], DIMS):
            statistics = frechet_statistics(reference[:, :dims])
            for n in options.sizes:
                draw = drawn_from(population[:, :dims])
                yield row(path.stem, draw, statistics, n, options.repeats, share=n / len(population))


def drawn_from(population: Features) -> Draw:
    """Return a function that draws from features without replacement."""
    return lambda n, random: population[random.choice(len(population), n, replace=False)]


def simulated(repeats: int, sizes: Sequence[int]) -> Iterator[list[Cell]]:
    """Yield a line per kind of features with correlated columns: Gaussian, heavy-tailed, and as after a ReLU.

    The reference has 10,000 rows.
    """
    random = np.random.default_rng(0)
    mixing = random.normal(size=(DIMS, DIMS)) * np.exp(-3 * np.arange(DIMS) / DIMS) / np.sqrt(DIMS)
    real = frechet_statistics(random.normal(size=(10_000, DIMS)) @ mixing.T)
    rectified = frechet_statistics(np.maximum(random.normal(size=(10_000, DIMS)) @ mixing.T, 0))
    cases: dict[str, tuple[Draw, FrechetStatistics]] = {
        "Gaussian, as the reference": (lambda n, random: random.normal(size=(n, DIMS)) @ mixing.T, real),
        "Gaussian, 1.2 times as wide": (lambda n, random: 1.2 * random.normal(size=(n, DIMS)) @ mixing.T, real),
        "Laplace": (lambda n, random: random.laplace(size=(n, DIMS)) @ mixing.T, real),
        "Student's t, 5 degrees": (lambda n, random: random.standard_t(5, size=(n, DIMS)) @ mixing.T, real),
        "rectified": (lambda n, random: np.maximum(1.2 * random.normal(size=(n, DIMS)) @ mixing.T, 0), rectified),
    }
    for name, (draw, statistics) in cases.items():
        for n in sizes:
            yield row(name, draw, statistics, n, repeats)


def of_pairs(options: argparse.Namespace) -> Iterator[list[Cell]]:
    if options.reference is None:
        random = np.random.default_rng(0)
        mixing = random.normal(size=(DIMS, DIMS)) * np.exp(-3 * np.arange(DIMS) / DIMS) / np.sqrt(DIMS)
        statistics = frechet_statistics(random.normal(size=(10_000, DIMS)) @ mixing.T)
        wide: dict[str, tuple[Draw, float]] = {
            f"{scale:g} times as wide": (
                lambda n, random, scale=scale: scale * random.normal(size=(n, DIMS)) @ mixing.T,
                0.0,
            )
            for scale in (1.0, 1.1, 1.12)
        }
        populations = wide
    else:
        statistics = frechet_statistics(np.load(options.reference))
        features = {path.stem: np.load(path) for path in options.population}
        populations = {name: (drawn_from(each), 1 / len(each)) for name, each in features.items()}
    names = list(populations)
    for n in options.sizes:
        for i, first in enumerate(names):
            for second in names[i : i + 2]:
                yield pair_row(
                    (first, second), (populations[first], populations[second]), statistics, n, options.repeats
                )


def pair_row(
    names: tuple[str, str],
    populations: tuple[tuple[Draw, float], tuple[Draw, float]],
    reference: FrechetStatistics,
    n: int,
    repeats: int,
) -> list[Cell]:
    """Measure one line of the table of pairs.

    A draw takes a share of a finite population, so deviations are enlarged to make up for it.
    """
    random = np.random.default_rng(n)
    numbers = np.arange(2 * n, dtype=np.uint64)
    differences, margins, shared, shared_margins = [], [], [], []
    for _ in range(repeats):
        one, other = (draw(n, random).astype(np.float64) for draw, _ in populations)
        mixed = np.vstack([one[: n // 2], other[n // 2 :]])
        found = [leave_one_out(each, reference) for each in (one, other, mixed)]
        differences.append(found[1][0] - found[0][0])
        margins.append(margins_of_difference([found[0][1], found[1][1]], [numbers[:n], numbers[n:]])[0, 1])
        in_both = np.concatenate([numbers[: n // 2], numbers[n + n // 2 :]])
        shared.append(found[2][0] - found[0][0])
        shared_margins.append(margins_of_difference([found[0][1], found[2][1]], [numbers[:n], in_both])[0, 1])
    # Two independent draws: their variances add up, and so do the shares by which they are too small.
    share = n * max(share for _, share in populations)
    figures = []
    for values, widths in ((differences, margins), (shared, shared_margins)):
        deviations = (np.array(values) - np.mean(values)) / np.sqrt(1 - share)
        figures.append((deviations, np.mean(np.abs(deviations) <= np.array(widths))))
    outranked = np.mean(np.array(differences) > np.array(margins))
    outranked += np.mean(np.array(differences) < -np.array(margins)) if names[0] == names[1] else 0
    measured = [np.mean(differences), figures[0][0].std(ddof=1), figures[0][1], outranked, figures[1][1]]
    return [*names, len(reference.mu), n, *map(float, measured)]


def row(
    name: str,
    draw: Draw,
    reference: FrechetStatistics,
    n: int,
    repeats: int,
    share: float = 0.0,
) -> list[Cell]:
    """Measure one line of the table. ``share`` is the share of the population that one draw takes."""
    random = np.random.default_rng(n)
    values, lows, highs, errors, influences = [], [], [], [], []
    for _ in range(repeats):
        features = draw(n, random).astype(np.float64)
        values.append(frechet_distance(frechet_statistics(features), reference))
        interval = confidence_interval(features, reference)
        lows.append(interval.low)
        highs.append(interval.high)
        errors.append(interval.standard_error)
        influences.append(influence_error(features, reference) if n < features.shape[1] else np.nan)
    deviations = (np.array(values) - np.mean(values)) / np.sqrt(1 - share)
    below = deviations + np.array(highs) - np.array(values) < 0
    above = deviations + np.array(lows) - np.array(values) > 0
    shares = [1 - below.mean() - above.mean(), below.mean(), above.mean()]
    influence = None if np.isnan(influences).any() else float(np.mean(influences))
    jackknife = f"{np.mean(errors):.3f} ± {np.std(errors):.3f}"
    figures = [float(np.mean(values)), float(deviations.std(ddof=1)), jackknife, influence]
    return [name, len(reference.mu), n, *figures, *map(float, shares)]


def influence_error(features: Features, reference: FrechetStatistics) -> float:
    """Return the standard error by the plug-in influence function, for n < D.

    The function is 2dᵢᵀ(μ − μr) + ‖dᵢ‖² − (n − 1)·((FΣrFᵀ)^½)ᵢᵢ.
    """
    n = len(features)
    centred = features - features.mean(axis=0)
    eigenvalues, vectors = linalg.eigh(centred @ reference.sigma @ centred.T / (n - 1))
    diagonal = (vectors**2) @ np.sqrt(np.clip(eigenvalues, 0, None))
    shift = features.mean(axis=0) - reference.mu
    influence = 2 * centred @ shift + (centred**2).sum(axis=1) - (n - 1) * diagonal
    return float(influence.std() / np.sqrt(n))


if __name__ == "__main__":
    main()
