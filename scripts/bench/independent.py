#!/usr/bin/env python
"""Judge generated faces with a network that knows nothing of ImageNet: a table in Markdown, or JSON.

    pip install -e '.[bench]'
    facegen prepare img_align_celeba.zip celeba --partition list_eval_partition.txt
    python scripts/bench/independent.py images/ submission.tar.gz --reference celeba
    OMP_NUM_THREADS=1 python scripts/bench/independent.py images.npy --reference celeba --n 1000 --json

Generators trained against ImageNet features flatter FID, whose network was trained on ImageNet (Kynkäänniemi et al.,
arXiv:2203.06026). Here the features are the 128 dims of dlib's face recognition network, which has seen only faces.
dlib's frontal face detector (histograms of oriented gradients) counts the images that show a face.

Images are folders, archives, datasets, or .npy files (uint8 [N, 64, 64, 3]), 64×64 and aligned as CelebA's are. For a
dataset the train split is the reference and the others are held out. For any other reference, the images that are not
drawn are held out. The floor is the score of as many held-out images. Compare distances only at equal --n and
--reference-n. The reference's descriptors are kept in the cache folder. 1,000 images take some 12 seconds of one core.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from facegen.data.images import ImageCollection, open_images
from facegen.errors import EnvironmentProblem, FacegenError, InputError
from facegen.files import atomic_path, cache_folder, sha256_file
from facegen.metrics.frechet import FrechetStatistics, frechet_distance, frechet_statistics
from facegen.metrics.sampling import sample_rows
from facegen.scoring.features import require_enough
from facegen.scoring.reference import parts

SIZE, DIMS, BATCH = 64, 128, 8

#: Rows and columns of the face. This is where dlib's own alignment (``get_face_chip``: five landmarks, padding 0.25)
#: cuts CelebA's faces on average. Cut like this, 193 of 193 real faces are nearest to their own aligned chip. In a
#: box with the forehead (rows 12 to 56, columns 10 to 54) only one in seven is: the network saw no such chips.
ROWS, COLUMNS = slice(21, 60), slice(13, 52)
CHIP = 150

#: Side to which images are scaled for the detector, which looks for faces of 80 pixels. Of 200 real faces it finds none
#: at 64×64, 95% at 128, 97% at 160, 95% at 256 and 93% at 384 pixels. In noise it finds none.
DETECTED_AT = 160

WEIGHTS = "dlib_face_recognition_resnet_model_v1.dat"
WEIGHTS_SHA256 = "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30"

REMEDY = "Install it with: pip install -e '.[bench]'"

Images = npt.NDArray[np.uint8]  # [N, 64, 64, 3]
Descriptors = npt.NDArray[np.float32]  # [N, 128]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="*", type=Path, help="sets of images; without any, only the floor")
    parser.add_argument("--reference", type=Path, required=True, help="real images: a dataset, folder, archive or .npy")
    parser.add_argument("--n", type=int, default=1000, help="number of images per set (1000)")
    parser.add_argument("--reference-n", type=int, default=5000, help="number of reference images (5000)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    options = parser.parse_args()
    try:
        reference = open_face_reference(options.reference, options.n, options.reference_n)
        scores = {str(path): reference.score(read_images(path, options.n)) for path in options.images}
        record = {
            "reference": str(options.reference),
            "reference_n": reference.statistics.n,
            "n": options.n,
            "weights_sha256": WEIGHTS_SHA256,
            "floor": asdict(reference.floor) if reference.floor else None,
            "sets": {name: asdict(score) for name, score in scores.items()},
        }
    except FacegenError as problem:
        raise SystemExit(str(problem)) from problem
    print(json.dumps(record, indent=2) if options.json else in_markdown(record))


@dataclass(frozen=True)
class FaceJudgement:
    """The judgement of n images: ``descriptors``, float32 [n, 128], and ``found``, bool [n], true for a face."""

    descriptors: Descriptors
    found: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class FaceScore:
    """The Fréchet distance d² of n images' descriptors from the reference's, and the share of images with a face."""

    n: int
    distance: float
    found: float


@dataclass(frozen=True)
class FaceReference:
    """The statistics of real faces' descriptors, and ``heldout``, n other real images; None if there are too few."""

    statistics: FrechetStatistics
    heldout: Images | None

    def score(self, images: Images) -> FaceScore:
        """Score n ≥ 2 images."""
        judgement = judge_faces(images)
        distance = frechet_distance(frechet_statistics(judgement.descriptors), self.statistics)
        return FaceScore(len(images), distance, float(judgement.found.mean()))

    @cached_property
    def floor(self) -> FaceScore | None:
        """Return the score of the held-out images. No generator can be expected to do better."""
        return None if self.heldout is None else self.score(self.heldout)


def open_face_reference(path: Path, n: int = 1000, reference_n: int = 5000) -> FaceReference:
    """Open the reference at ``path``: at most ``reference_n`` real images, drawn with a seed, and n held-out ones.

    Raises:
        InputError: Nothing is there, images are not 64×64, or there are fewer than two.
        EnvironmentProblem: The network's weights are not installed.
    """
    source = open_source(path)
    used, others = (source, None) if isinstance(source, np.ndarray) else parts(source)
    rows = sample_rows(len(used), reference_n)
    require_enough(len(rows), f"The reference {path}")
    statistics = frechet_statistics(kept_descriptors(taken(used, rows)))
    left = np.setdiff1d(np.arange(len(used)), rows) if others is None else np.arange(len(others))
    if len(left) < max(n, 2):
        return FaceReference(statistics, None)
    return FaceReference(statistics, taken(used if others is None else others, left[sample_rows(len(left), n)]))


def read_images(path: Path, n: int) -> Images:
    """Return n of the images at ``path``, drawn with a seed. Raise InputError if there are fewer than n."""
    source = open_source(path)
    require_enough(min(len(source), n), str(path))
    if len(source) < n:
        raise InputError(
            f"{path} has {len(source):,} images, fewer than {n:,}.", f"Score all sets with --n {len(source)}."
        )
    return taken(source, sample_rows(len(source), n))


def open_source(path: Path) -> ImageCollection | Images:
    """Open the images at ``path``. An .npy's stay on disk. Raise InputError if it is absent or holds no images."""
    if path.suffix.lower() != ".npy":
        return open_images(path)
    try:
        images: Images = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as problem:
        raise InputError(f"Cannot read {path}: {problem}.") from problem
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (SIZE, SIZE, 3):
        raise InputError(f"{path} is {images.dtype} {list(images.shape)}, not uint8 [N, {SIZE}, {SIZE}, 3].")
    return images


def taken(source: ImageCollection | Images, rows: npt.NDArray[np.int64]) -> Images:
    """Return the images in these rows, in rising order. Raise InputError if one is not 64×64."""
    if isinstance(source, np.ndarray):
        return np.array(source[rows])
    images = np.empty((len(rows), SIZE, SIZE, 3), np.uint8)
    for place, (name, image) in zip(images, source.take(rows), strict=True):
        if image.shape != place.shape:
            height, width, _ = image.shape
            raise InputError(
                f"The image {name} in {source.path} is {width}×{height}, not {SIZE}×{SIZE}.",
                f"Scale and crop real images with: facegen prepare {source.path} DATASET",
            )
        place[:] = image
    return images


def judge_faces(images: Images) -> FaceJudgement:
    """Judge images, uint8 [n, 64, 64, 3], with dlib's networks. Raise EnvironmentProblem if they are not installed."""
    return FaceJudgement(descriptors_of(images), faces_found(images))


def faces_found(images: Images) -> npt.NDArray[np.bool_]:
    """Return whether dlib's frontal face detector finds a face in each image: bool [n]."""
    try:
        import dlib
    except ImportError as problem:
        raise EnvironmentProblem("dlib, whose detector finds the faces, is not installed.", REMEDY) from problem
    detector = dlib.get_frontal_face_detector()
    return np.array([len(detector(scaled(image, DETECTED_AT))) > 0 for image in images], dtype=np.bool_)


def scaled(image: Images, size: int) -> Images:
    """Scale an image [H, W, 3] to size×size, bilinear."""
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR))


def kept_descriptors(images: Images) -> Descriptors:
    """Return :func:`descriptors_of` the images from the cache folder, or compute them and keep them there."""
    how = [WEIGHTS_SHA256, str((ROWS, COLUMNS, CHIP))]
    key = hashlib.sha256(json.dumps([*how, hashlib.sha256(images.tobytes()).hexdigest()]).encode()).hexdigest()
    path = cache_folder() / "face-descriptors" / f"{key[:32]}.npy"
    try:
        known: Descriptors = np.load(path, allow_pickle=False)
        if known.shape == (len(images), DIMS):
            return known
    except (OSError, ValueError, EOFError):  # not there yet, or damaged
        pass
    new = descriptors_of(images)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.save(file, new)
    return new


def descriptors_of(images: Images) -> Descriptors:
    """Return the descriptors of faces in images, uint8 [n, 64, 64, 3], cut out where aligned faces are."""
    network = face_network()
    batches = []
    with torch.inference_mode():
        for start in range(0, len(images), BATCH):
            chips = np.stack([scaled(image[ROWS, COLUMNS], CHIP) for image in images[start : start + BATCH]])
            batches.append(network(torch.from_numpy(chips)).numpy())
    return np.concatenate(batches)


class FaceNetwork:
    """dlib's face recognition network in torch. dlib's own code, built without a BLAS, takes eleven times as long.

    The network is a ResNet of 29 convolutions (He et al., arXiv:1512.03385, the 34-layer one with fewer layers and half
    the width), trained on three million faces: https://github.com/davisking/dlib-models. As in dlib, a strided
    convolution is not padded, a shortcut is average-pooled, and a sum of unequal shapes is filled up with zeros.
    """

    #: The channels of each residual block: 32 to 256.
    STRIDES = (1, 1, 1, 2, 1, 1, 1, 2, 1, 1, 2, 1, 1, 2)
    MEAN = (122.782, 117.001, 104.298)

    def __init__(self, tensors: list[npt.NDArray[np.float32]]) -> None:
        """Load ``tensors``, in the order of :func:`read_tensors`: a convolution's and its affine layer's by turns."""
        *pairs, projection = map(torch.from_numpy, tensors)
        self._convolutions = []
        channels, kernel = 3, 7
        for parameters, affine in zip(pairs[::2], pairs[1::2], strict=True):
            gamma, beta = affine.view(2, -1)
            filters = parameters[: -len(gamma)].view(len(gamma), channels, kernel, kernel)
            bias = parameters[-len(gamma) :]
            self._convolutions.append((filters * gamma[:, None, None, None], bias * gamma + beta))
            channels, kernel = len(gamma), 3
        self._projection = projection.view(channels, DIMS)

    def __call__(self, chips: Tensor) -> Tensor:
        """Return descriptors float32 [n, 128] of chips uint8 [n, 150, 150, 3], RGB."""
        x = (chips.float() - torch.tensor(self.MEAN)).permute(0, 3, 1, 2) / 256
        stem, *blocks = self._convolutions
        x = F.max_pool2d(F.relu(F.conv2d(x, *stem, stride=2)), 3, 2)
        for stride, first, second in zip(self.STRIDES, blocks[::2], blocks[1::2], strict=True):
            y = F.relu(F.conv2d(x, *first, stride=stride, padding=1 if stride == 1 else 0))
            y = F.conv2d(y, *second, padding=1)
            x = F.relu(filled_sum(x if stride == 1 else F.avg_pool2d(x, 2), y))
        return x.mean((2, 3)) @ self._projection


def filled_sum(first: Tensor, second: Tensor) -> Tensor:
    """Add [n, C, H, W] tensors in the larger of both shapes. Missing entries at the ends count as zero."""
    _, channels, height, width = map(max, first.shape, second.shape)
    total = first.new_zeros(len(first), channels, height, width)
    for each in (first, second):
        total[:, : each.shape[1], : each.shape[2], : each.shape[3]] += each
    return total


@cache
def face_network() -> FaceNetwork:
    """Return the network with the published weights. Raise EnvironmentProblem if they are not installed."""
    # The package is not imported, because its own code needs pkg_resources, which setuptools has dropped.
    package = find_spec("face_recognition_models")
    if package is None or package.origin is None:
        raise EnvironmentProblem("face-recognition-models, which has the weights, is not installed.", REMEDY)
    path = Path(package.origin).parent / "models" / WEIGHTS
    if not path.is_file() or sha256_file(path) != WEIGHTS_SHA256:
        raise EnvironmentProblem(f"{path} is absent, damaged or of another release.", REMEDY)
    return FaceNetwork(list(read_tensors(path.read_bytes())))


#: Layers with parameters: the name, and how many integers stand between the name and its tensor.
LAYER = re.compile(rb"\x01(?:\x05con_4|\x07affine_|\x04(fc_2))")


def read_tensors(data: bytes) -> Iterator[npt.NDArray[np.float32]]:
    """Yield the parameters of each layer in a network that dlib has serialized, flat, from its input to its output.

    A layer is its name and its tensor (a fully connected one has its two sizes between them). The tensor is an integer
    for the format's version, four integers for the shape, and the values as little-endian float32. An integer is its
    number of bytes, then these bytes, the lowest first. Other data of a layer does not matter here.
    """
    at = 0
    while layer := LAYER.search(data, at):
        at = layer.end()
        numbers = []
        for _ in range(7 if layer[1] else 5):
            length = data[at]
            numbers.append(int.from_bytes(data[at + 1 : at + 1 + length], "little"))
            at += 1 + length
        count = int(np.prod(numbers[-4:]))
        yield np.frombuffer(data, "<f4", count, at).astype(np.float32)
        at += 4 * count


def in_markdown(record: dict[str, Any]) -> str:
    """Return the sets as a table, the nearest first, and below them the floor."""
    rows = sorted(record["sets"].items(), key=lambda item: item[1]["distance"])
    if record["floor"]:
        rows.append(("floor: held-out real images", record["floor"]))
    columns = ["images", "N", f"face descriptor FD, against {record['reference_n']:,}", "faces found"]
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    lines += [f"| {name} | {row['n']:,} | {row['distance']:.4f} | {row['found']:.1%} |" for name, row in rows]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
