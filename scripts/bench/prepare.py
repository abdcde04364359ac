"""Measure images per second and memory of ``facegen prepare``, beside a plain torchvision dataset on the same machine.

    python scripts/bench/prepare.py CELEBA_ZIP [--limit 6000] [--rounds 3] [--workers 2]

The peer is the code that a PyTorch user writes: torchvision's ImageFolder over the unpacked images with Resize(64) and
CenterCrop(64), through a DataLoader with as many workers, into one array. (Unpacking is not counted.) The two take
turns, so that other load on the machine affects both. Peak memory is that of fresh processes at two limits.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import CenterCrop, Compose, Resize

from facegen import console
from facegen.data.archives import Zip
from facegen.data.dataset import FaceDataset
from facegen.stages.prepare import prepare

# This is Linux's own high-water mark. That of getrusage would count what this script held when it started the process.
_PEAK_MEMORY = """
import re, resource, sys
from pathlib import Path
from facegen.stages.prepare import prepare
archive, out, limit, workers = sys.argv[1:]
prepare(Path(archive), Path(out), limit=int(limit), workers=int(workers))
parent = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
print(parent // 1024, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)
"""


def peer(folder: Path, workers: int) -> tuple[float, np.ndarray]:
    """Return the seconds and the uint8 [N, 64, 64, 3] of ImageFolder behind a DataLoader."""
    began = time.perf_counter()
    images = ImageFolder(folder, transform=Compose([Resize(64), CenterCrop(64), np.array]))
    loader = DataLoader(images, batch_size=32, num_workers=workers, collate_fn=collate)
    pixels = np.concatenate(list(loader))
    return time.perf_counter() - began, pixels


def collate(batch: list[tuple[np.ndarray, int]]) -> np.ndarray:
    return np.stack([image for image, _ in batch])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--limit", type=int, default=6000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    console.set_verbosity(console.QUIET)

    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        names = Zip(options.archive).names[: options.limit]
        with zipfile.ZipFile(options.archive) as archive:
            archive.extractall(work / "peer", members=names)

        ours, theirs = [], []
        for round_number in range(options.rounds):
            prepared = prepare(options.archive, work / "ours", limit=options.limit, workers=options.workers, force=True)
            seconds, pixels = peer(work / "peer", options.workers)
            if round_number == 0:
                same = np.array_equal(FaceDataset.open(work / "ours").images, pixels)
                print(f"{len(pixels):,} images, pixels {'equal' if same else 'DIFFER FROM'} the peer's")
            ours.append(prepared.images / prepared.seconds)
            theirs.append(len(pixels) / seconds)
            print(f"round {round_number + 1}: facegen {ours[-1]:,.0f} images/s, ImageFolder {theirs[-1]:,.0f} images/s")
        ratio = statistics.median(mine / other for mine, other in zip(ours, theirs, strict=True))
        middle, peers = statistics.median(ours), statistics.median(theirs)
        print(f"median: facegen {middle:,.0f} images/s, ImageFolder {peers:,.0f} images/s, ×{ratio:.2f}")

        if sys.platform == "linux":
            for limit in (2000, 18000):
                words = [sys.executable, "-c", _PEAK_MEMORY, options.archive, work / "memory", limit, options.workers]
                said = subprocess.run(list(map(str, words)), check=True, capture_output=True, text=True).stdout
                parent, worker = said.split()
                print(f"peak memory at {limit:,} images: {parent} MiB in the parent, {worker} MiB in a worker")


if __name__ == "__main__":
    main()
