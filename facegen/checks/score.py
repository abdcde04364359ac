"""Compares a score by facegen with the same score by pytorch-fid's own code."""

from __future__ import annotations

from importlib import metadata
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor, nn

from facegen import console
from facegen.checks.check import CheckResult
from facegen.checks.reference_fid import reference_network, reference_score, seeded_weights
from facegen.data.synthetic import render_faces
from facegen.data.transform import resize_and_crop
from facegen.device import choose_device, placed
from facegen.extractors.feature_extractor import FeatureExtractor
from facegen.extractors.inception import InceptionFeatures
from facegen.extractors.table import extractors
from facegen.metrics.frechet import frechet_distance, frechet_statistics
from facegen.weights.state_dicts import read_state_dict

Features = npt.NDArray[np.float32]

IMAGES, BATCH, DIMS = 64, 8, 2048
#: Maximum relative difference. Rounding causes about 1e-6.
TOLERANCE = 1e-4


def check_score(images: int = IMAGES, dims: int = DIMS) -> CheckResult:
    """Check that facegen and pytorch-fid give the same score of one half of the images against the other.

    facegen computes on the device of ``--device auto``, pytorch-fid on the CPU, both with the same weights: the
    published ones if they are installed, else random ones from a fixed seed. 64 images take about 15 seconds on two
    cores.

    Args:
        images: Number of synthetic faces of 64×64 pixels.
        dims: Number of features, which sets where Inception is cut: 64, 192, 768 or 2048.
    """
    entry = extractors()["inception"]
    found = entry.weights.find()
    if found is not None and found.right:
        weights, kind, name = read_state_dict(found.path), "the published", entry.published_as
    else:
        weights, kind, name = seeded_weights(), "seeded", entry.custom_as
    device = choose_device("auto")
    network = placed(InceptionFeatures(weights, dims), device)
    extractor = FeatureExtractor(name, "", dims, network, device)
    faces = np.stack([resize_and_crop(Image.fromarray(face), 64) for face in render_faces(0, range(images))])
    console.info(f"Scoring {images} images by facegen and by pytorch-fid, which may take half a minute.")
    with console.progress("Scoring by both", 2 * images) as task:
        ours = []
        for part in _parts(faces):
            ours.append(extractor.all_features(part))
            task.advance(len(part))
        theirs = []
        # channels_last saves a quarter of the time and does not change the arithmetic.
        reference = reference_network(weights, (dims,)).to(memory_format=torch.channels_last)
        for part in _parts(faces):
            theirs.append(_their_features(reference, part))
            task.advance(len(part))
    details = {"images": images, "weights": f"{kind} weights at {dims:,} dims", "device": device.type}
    return _compared(np.concatenate(ours), np.concatenate(theirs), details)


def _compared(ours: Features, theirs: Features, details: dict[str, Any]) -> CheckResult:
    """Compute both scores of the first half of the images against the second."""
    remedy = "Scores of this machine cannot be compared with others': upgrade torch, try --device cpu, and report it."
    for features, program in ((ours, "facegen"), (theirs, "pytorch-fid")):
        if not np.isfinite(features).all():
            return CheckResult("wrong", f"Features by {program} hold NaN or infinity.", remedy, details)
    half = len(ours) // 2
    value = frechet_distance(frechet_statistics(ours[:half]), frechet_statistics(ours[half:]))
    expected = reference_score(theirs[:half], theirs[half:])
    difference = abs(value - expected) / expected
    message = (
        f"{half} images score {value:.5f} against {len(ours) - half} others by facegen on {details['device']}, "
        f"{expected:.5f} by pytorch-fid {metadata.version('pytorch-fid')}: {difference:.0e} apart, "
        f"with {details['weights']}."
    )
    details = {
        **details,
        "value": value,
        "pytorch_fid": expected,
        "relative_difference": difference,
        "tolerance": TOLERANCE,
    }
    if difference > TOLERANCE:
        return CheckResult("wrong", message, remedy, details)
    return CheckResult("ok", message, None, details)


def _parts(images: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.uint8]]:
    return [images[at : at + BATCH] for at in range(0, len(images), BATCH)]


def _their_features(network: nn.Module, images: npt.NDArray[np.uint8]) -> Features:
    """Compute pytorch-fid's features [n, dims] of uint8 [n, H, W, 3]: pixels in [0, 1], averaged over positions."""
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
    with torch.inference_mode():
        maps: list[Tensor] = network(pixels)
    return maps[0].mean((2, 3)).numpy()
