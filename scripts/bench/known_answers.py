#!/usr/bin/env python
"""Ask the score questions with known answers: plots and JSON of how it moves when real faces are damaged.

    facegen prepare img_align_celeba.zip celeba && python scripts/bench/known_answers.py celeba --out docs/known-celeba
    facegen prepare synthetic:3000 faces && \\
        python scripts/bench/known_answers.py faces --reference 2000 -n 300 --out docs/known-synthetic

Real images are shuffled with a seed and split into a reference and a held-out rest. N held-out images are blurred, made
noisy, compressed, deprived of modes (clusters of their 8×8 thumbnails), or replaced by copies of reference images. The
Fréchet distance must rise with every step of damage. It must fall with copies, and there the memorization panel must
turn red. N untouched held-out images must stay green in 99 of 100 draws. Features are effnet-lite0's. Those of some
30,000 images take ten minutes or more, and `--features FOLDER` keeps them. The plot needs matplotlib.
"""

from __future__ import annotations

import argparse
import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter
from record import record, this_command
from scipy.cluster.vq import kmeans2

from facegen.data.images import open_images
from facegen.extractors.feature_extractor import FeatureExtractor
from facegen.extractors.opening import open_extractor
from facegen.metrics.frechet import FrechetStatistics, frechet_distance, frechet_statistics
from facegen.metrics.memorization import memorization

Pixels = np.ndarray  # uint8 [H, W, 3]


def blurred(image: Pixels, sigma: float) -> Pixels:
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(sigma)))


def noisy(image: Pixels, sigma: float) -> Pixels:
    """Add noise that is the same for the same image and scales with ``sigma``. Steps differ in nothing else."""
    noise = np.random.default_rng(int(image.sum())).normal(size=image.shape)
    return np.clip(image + sigma * noise, 0, 255).round().astype(np.uint8)


def compressed(image: Pixels, quality: float) -> Pixels:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=int(quality))
    return np.asarray(Image.open(file))


def mirrored(image: Pixels) -> Pixels:
    return np.ascontiguousarray(image[:, ::-1])


@dataclass(frozen=True)
class Ladder:
    """A kind of damage, and its steps from slight to heavy."""

    title: str
    damage: Callable[[Pixels, float], Pixels]
    steps: tuple[float, ...]


LADDERS = {
    "blur": Ladder("Gaussian blur, σ in pixels", blurred, (0.4, 0.6, 0.8, 1, 2, 4)),
    "noise": Ladder("Gaussian noise, σ of 255", noisy, (4, 8, 16, 32, 64)),
    "jpeg": Ladder("JPEG quality", compressed, (90, 75, 50, 25, 10)),
}
COPIES: dict[str, Callable[[Pixels], Pixels]] = {
    "JPEG 75": lambda image: compressed(image, 75),
    "mirrored": mirrored,
}
SHARES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.3, 1.0)
CLUSTERS = 8
KEPT_MODES = (8, 6, 4, 3, 2, 1)
ORDERS = 10
COPY_DRAWS, HELD_OUT_DRAWS = 3, 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="+", type=Path, help="real images: folders, archives or datasets")
    parser.add_argument("--reference", type=int, default=10_000, help="number of reference images (10000)")
    parser.add_argument("-n", type=int, default=1000, help="number of scored images (1000)")
    parser.add_argument("--features", type=Path, help="folder that keeps computed features")
    parser.add_argument("--out", type=Path, required=True, help="writes OUT.png, and figures/NAME.json beside it")
    options = parser.parse_args()
    pixels = np.stack([image for path in options.images for _, image in open_images(path)])
    order = np.random.default_rng(0).permutation(len(pixels))
    if len(pixels) < options.reference + 2 * options.n:
        raise SystemExit(f"{len(pixels):,} images: --reference and twice -n are more")
    embed = Embedder(open_extractor("effnet-lite0"), options.features)
    features = embed("real", pixels)
    reference, heldout = order[: options.reference], order[options.reference :]
    answers = ask(embed, pixels, features, reference, heldout, options.n)
    record(
        options.out.name,
        title=f"How the effnet-lite0 FD of {options.n:,} images moves with blur, noise, JPEG, dropped modes and copies",
        command=this_command(),
        values={"clean": answers["clean"], "draws": HELD_OUT_DRAWS, "green_draws": answers["heldout"]["green"]},
        data=answers,
        folder=options.out.parent / "figures",
    )
    plot(answers, options.out.with_suffix(".png"))


@dataclass(frozen=True)
class Embedder:
    """A feature extractor that keeps features under the images' hash if it has a folder. The console shows the name."""

    extractor: FeatureExtractor
    folder: Path | None

    def __call__(self, name: str, images: Sequence[Pixels] | np.ndarray) -> np.ndarray:
        digest = hashlib.sha256(b"".join(image.tobytes() for image in images)).hexdigest()[:32]
        kept = None if self.folder is None else self.folder / f"{digest}.npy"
        if kept is not None and kept.is_file():
            return np.load(kept)
        print(f"features of {len(images):,} images, {name}", flush=True)
        step = self.extractor.batch
        batches = [self.extractor(list(images[start : start + step])) for start in range(0, len(images), step)]
        features = np.concatenate(batches)
        if kept is not None:
            kept.parent.mkdir(parents=True, exist_ok=True)
            np.save(kept, features)
        return features


def ask(
    embed: Embedder, pixels: np.ndarray, features: np.ndarray, reference: np.ndarray, heldout: np.ndarray, n: int
) -> dict[str, Any]:
    """Ask all questions. ``reference`` and ``heldout`` are rows of ``pixels`` [m, H, W, 3] and ``features`` [m, D]."""
    statistics = frechet_statistics(features[reference])
    scored, rest = heldout[:n], heldout[n:]
    clean = distance(features[scored], statistics)
    record: dict[str, Any] = {"n": n, "reference_n": len(reference), "heldout_n": len(heldout), "clean": clean}
    for name, ladder in LADDERS.items():
        values = [
            distance(embed(f"{name} {step:g}", [ladder.damage(image, step) for image in pixels[scored]]), statistics)
            for step in ladder.steps
        ]
        record[name] = {"steps": ladder.steps, "values": values, "rises": rises([clean, *values])}
        print(name, record[name], flush=True)
    record["modes"] = drop_modes(pixels[heldout], features[heldout], statistics, n)
    print("modes", record["modes"], flush=True)
    sources = reference[:n]
    training, calibration = features[reference], features[rest]
    copies = {"exact": features[sources]}
    for name, change in COPIES.items():
        copies[name] = embed(f"copies, {name}", [change(image) for image in pixels[sources]])
    record["copies"] = {
        name: copy(changed, features[scored], statistics, training, calibration) for name, changed in copies.items()
    }
    record["heldout"] = heldout_draws(features[heldout], training, n)
    print(f"held-out draws that are green: {record['heldout']['green']} of {HELD_OUT_DRAWS}", flush=True)
    return record


def distance(features: np.ndarray, reference: FrechetStatistics) -> float:
    return frechet_distance(frechet_statistics(features), reference)


def rises(values: Sequence[float]) -> bool:
    return all(first < second for first, second in pairwise(values))


def drop_modes(pixels: np.ndarray, features: np.ndarray, reference: FrechetStatistics, n: int) -> dict[str, Any]:
    """Return the distance of n images from the remaining clusters: the mean over orders of dropping.

    In a single order the distance need not rise at every step: two clusters on either side of the mean are nearer to it
    than three.
    """
    clusters = thumbnail_clusters(pixels)
    kept, values = [], []
    for count in KEPT_MODES:
        draws = []
        for seed in range(ORDERS):
            random = np.random.default_rng(seed)
            rows = np.flatnonzero(np.isin(clusters, random.permutation(CLUSTERS)[:count]))
            if len(rows) >= n:
                draws.append(distance(features[random.choice(rows, n, replace=False)], reference))
        if len(draws) == ORDERS:
            kept.append(count)
            values.append(float(np.mean(draws)))
    return {"kept": kept, "values": values, "rises": rises(values)}


def thumbnail_clusters(pixels: np.ndarray) -> np.ndarray:
    """Return the mode of each image [m, H, W, 3], by k-means over its 8×8 thumbnail, which needs no network."""
    thumbnails = [np.asarray(Image.fromarray(image).resize((8, 8), Image.Resampling.BOX)).ravel() for image in pixels]
    return kmeans2(np.array(thumbnails, dtype=np.float64), CLUSTERS, minit="++", seed=0)[1]


def copy(
    copies: np.ndarray,
    honest: np.ndarray,
    reference: FrechetStatistics,
    training: np.ndarray,
    heldout: np.ndarray,
) -> dict[str, Any]:
    """Replace shares of a set [n, D] by copies; return the mean distances and the shares of draws that are red."""
    n, values, red = len(honest), [], []
    for share in SHARES:
        draws = []
        for seed in range(COPY_DRAWS):
            random = np.random.default_rng(seed)
            mixed = honest.copy()
            rows = random.choice(n, round(share * n), replace=False)
            mixed[rows] = copies[rows]
            draws.append((distance(mixed, reference), bool(memorization(mixed, training, heldout).red)))
        values.append(float(np.mean([value for value, _ in draws])))
        red.append(sum(alarm for _, alarm in draws) / COPY_DRAWS)
        print(f"copies {share:.0%}: {values[-1]:.2f}, red in {red[-1]:.0%}", flush=True)
    return {"shares": SHARES, "values": values, "red": red}


def heldout_draws(heldout: np.ndarray, training: np.ndarray, n: int) -> dict[str, Any]:
    """Judge draws of n held-out rows by the others. Count flagged images, and the sets that are not red."""
    flagged, green = [], 0
    for seed in range(HELD_OUT_DRAWS):
        order = np.random.default_rng(seed).permutation(len(heldout))
        panel = memorization(heldout[order[:n]], training, heldout[order[n:]], seed=seed)
        flagged.append(len(panel.flagged))
        green += not panel.red
    return {"green": green, "draws": HELD_OUT_DRAWS, "flagged": flagged, "expected": panel.expected}


def plot(record: dict[str, Any], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 3, figsize=(13, 7.5), layout="constrained")
    for axis, (name, ladder) in zip(axes.flat, LADDERS.items(), strict=False):
        values = [record["clean"], *record[name]["values"]]
        draw(axis, ["none", *(f"{step:g}" for step in ladder.steps)], values, ladder.title, record["clean"])
    modes = record["modes"]
    title = f"how many of {CLUSTERS} modes (clusters of thumbnails) are left"
    draw(axes[1, 0], [str(count) for count in modes["kept"]], modes["values"], title, record["clean"])
    draw_copies(axes[1, 1], record["copies"], record["clean"])
    draw_heldout(axes[1, 2], record["heldout"], record["n"])
    figure.suptitle(f"effnet-lite0 FD of {record['n']:,} images against {record['reference_n']:,} (smaller is better)")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def draw(axis: Any, steps: list[str], values: Sequence[float], title: str, clean: float) -> None:
    axis.plot(steps, values, marker="o", color="tab:blue")
    axis.axhline(clean, color="grey", linestyle="--", label=f"untouched held-out images: {clean:.2f}")
    axis.set(xlabel=title, ylabel="FD", yscale="log")
    axis.legend(frameon=False)
    axis.grid(alpha=0.3)


def draw_copies(axis: Any, copies: dict[str, Any], clean: float) -> None:
    for (name, outcome), colour in zip(copies.items(), ("black", "tab:blue", "tab:orange"), strict=True):
        steps = [f"{share:.0%}" for share in outcome["shares"]]
        axis.plot(steps, outcome["values"], color=colour, label=name)
        for step, value, red in zip(steps, outcome["values"], outcome["red"], strict=True):
            axis.plot(step, value, "o", color="tab:red" if red == 1 else "tab:green" if red == 0 else "gold")
    axis.axhline(clean, color="grey", linestyle="--")
    axis.set(xlabel="share of the set that are copies (red dot: the panel tells)", ylabel="FD", ylim=(0, None))
    axis.legend(frameon=False)
    axis.grid(alpha=0.3)


def draw_heldout(axis: Any, heldout: dict[str, Any], n: int) -> None:
    flagged = heldout["flagged"]
    axis.hist(flagged, bins=np.arange(min(flagged) - 0.5, max(flagged) + 1), color="tab:green")
    axis.axvline(heldout["expected"], color="grey", linestyle="--", label=f"expected: {heldout['expected']:.1f}")
    axis.set(xlabel=f"flagged images of {n:,} held-out real ones", ylabel="draws")
    axis.set_title(f"green: {heldout['green']} of {heldout['draws']} draws")
    axis.legend(frameon=False)


if __name__ == "__main__":
    main()
