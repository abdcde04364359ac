#!/usr/bin/env python
"""Seconds and memory to score images: facegen against pytorch-fid's own path, with the same weights and images.

    python scripts/bench/fid.py                      # 1,000 images, three paired rounds: tens of minutes on two cores
    python scripts/bench/fid.py -n 64 --rounds 1     # a quick look
    python scripts/bench/fid.py --images FOLDER --weights FILE.pth

Each side runs in a process of its own, in turn, so that both meet the same machine and peak memory is each one's own.
Features are timed from files on disk to float64 statistics; the Fréchet distance is timed apart from them, against the
statistics of 4,000 correlated Gaussian features. Imports and the loading of the network are not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

SIDES = ("pytorch-fid", "facegen")
REFERENCE_FEATURES = 4000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=1000, help="images to score (1000)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each side runs (3)")
    parser.add_argument("--dims", type=int, default=2048, choices=(64, 192, 768, 2048))
    parser.add_argument("--images", type=Path, help="a folder of PNG or JPEG files; smooth random ones by default")
    parser.add_argument("--weights", type=Path, help="a state dict with pytorch-fid's keys; random by default")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        measure = measure_facegen if options.side == "facegen" else measure_pytorch_fid
        print(json.dumps({**measure(options.work, options.dims), "peak_mb": peak_memory()}))
        return
    with tempfile.TemporaryDirectory() as work:
        prepare(Path(work), options.n, options.dims, options.images, options.weights)
        compare(Path(work), options.rounds, options.dims)


def prepare(work: Path, n: int, dims: int, images: Path | None, weights: Path | None) -> None:
    """Put images/, weights.pth and reference.npz into ``work``."""
    import torch
    from PIL import Image

    random = np.random.default_rng(0)
    (work / "images").mkdir()
    if images is None:
        for index in range(n):
            coarse = Image.fromarray(random.integers(0, 256, (6, 6, 3), dtype=np.uint8))
            coarse.resize((64, 64), Image.Resampling.BICUBIC).save(work / "images" / f"{index:05}.png")
    else:
        for source in sorted(path for path in images.iterdir() if path.suffix.lower() in (".png", ".jpg"))[:n]:
            (work / "images" / source.name).write_bytes(source.read_bytes())
    state_dict = random_weights() if weights is None else torch.load(weights, weights_only=True)
    torch.save(complete(state_dict), work / "weights.pth")
    features = random.normal(size=(REFERENCE_FEATURES, dims)) @ random.normal(size=(dims, dims)) / dims**0.5
    np.savez(work / "reference.npz", mu=features.mean(0), sigma=np.cov(features, rowvar=False))


def random_weights() -> dict[str, object]:
    """He-normal convolutions and BatchNorms that change nothing: only the work counts here."""
    import torch

    random = torch.Generator().manual_seed(0)
    weights: dict[str, object] = {}
    for key, value in published_names().items():
        if value.ndim == 4:
            weights[key] = torch.randn(value.shape, generator=random) * (2 / value[0].numel()) ** 0.5
        else:
            weights[key] = torch.full(value.shape, float(key.endswith(("bn.weight", "running_var"))))
    return weights


def complete(state_dict: dict[str, object]) -> dict[str, object]:
    """pytorch-fid insists on every tensor, also on those that the features do not need."""
    import torch

    tensors = {key: value.float() for key, value in state_dict.items() if isinstance(value, torch.Tensor)}
    unused = {
        key: torch.zeros(value.shape, dtype=value.dtype)
        for key, value in published_names().items()
        if key.startswith("fc.") or key.endswith("num_batches_tracked")
    }
    return {**tensors, **unused}


def published_names() -> dict[str, torch.Tensor]:
    """Every tensor that pytorch-fid's network has, without values: its names and shapes are torchvision's."""
    import torch
    from torchvision.models import inception_v3

    with torch.device("meta"):
        return inception_v3(num_classes=1008, aux_logits=False, init_weights=False).state_dict()


def measure_pytorch_fid(work: Path, dims: int) -> dict[str, float]:
    import torch
    from pytorch_fid import fid_score, inception

    inception.load_state_dict_from_url = lambda *_, **__: torch.load(work / "weights.pth", weights_only=True)
    network = inception.InceptionV3([inception.InceptionV3.BLOCK_INDEX_BY_DIM[dims]])
    files = sorted((work / "images").iterdir())
    start = time.perf_counter()
    # Its command line's defaults: batches of 50, a worker a core.
    mu, sigma = fid_score.calculate_activation_statistics(files, network, 50, dims, "cpu", os.cpu_count() or 1)
    features = time.perf_counter() - start
    with np.load(work / "reference.npz") as reference:
        start = time.perf_counter()
        value = fid_score.calculate_frechet_distance(mu, sigma, reference["mu"], reference["sigma"])
    return {"features_s": features, "frechet_s": time.perf_counter() - start, "value": float(value)}


def measure_facegen(work: Path, dims: int) -> dict[str, float]:
    from facegen.data.images import open_images
    from facegen.metrics.frechet import frechet_distance
    from facegen.scoring.extractors import open_extractor
    from facegen.scoring.features import feature_statistics
    from facegen.scoring.reference import open_reference

    extractor = open_extractor(weights=work / "weights.pth", dims=dims, device="cpu")
    reference = open_reference(work / "reference.npz", extractor)
    images = open_images(work / "images")
    start = time.perf_counter()
    statistics = feature_statistics((image for _, image in images), extractor, "images")
    features = time.perf_counter() - start
    start = time.perf_counter()
    value = frechet_distance(statistics, reference.statistics)
    return {"features_s": features, "frechet_s": time.perf_counter() - start, "value": value}


def peak_memory() -> float:
    """This process's peak resident memory in MB; NaN where the platform does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return float("nan")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


def compare(work: Path, rounds: int, dims: int) -> None:
    n = len(list((work / "images").iterdir()))
    print(f"{n:,} images, {dims} dims, {os.cpu_count()} cores; the median of {rounds} paired rounds")
    outcomes: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    for _ in range(rounds):
        for side in SIDES:
            command = [sys.executable, __file__, "--side", side, "--work", str(work), "--dims", str(dims)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            outcomes[side].append(json.loads(done.stdout.splitlines()[-1]))
    rows = [("features, s", "features_s"), ("Fréchet distance, s", "frechet_s"), ("peak memory, MB", "peak_mb")]
    print(f"{'':24}{SIDES[0]:>14}{SIDES[1]:>14}{'ratio':>9}")
    for label, key in rows:
        theirs, ours = (float(np.median([outcome[key] for outcome in outcomes[side]])) for side in SIDES)
        print(f"{label:24}{theirs:14.2f}{ours:14.2f}{theirs / ours:8.1f}×")
    totals = {side: [outcome["features_s"] + outcome["frechet_s"] for outcome in outcomes[side]] for side in SIDES}
    ratios = [theirs / ours for theirs, ours in zip(*totals.values(), strict=True)]
    medians = [float(np.median(totals[side])) for side in SIDES]
    print(f"{'together, s':24}{medians[0]:14.2f}{medians[1]:14.2f}{np.median(ratios):8.1f}×", end="")
    print(f"  (rounds: {', '.join(f'{ratio:.1f}' for ratio in ratios)})")
    theirs, ours = (outcomes[side][0]["value"] for side in SIDES)
    print(f"{'value':24}{theirs:14.4f}{ours:14.4f}   relative difference {abs(theirs - ours) / theirs:.1e}")


if __name__ == "__main__":
    main()
