#!/usr/bin/env python
"""Measure how often 'facegen grade' raises its flags, on honest images and on altered copies: tables in Markdown.

    python scripts/bench/flags.py honest pretrained=images run=other.npy --reference celeba --sets 100
    python scripts/bench/flags.py tails pretrained=images --reference celeba
    python scripts/bench/flags.py copies --reference celeba --images 300

HONEST. A pool holds images that an honest student could have drawn: a folder, archive, dataset, or .npy file of uint8
[N, S, S, 3]. Sets of --n are drawn from it and checked for every flag. Sets of one pool overlap, so the share of
flagged sets says little beyond the pool. The table therefore also shows how far each statistic is from its threshold,
in standard deviations over the draws. Copies are looked for once per pool, because they concern images and not sets.

TAILS. By hash distance: how many images of a pool are near one of the reference, and how many pairs within its sets of
--n are. How quickly these counts fall towards small distances shows what is left at the 20 bits that count.

COPIES. Images of the reference, each altered in one way, are looked for in the whole reference. The table has the share
that perceptual hashes find, and the share with shifted copies.
"""

from __future__ import annotations

import argparse
import io
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from facegen.data.images import open_images
from facegen.grading.face_share import face_share
from facegen.grading.faces import measure_faces, rows_looked_at
from facegen.grading.fingerprints import KnownFaces, find_copies, find_matches, fingerprint, known_faces
from facegen.grading.flags import Collections, SubmittedImages, flags_of
from facegen.grading.flags.faces import UNUSUAL
from facegen.grading.flags.pixel_values import CLUMPED, NEIGHBOUR, SPREAD
from facegen.metrics.modes import nearest_in_main_directions
from facegen.metrics.phash import hamming_distances, nearest_within
from facegen.metrics.shifted import find_shifted
from facegen.scoring.image_checks import ImageProperties, PropertyCollector
from facegen.scoring.score import Score

Images = npt.NDArray[np.uint8]
Change = Callable[[Images], Images]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("honest", "tails", "copies"))
    parser.add_argument("pools", nargs="*", help="NAME=PATH")
    parser.add_argument("--reference", type=Path, required=True, help="dataset of real faces")
    parser.add_argument("--cache", type=Path, default=Path("bench-cache"))
    parser.add_argument("--sets", type=int, default=100)
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--images", type=int, default=300, help="number of images altered in each way")
    options = parser.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    sha256 = open_images(options.reference).sha256
    known = known_faces(options.reference, sha256, 64, options.cache)
    if options.what == "copies":
        altered_copies(options.reference, known, options.images)
        return
    if options.what == "tails":
        for pool in options.pools:
            name, _, path = pool.partition("=")
            tails(name, load(Path(path)), known, options.n)
        return
    reference = load(options.reference)
    collector = PropertyCollector()
    collector.update(reference)
    share = face_share(options.reference, sha256, 64, options.cache)
    print("| pool | images | sets | flagged sets | by hashes | by shifts | statistics |\n|---|--:|--:|---|--:|--:|---|")
    for pool in options.pools:
        name, _, path = pool.partition("=")
        print(honest(name, load(Path(path)), known, collector.properties(), share, options), flush=True)


def load(path: Path) -> Images:
    if path.suffix == ".npy":
        images: Images = np.load(path, mmap_mode="r")
        return images
    return np.stack([image for _, image in open_images(path)])


def honest(
    name: str,
    images: Images,
    known: KnownFaces,
    properties: ImageProperties,
    share: float | None,
    options: argparse.Namespace,
) -> str:
    """Print a row: the flags of sets of a pool."""
    prints = fingerprint(images)
    hashed = int((find_matches(prints, known.fingerprints).row >= 0).sum())
    assert known.thumbnails is not None
    moved = find_shifted(images, known.thumbnails).correlation
    tail = np.sort(moved)[-3:][::-1].round(3).tolist()
    faces = np.concatenate([measure_faces(images[row : row + 1]) for row in range(len(images))])
    random, flagged = np.random.default_rng(0), Counter[str]()
    statistics: dict[str, list[float]] = {"bits": [], "spread": [], "nearest": [], "faces": []}
    for _ in range(options.sets):
        rows = np.sort(random.choice(len(images), options.n, replace=False))
        some = images[rows]
        score = Score("fd", 1.0, len(some), 1, "none", "0" * 64, 9, "1" * 64)
        measured = {"no_faces": faces[rows[rows_looked_at(len(rows))]] if len(faces) else faces}
        collections = Collections(properties=properties, face_share=share)
        submission = SubmittedImages(some, [""] * len(some), fingerprint(some), score, collections, measured)
        flags, broken = flags_of(submission)
        if broken:
            raise SystemExit(" ".join(broken))
        flagged.update(flag.name for flag in flags)
        statistics["bits"].append(float(np.median(submission.distances.min(axis=1))))
        statistics["spread"].append(float(some.std(axis=0).mean()))
        statistics["nearest"].append(nearest_in_main_directions(some))
        if len(measured["no_faces"]):
            statistics["faces"].append(float(measured["no_faces"].mean()))
    limits = {"bits": NEIGHBOUR, "spread": SPREAD, "nearest": CLUMPED, "faces": UNUSUAL * (share or 0)}
    margins = [
        f"{key} {np.mean(values):.3g} ± {np.std(values):.2g} (limit {limits[key]:.3g}{_far(values, limits[key])})"
        for key, values in statistics.items()
        if values
    ]
    return (
        f"| {name} | {len(images):,} | {options.sets} | {dict(flagged) or 'none'} | {hashed} | "
        f"{int((moved >= known.least_correlation).sum())} (highest {tail}) | {'; '.join(margins)} |"
    )


def _far(values: list[float], limit: float) -> str:
    spread = float(np.std(values))
    return f", {(np.mean(values) - limit) / spread:.0f} sd" if spread > 0 else ""


def tails(name: str, images: Images, known: KnownFaces, n: int) -> None:
    """Print two lines: images by distance to the nearest known one, and pairs within sets by their distance."""
    hashes, limits = fingerprint(images).hashes, range(20, 68, 4)
    _, nearest = nearest_within(hashes, known.fingerprints.hashes, max(limits))
    print(f"{name}, {len(images):,} images within bits of one of the reference:", end=" ")
    print({bits: int(((nearest >= 0) & (nearest <= bits)).sum()) for bits in limits})
    pairs, sets = Counter[int](), range(0, len(images) - n + 1, n)
    for start in sets:
        some = hashes[start : start + n]
        distances = hamming_distances(some, some)[np.triu_indices(n, 1)]
        pairs.update({bits: int((distances <= bits).sum()) for bits in limits})
    print(f"{name}, pairs in {len(sets)} sets: {dict(pairs)}", flush=True)


def altered_copies(reference: Path, known: KnownFaces, count: int) -> None:
    """Print a row per alteration: the shares that hashes find, and that hashes and shifts find; and the seconds."""
    images = load(reference)
    rows = np.linspace(0, len(images) - 1, count).astype(np.int64)
    print("| copies that are | found by hashes | with shifts |\n|---|--:|--:|")
    started, took = time.process_time(), 0.0
    for name, change in CHANGES.items():
        altered = np.stack([change(np.ascontiguousarray(images[row])) for row in rows])
        prints = fingerprint(altered)
        started = time.process_time()
        copies = find_copies(altered, prints, known)
        took += time.process_time() - started
        right = copies.matches.row == rows
        print(f"| {name} | {np.mean(right & ~copies.shifted):.1%} | {np.mean(right):.1%} |", flush=True)
    print(f"\n{took / len(CHANGES) / count * 1000:.2f} s of processor time a thousand images, on average.")


def moved(right: int, down: int) -> Change:
    def change(image: Images) -> Images:
        padded = np.pad(image, ((8, 8), (8, 8), (0, 0)), mode="edge")
        return np.ascontiguousarray(padded[8 - down : 72 - down, 8 - right : 72 - right])

    return change


def encoded(quality: int) -> Change:
    def change(image: Images) -> Images:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", quality=quality)
        return np.asarray(Image.open(buffer).convert("RGB"))

    return change


def palette(colours: int) -> Change:
    return lambda image: np.asarray(Image.fromarray(image).quantize(colours).convert("RGB"))


def brighter(by: float, contrast: float = 1) -> Change:
    return lambda image: np.clip((image - 128.0) * contrast + 128 + by, 0, 255).round().astype(np.uint8)


def gamma(exponent: float) -> Change:
    return lambda image: (255 * (image / 255.0) ** exponent).round().astype(np.uint8)


def blurred(sigma: float) -> Change:
    return lambda image: np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(sigma)))


def noisy(sigma: float) -> Change:
    def change(image: Images) -> Images:
        noise = np.random.default_rng(int(image.sum())).normal(0, sigma, image.shape)
        return np.clip(image + noise, 0, 255).round().astype(np.uint8)

    return change


def cropped(pixels: int) -> Change:
    def change(image: Images) -> Images:
        inner = Image.fromarray(image[pixels:-pixels, pixels:-pixels])
        return np.asarray(inner.resize((image.shape[1], image.shape[0]), Image.Resampling.BICUBIC))

    return change


def mirrored(image: Images) -> Images:
    return np.ascontiguousarray(image[:, ::-1])


def turned(degrees: float) -> Change:
    return lambda image: np.asarray(Image.fromarray(image).rotate(degrees, Image.Resampling.BICUBIC))


def then(*changes: Change) -> Change:
    def change(image: Images) -> Images:
        for each in changes:
            image = each(image)
        return image

    return change


CHANGES: dict[str, Change] = {
    "mirrored": mirrored,
    **{
        f"shifted by {x}, {y} pixels": moved(x, y)
        for x, y in ((1, 0), (1, 1), (2, 0), (2, 2), (3, 3), (4, 4), (6, 0), (6, 6))
    },
    **{f"JPEG, quality {quality}": encoded(quality) for quality in (30, 50, 75, 95)},
    **{f"of {colours} colours": palette(colours) for colours in (256, 64, 16)},
    **{f"brighter by {by}": brighter(by) for by in (30, 60, -30, -60)},
    **{f"of {by:g} times the contrast": brighter(0, by) for by in (0.5, 1.5)},
    **{f"gamma {exponent:g}": gamma(exponent) for exponent in (0.5, 0.7, 1.5, 2.2)},
    **{f"blurred, sigma {sigma:g}": blurred(sigma) for sigma in (1, 2)},
    **{f"noisy, sigma {sigma}": noisy(sigma) for sigma in (5, 10, 20)},
    **{f"cropped by {2 * pixels} of 64 pixels": cropped(pixels) for pixels in (1, 2, 3)},
    "turned by 3 degrees": turned(3),
    "mirrored, then JPEG, quality 50": then(mirrored, encoded(50)),
    "mirrored, shifted by 2, 0, JPEG 75": then(mirrored, moved(2, 0), encoded(75)),
    "mirrored, shifted by 4, 4, gamma 0.7, JPEG 75": then(mirrored, moved(4, 4), gamma(0.7), encoded(75)),
    "shifted by 2, -1, brighter by 30, JPEG 75": then(moved(2, -1), brighter(30), encoded(75)),
    "shifted by 3, 1, blurred, sigma 1": then(moved(3, 1), blurred(1)),
}


if __name__ == "__main__":
    main()
