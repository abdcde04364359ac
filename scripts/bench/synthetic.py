"""Measure synthetic faces per second, in one process and in a pool of two as ``facegen prepare`` draws them.

python scripts/bench/synthetic.py 960
"""

from __future__ import annotations

import argparse
import multiprocessing
import time

from facegen.data.synthetic import render_faces

BATCH = 32


def draw_batch(start: int) -> int:
    """Draw one batch. Its pixels stay in the worker, as prepare's would after the transform."""
    return len(render_faces(0, range(start, start + BATCH)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=int, nargs="?", default=960, help="number of images to draw (960)")
    starts = range(0, parser.parse_args().images, BATCH)
    draw_batch(0)  # makes the noise tiles

    wall, cpu = time.perf_counter(), time.process_time()
    drawn = sum(map(draw_batch, starts))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"one process: {drawn / wall:6.0f} images/s, {1000 * cpu / drawn:.1f} ms of CPU an image")

    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.map(draw_batch, [0, 0, 0, 0], chunksize=1)  # starts the workers and makes their tiles
        wall = time.perf_counter()
        drawn = sum(pool.imap_unordered(draw_batch, starts))
        wall = time.perf_counter() - wall
    print(f"pool of two: {drawn / wall:6.0f} images/s")


if __name__ == "__main__":
    main()
