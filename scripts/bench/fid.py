#!/usr/bin/env python
"""Compare a score by five tools, on the same images with the same weights: a table of seconds, memory and value.

    python scripts/bench/fid.py                      # 1,000 images, three rounds: an hour or two on two cores
    python scripts/bench/fid.py -n 32 --rounds 1     # a quick look
    python scripts/bench/fid.py --images FOLDER --weights FILE.pth
    python scripts/bench/fid.py --tools pytorch-fid facegen

Needs the other tools: pip install -e '.[bench]'. A tool that is not installed is left out. No tool downloads anything:
each gets the weights of --weights, or the same random ones, in its own way.

The tools take turns. Each runs in its own process, so all run on the same machine, and peak memory belongs to one
tool. (It excludes the loader's workers.) The time of features runs from files on disk to mean and covariance. The
Fréchet distance is timed apart, against the same reference for all. Imports and the loading of the network are not
counted. Batch sizes and workers are each tool's defaults. torchmetrics reads no files, so a DataLoader feeds it, as
its users do.

The last three columns compare the values: the value, its relative difference from pytorch-fid's, and the part of that
difference that the distance makes, not the features: how far the tool's distance of its own moments is from ours.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.metadata import packages_distributions
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from record import Cell, add_option, record, table, this_command

if TYPE_CHECKING:
    import torch

    from facegen.extractors.feature_extractor import FeatureExtractor
    from facegen.metrics.frechet import FrechetStatistics

    Features = Callable[[Path], FrechetStatistics]

#: The columns of the table, and the formats of their numbers.
COLUMNS = {
    "tool": "",
    "features, s": ".1f",
    "distance, s": ".2f",
    "together, s": ".1f",
    "× facegen": ".2f",
    "peak memory, MB": ",.0f",
    "value": ".5f",
    "off by": ".1e",
    "by the distance": ".1e",
}
WEIGHTS, SCRIPTED, REFERENCE = "weights.pth", "inception-2015-12-05.pt", "reference.npz"
REFERENCE_IMAGES, REFERENCE_FEATURES = 64, 4000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=1000, help="number of images to score (1000)")
    parser.add_argument("--rounds", type=int, default=3, help="number of runs of each tool (3)")
    parser.add_argument("--tools", nargs="+", choices=TOOLS, default=list(TOOLS), help="tools to run; default: all")
    parser.add_argument("--images", type=Path, help="folder of PNG or JPEG files; default: smooth random images")
    parser.add_argument("--weights", type=Path, help="state dict with pytorch-fid's keys; default: random")
    add_option(parser)
    parser.add_argument("--measure", choices=TOOLS, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, options.work)))
        return
    tools = [name for name in options.tools if importlib.util.find_spec(TOOLS[name].module)]
    for name in sorted(set(options.tools) - set(tools)):
        print(f"{name} is left out: it is not installed.")
    with tempfile.TemporaryDirectory() as work:
        # In a process of its own, because a process counts its parent's peak memory as its own.
        with ProcessPoolExecutor(1, get_context("spawn")) as apart:
            apart.submit(prepare, Path(work), options.n, options.images, options.weights).result()
        rows = compare(Path(work), tools, options.rounds)
    if options.record:
        keep(options.record, rows, options.n)


def keep(name: str, rows: list[list[Cell]], n: int) -> None:
    """Write the table, and how many times longer pytorch-fid's distance takes than facegen's."""
    distances = {tool: distance for tool, _, distance, *_ in rows}
    values = {}
    if {"pytorch-fid", "facegen"} <= distances.keys():
        values["distance_ratio"] = distances["pytorch-fid"] / distances["facegen"]
    distributions = packages_distributions()
    record(
        name,
        title=f"A score of {n:,} images by facegen and by other programs, with the same weights",
        command=this_command(),
        values=values,
        tables={"tools": table(COLUMNS, rows)},
        packages=(
            "torch",
            *dict.fromkeys(distributions[TOOLS[tool].module][0] for tool in distances if tool != "facegen"),
        ),
    )


def prepare(work: Path, n: int, images: Path | None, weights: Path | None) -> None:
    """Put images/, the weights in both layouts, and the reference's moments into ``work``."""
    import torch

    (work / "images").mkdir()
    (work / "others").mkdir()
    if images is None:
        draw_images(work / "images", n, seed=0)
        draw_images(work / "others", REFERENCE_IMAGES, seed=1)
    else:
        files = sorted(path for path in images.iterdir() if path.suffix.lower() in (".png", ".jpg"))
        if len(files) < n + REFERENCE_IMAGES:
            raise SystemExit(f"{images} holds {len(files)} images, {n} and {REFERENCE_IMAGES} others are needed")
        for index, source in enumerate(files[: n + REFERENCE_IMAGES]):
            (work / ("images" if index < n else "others") / source.name).write_bytes(source.read_bytes())
    state_dict = random_weights() if weights is None else torch.load(weights, weights_only=True)
    torch.save(complete(state_dict), work / WEIGHTS)
    save_torchscript(work)
    save_moments(work / REFERENCE, reference_moments(work))


def draw_images(folder: Path, n: int, seed: int) -> None:
    from PIL import Image

    random = np.random.default_rng(seed)
    for index in range(n):
        coarse = Image.fromarray(random.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        coarse.resize((64, 64), Image.Resampling.BICUBIC).save(folder / f"{index:05}.png")


def random_weights() -> dict[str, torch.Tensor]:
    """Return He-normal convolutions, and BatchNorms that change nothing."""
    import torch

    random = torch.Generator().manual_seed(0)
    weights = {}
    for key, value in published_names().items():
        if value.ndim == 4:
            weights[key] = torch.randn(value.shape, generator=random) * (2 / value[0].numel()) ** 0.5
        else:
            weights[key] = torch.full(value.shape, float(key.endswith(("bn.weight", "running_var"))))
    return weights


def complete(state_dict: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Fill in every tensor. The other tools insist on all, also on those that the features do not need."""
    import torch

    unused = {
        key: torch.zeros(value.shape, dtype=value.dtype)
        for key, value in published_names().items()
        if key.startswith("fc.") or key.endswith("num_batches_tracked")
    }
    return {**{key: value.float() for key, value in state_dict.items()}, **unused}


def published_names() -> dict[str, torch.Tensor]:
    """Return every tensor of pytorch-fid's network without values. Names and shapes are torchvision's."""
    import torch
    from torchvision.models import inception_v3

    with torch.device("meta"):
        return inception_v3(num_classes=1008, aux_logits=False, init_weights=False).state_dict()


def save_torchscript(work: Path) -> None:
    """Save the network for clean-fid's "clean" mode: a TorchScript file whose ``layers`` take scaled pixels."""
    import torch

    class Scripted(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = torch.nn.Sequential(*open_pytorch_fid(work).blocks)

        def forward(self, scaled: torch.Tensor) -> torch.Tensor:
            return self.layers(scaled)

    torch.jit.trace(Scripted().eval(), torch.zeros(1, 3, 299, 299)).save(str(work / SCRIPTED))


def reference_moments(work: Path) -> FrechetStatistics:
    """Return moments of full rank, of features scattered about those of other images: a likely mean and spectrum."""
    from facegen.data.images import open_images
    from facegen.metrics.frechet import frechet_statistics

    features = open_extractor(work)([image for _, image in open_images(work / "others")]).astype(np.float64)
    random = np.random.default_rng(0)
    rows = features[random.integers(0, len(features), REFERENCE_FEATURES)]
    return frechet_statistics(rows + random.normal(size=rows.shape) * features.std(axis=0) / 2)


def save_moments(path: Path, statistics: FrechetStatistics) -> None:
    np.savez(path, mu=statistics.mu, sigma=statistics.sigma)


def read_moments(path: Path) -> FrechetStatistics:
    from facegen.metrics.frechet import FrechetStatistics

    with np.load(path) as file:
        return FrechetStatistics(None, file["mu"], file["sigma"])


def moments(features: np.ndarray) -> FrechetStatistics:
    """Return mean and covariance as the other tools compute them: numpy's mean stays float32 if the features are."""
    from facegen.metrics.frechet import FrechetStatistics

    return FrechetStatistics(len(features), np.mean(features, axis=0), np.cov(features, rowvar=False))


def open_pytorch_fid(work: Path) -> torch.nn.Module:
    import torch

    from facegen.checks.reference_fid import reference_network

    return reference_network(torch.load(work / WEIGHTS, weights_only=True))


def load_pytorch_fid(work: Path) -> Features:
    from pytorch_fid.fid_score import get_activations

    network = open_pytorch_fid(work)
    return lambda folder: moments(
        get_activations(sorted(folder.iterdir()), network, 50, 2048, "cpu", os.cpu_count() or 1)
    )


def pytorch_fid_distance(first: FrechetStatistics, second: FrechetStatistics) -> float:
    from facegen.checks.reference_fid import reference_distance

    return reference_distance(first.mu, first.sigma, second.mu, second.sigma)


def load_torch_fidelity(work: Path) -> Features:
    from torch_fidelity.utils import create_feature_extractor, extract_featuresdict_from_input_id

    options = {"feature_extractor_weights_path": str(work / WEIGHTS), "cuda": False, "verbose": False}
    network = create_feature_extractor("inception-v3-compat", ["2048"], **options)
    return lambda folder: moments(
        extract_featuresdict_from_input_id(1, network, input1=str(folder), **options)["2048"].numpy()
    )


def torch_fidelity_distance(first: FrechetStatistics, second: FrechetStatistics) -> float:
    from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_statistics_to_metric

    both = [{"mu": x.mu.astype(np.float32), "sigma": x.sigma} for x in (first, second)]
    return float(fid_statistics_to_metric(*both, verbose=False)[KEY_METRIC_FID])


def load_torchmetrics(work: Path) -> Features:
    import torch
    from torch.utils.data import DataLoader
    from torch_fidelity.datasets import ImagesPathDataset, TransformPILtoRGBTensor
    from torchmetrics.image.fid import FrechetInceptionDistance

    metric = FrechetInceptionDistance(feature_extractor_weights_path=str(work / WEIGHTS))

    def features(folder: Path) -> FrechetStatistics:
        from facegen.metrics.frechet import FrechetStatistics

        files = sorted(map(str, folder.iterdir()))
        images = ImagesPathDataset(files, TransformPILtoRGBTensor())
        with torch.inference_mode():
            for batch in DataLoader(images, batch_size=50, num_workers=os.cpu_count() or 1):
                metric.update(batch, real=False)
        n, mu = len(files), metric.fake_features_sum / len(files)
        sigma = (metric.fake_features_cov_sum - n * torch.outer(mu, mu)) / (n - 1)
        return FrechetStatistics(n, mu.numpy(), sigma.numpy())

    return features


def torchmetrics_distance(first: FrechetStatistics, second: FrechetStatistics) -> float:
    import torch
    from torchmetrics.image.fid import _compute_fid

    return float(_compute_fid(*map(torch.from_numpy, (first.mu, first.sigma, second.mu, second.sigma))))


def load_clean_fid(work: Path, mode: str) -> Features:
    import torch
    from cleanfid import fid, inception_pytorch
    from cleanfid.inception_torchscript import InceptionV3W

    device = torch.device("cpu")
    if mode == "clean":
        network = InceptionV3W(str(work), download=False)
    else:
        inception_pytorch.load_state_dict_from_url = lambda *_, **__: torch.load(work / WEIGHTS, weights_only=True)
        network = fid.build_feature_extractor(mode, device, use_dataparallel=False)
    # The batch size and workers of its compute_fid.
    return lambda folder: moments(
        fid.get_folder_features(str(folder), network, 12, batch_size=32, device=device, mode=mode, verbose=False)
    )


def clean_fid_distance(first: FrechetStatistics, second: FrechetStatistics) -> float:
    from cleanfid.fid import frechet_distance

    return float(frechet_distance(first.mu, first.sigma, second.mu, second.sigma))


def open_extractor(work: Path) -> FeatureExtractor:
    from facegen.extractors import opening

    return opening.open_extractor(weights=work / WEIGHTS, device="cpu")


def load_facegen(work: Path) -> Features:
    from facegen.data.images import open_images
    from facegen.scoring.features import compute_features

    extractor = open_extractor(work)
    return lambda folder: (
        compute_features((image for _, image in open_images(folder)), extractor, "The images").statistics
    )


def facegen_distance(first: FrechetStatistics, second: FrechetStatistics) -> float:
    from facegen.metrics.frechet import frechet_distance

    return frechet_distance(first, second)


@dataclass(frozen=True)
class Tool:
    """The way to measure one tool.

    Attributes:
        module: The package of the tool.
        load: Maps a work folder to a function from a folder of images to their moments.
        distance: Maps the images' and the reference's moments to a distance.
        note: How its features differ from pytorch-fid's; empty if they do not.
    """

    module: str
    load: Callable[[Path], Features]
    distance: Callable[[FrechetStatistics, FrechetStatistics], float]
    note: str = ""


SCALE = "scales pixels by (x − 128)/128, as TensorFlow's graph did, where pytorch-fid has (x − 127.5)/127.5"
TOOLS = {
    "pytorch-fid": Tool("pytorch_fid", load_pytorch_fid, pytorch_fid_distance),
    "torch-fidelity": Tool(
        "torch_fidelity",
        load_torch_fidelity,
        torch_fidelity_distance,
        f"resizes as TensorFlow 1 did, bilinear without half-pixel centres; {SCALE}",
    ),
    "torchmetrics": Tool("torchmetrics", load_torchmetrics, torchmetrics_distance, f"resizes alike, but {SCALE}"),
    "clean-fid": Tool(
        "cleanfid", partial(load_clean_fid, mode="clean"), clean_fid_distance, f"resizes by PIL's bicubic; {SCALE}"
    ),
    "clean-fid legacy": Tool("cleanfid", partial(load_clean_fid, mode="legacy_pytorch"), clean_fid_distance),
    "facegen": Tool("facegen", load_facegen, facegen_distance),
}


def measure(name: str, work: Path) -> dict[str, float]:
    """Measure a tool. It runs in its own process."""
    tool = TOOLS[name]
    features, reference = tool.load(work), read_moments(work / REFERENCE)
    start = time.perf_counter()
    statistics = features(work / "images")
    featured = time.perf_counter()
    value = tool.distance(statistics, reference)
    done = time.perf_counter()
    memory = peak_memory()
    ours = facegen_distance(statistics, reference)
    return {
        "features": featured - start,
        "distance": done - featured,
        "together": done - start,
        "memory": memory,
        "value": value,
        "distance_error": abs(value - ours) / ours,
    }


def peak_memory() -> float:
    """Return this process's peak resident memory in MB; NaN if the platform does not report it."""
    try:
        import resource
    except ImportError:  # Windows has no resource module
        return float("nan")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


def compare(work: Path, tools: list[str], rounds: int) -> list[list[Cell]]:
    """Run the tools in turn, print their results, and return a row for each."""
    n = len(list((work / "images").iterdir()))
    print(f"{n:,} images, 2,048 dims, {os.cpu_count()} cores; medians of {rounds} rounds", flush=True)
    outcomes: dict[str, list[dict[str, float]]] = {name: [] for name in tools}
    for round_ in range(rounds):
        for name in tools[round_ % len(tools) :] + tools[: round_ % len(tools)]:
            command = [sys.executable, __file__, "--measure", name, "--work", str(work)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(f"{name} failed:\n{done.stderr}")
            outcomes[name].append(json.loads(done.stdout.splitlines()[-1]))

    rows: list[list[Cell]] = []
    header = ("features s", "distance s", "together s", "facegen ×", "peak MB", "value", "pytorch-fid", "distance")
    print(f"{'':17}" + "".join(f"{title:>12}" for title in header))
    for name in tools:
        median = {key: float(np.median([run[key] for run in outcomes[name]])) for key in outcomes[name][0]}
        print(
            f"{name:17}{median['features']:12.2f}{median['distance']:12.2f}{median['together']:12.2f}"
            f"{paired(outcomes, name, 'facegen'):12.2f}{median['memory']:12.0f}{median['value']:12.5f}"
            f"{off(outcomes, name, 'pytorch-fid'):12.1e}{median['distance_error']:12.1e}"
        )
        cells = [*(median[key] for key in ("features", "distance", "together")), paired(outcomes, name, "facegen")]
        cells += [median["memory"], median["value"], off(outcomes, name, "pytorch-fid"), median["distance_error"]]
        rows.append([name, *(cell if np.isfinite(cell) else None for cell in cells)])
    for name in tools:
        if TOOLS[name].note:
            print(f"{name} {TOOLS[name].note}.")
    return rows


def paired(outcomes: dict[str, list[dict[str, float]]], name: str, base: str) -> float:
    """Return the median over rounds of how many times longer it took than ``base``; NaN if ``base`` did not run."""
    rounds = zip(outcomes[name], outcomes.get(base, []), strict=False)
    ratios = [one["together"] / other["together"] for one, other in rounds]
    return float(np.median(ratios)) if ratios else float("nan")


def off(outcomes: dict[str, list[dict[str, float]]], name: str, base: str) -> float:
    """Return the relative difference of its value from ``base``'s; NaN if ``base`` did not run."""
    if base not in outcomes:
        return float("nan")
    value, truth = (outcomes[tool][0]["value"] for tool in (name, base))
    return abs(value - truth) / truth


if __name__ == "__main__":
    main()
