"""Measure seconds and memory to find the images that submissions share, by the index and by comparing every pair.

    python scripts/bench/rank.py [--submissions 300] [--images 1000] [--copied 0.05] [--each-with-each 30]
    python scripts/bench/rank.py --board                                # also ranks and renders the leaderboard

No image is needed: fingerprints are drawn at random, or are those of a dataset of faces (--dataset). There are four
classes. Strangers: a share of them has copied a tenth of another's images, changed by up to 20 bits or mirrored. The
same images: all submit the same images, each in its own order. Flat: every image is flat, and all hashes are 0.
Collapsed: every tenth generator has collapsed. Each class is measured twice, the second time from what the first kept.
Comparing every pair is measured on fewer submissions, because its time grows as their square.
"""

from __future__ import annotations

import argparse
import multiprocessing
import platform
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from facegen import console
from facegen.data.dataset import FaceDataset
from facegen.grading.fingerprints import Fingerprints, find_matches, fingerprint
from facegen.grading.flags import Flag
from facegen.grading.leaderboard import Leaderboard
from facegen.grading.outcome import GradedSubmission, Outcome
from facegen.grading.ranking import rank
from facegen.grading.shared_images import shared_images
from facegen.metrics.phash import NEAR, Hashes
from facegen.printable import json_text
from facegen.scoring.score import Score

_COPIED_IMAGES = 0.1


class Draw:
    """A maker of classes of ``count`` submissions of ``images`` images; a share of ``copied`` of them copies."""

    def __init__(self, count: int, images: int, copied: float, dataset: Path | None) -> None:
        self.count, self.images, self.copied, self.dataset = count, images, copied, dataset
        self.rng = np.random.default_rng(0)

    def words(self, count: int) -> Hashes:
        return self.rng.integers(0, 2**64, (count, 4), dtype=np.uint64)

    def flips(self, count: int, most: int) -> Hashes:
        bits = np.arange(256)[None, :] < self.rng.integers(0, most + 1, (count, 1))
        return np.packbits(self.rng.permuted(bits, axis=1), axis=1).view(np.uint64)

    def one(self) -> Fingerprints:
        return Fingerprints(self.words(self.images)[:, 0], self.words(self.images), self.words(self.images))

    def faces(self) -> list[Fingerprints]:
        """Return the fingerprints of a dataset's images in order, and from the start again after the end."""
        assert self.dataset is not None
        dataset = FaceDataset.open(self.dataset)
        parts = [fingerprint(dataset.images[start : start + 1000]) for start in range(0, len(dataset), 1000)]
        pixels, hashes, mirrored = (
            np.concatenate([getattr(part, key) for part in parts]) for key in ("pixels", "hashes", "mirrored")
        )
        rows = np.arange(self.count * self.images).reshape(self.count, -1) % len(pixels)
        return [Fingerprints(pixels[each], hashes[each], mirrored[each]) for each in rows]

    def strangers(self) -> list[Fingerprints]:
        prints = [self.one() for _ in range(self.count)] if self.dataset is None else self.faces()
        some = int(self.images * _COPIED_IMAGES)
        for each in prints[: int(self.count * self.copied)]:
            other = prints[self.rng.integers(self.count)]
            each.hashes[:some] = other.hashes[:some] ^ self.flips(some, NEAR)
            each.mirrored[some : 2 * some] = other.hashes[some : 2 * some] ^ self.flips(some, NEAR)
        return prints

    def same(self) -> list[Fingerprints]:
        first = self.one()
        orders = [self.rng.permutation(self.images) for _ in range(self.count)]
        return [Fingerprints(first.pixels[o], first.hashes[o], first.mirrored[o]) for o in orders]

    def flat(self) -> list[Fingerprints]:
        zeros = np.zeros((self.images, 4), dtype=np.uint64)
        return [Fingerprints(self.words(self.images)[:, 0], zeros, zeros) for _ in range(self.count)]

    def collapsed(self) -> list[Fingerprints]:
        """Make every tenth submission of images like one of its own; the others are strangers'."""
        prints = [self.one() for _ in range(self.count)]
        for each in prints[::10]:
            each.hashes[:] = each.hashes[0] ^ self.flips(self.images, NEAR // 2)
            each.mirrored[:] = each.mirrored[0] ^ self.flips(self.images, NEAR // 2)
        return prints


CLASSES: dict[str, Callable[[Draw], list[Fingerprints]]] = {
    "strangers": Draw.strangers,
    "the same images": Draw.same,
    "flat images": Draw.flat,
    "collapsed": Draw.collapsed,
}


def outcomes_of(prints: list[Fingerprints]) -> list[Outcome]:
    names = tuple(f"{i:04d}.png" for i in range(len(prints[0])))
    outcomes = []
    for number, each in enumerate(prints):
        score = Score("fd", float(number), len(each), 1, "random", "0" * 64, 9, "1" * 64)
        found = GradedSubmission(score, tuple[Flag, ...](), each, names, (), b"")
        outcomes.append(Outcome(f"s{number}.tar.gz", f"s{number}", "2" * 64, graded=found))
    return outcomes


def measure(name: str, draw: Draw, board: bool) -> None:
    """Measure in a process of its own, so that the peak memory is its own too."""
    console.set_verbosity(console.QUIET)
    prints = CLASSES[name](draw)
    before = peak()
    with tempfile.TemporaryDirectory() as folder:
        for run in ("first", "again"):
            began, used = time.perf_counter(), time.process_time()
            pairs = 0
            if board:
                rows = rank(outcomes_of(prints), Path(folder))
                pairs = sum(len(row.flags) for row in rows)
                leaderboard = Leaderboard(rows, {"name": "none", "n": 9, "sha256": "1" * 64}, "random", None)
                texts = leaderboard.to_csv(), json_text(leaderboard.to_json()), leaderboard.to_html()
            else:
                for shared in shared_images(prints, Path(folder)):
                    pairs += len(shared)
            wall, processor = time.perf_counter() - began, time.process_time() - used
            kept = sum(file.stat().st_size for file in Path(folder).iterdir()) / 1e6
            written = f", {sum(map(len, texts)) / 1e6:.0f} MB of CSV, JSON and HTML" if board else ""
            print(
                f"{name}, {run}: {processor:.1f} s of processor time ({wall:.1f} s by the clock), {pairs:,} pairs of "
                f"submissions share, {kept:.1f} MB kept, peak {peak()} MiB ({before} before){written}",
                flush=True,
            )


def each_with_each(draw: Draw) -> None:
    prints = draw.strangers()
    began = time.process_time()
    for i, images in enumerate(prints):
        for other in prints[:i]:
            if len(find_matches(images, other).found):
                find_matches(other, images)
    seconds = time.process_time() - began
    print(
        f"each with each, {draw.count} submissions: {seconds:.1f} s of processor time; 300 would take "
        f"{seconds * (300 / draw.count) ** 2:.0f} s"
    )


def peak() -> int:
    """Return the process's high-water mark in MiB on Linux; 0 elsewhere."""
    status = Path("/proc/self/status")
    return int(re.search(r"VmHWM:\s+(\d+)", status.read_text())[1]) // 1024 if status.is_file() else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--submissions", type=int, default=300)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--copied", type=float, default=0.05, help="share of strangers who have copied (0.05)")
    parser.add_argument("--dataset", type=Path, help="dataset whose faces the strangers submit")
    parser.add_argument("--each-with-each", type=int, default=30, help="submissions to compare in pairs; 0 for none")
    parser.add_argument("--board", action="store_true", help="also rank and render the leaderboard")
    parser.add_argument("--only", choices=CLASSES, action="append")
    options = parser.parse_args()
    print(f"{options.submissions} submissions of {options.images} images, one process, {platform.processor() or '?'}")
    fresh = multiprocessing.get_context("spawn")
    for name in options.only or CLASSES:
        draw = Draw(options.submissions, options.images, options.copied, options.dataset)
        process = fresh.Process(target=measure, args=(name, draw, options.board))
        process.start()
        process.join()
    if options.each_with_each:
        each_with_each(Draw(options.each_with_each, options.images, options.copied, None))


if __name__ == "__main__":
    main()
