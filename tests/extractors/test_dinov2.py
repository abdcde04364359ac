"""FD_DINOv2's features: dgm-eval's pixels, a state dict of the published layout, and names that say what it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result
from PIL import Image
from torch import Tensor
from torchvision import transforms

from facegen.cnn.dinov2 import VisionTransformer
from facegen.errors import EnvironmentProblem, InputError
from facegen.extractors import table
from facegen.extractors.dinov2 import DinoV2Features
from facegen.extractors.labels import metric_label
from facegen.extractors.opening import open_extractor

DIMS = 24


def small() -> VisionTransformer:
    return VisionTransformer(DIMS, depth=2, heads=3)


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(0)
    return {key: torch.randn(value.shape, generator=random) * 0.3 for key, value in small().state_dict().items()}


@pytest.fixture
def file(weights: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A seeded state dict in a file; ``dinov2`` is a small network of the same layout."""
    torch.save(weights, tmp_path / "seeded.pth")
    (tmp_path / "small_dinov2.py").write_text(
        "from functools import partial\n"
        "from facegen.cnn.dinov2 import VisionTransformer\n"
        "from facegen.extractors.dinov2 import DinoV2Features\n"
        f"Features = partial(DinoV2Features, build=partial(VisionTransformer, {DIMS}, 2, 3))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    entry = replace(table._TABLE["dinov2"], dims=(DIMS,), default_dims=DIMS, network="small_dinov2:Features")
    monkeypatch.setitem(table._TABLE, "dinov2", entry)
    return tmp_path / "seeded.pth"


@pytest.mark.parametrize("shape", [(64, 64), (218, 178), (300, 500), (224, 224)])
def test_pixels_are_dgm_evals(weights: dict[str, Tensor], shape: tuple[int, int]) -> None:
    """dgm-eval's transform, written with torchvision as it is there."""
    theirs = transforms.Compose(
        [
            transforms.Resize((224, 224), transforms.InterpolationMode.BICUBIC),
            transforms.ToTensor(),
            transforms.Normalize(np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])),
        ]
    )
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    resized = DinoV2Features(weights, DIMS, small).resize(torch.from_numpy(image).permute(2, 0, 1)[None])
    torch.testing.assert_close(resized[0], theirs(Image.fromarray(image)), rtol=0, atol=0)


def test_features_are_the_class_tokens(weights: dict[str, Tensor]) -> None:
    network = DinoV2Features(weights, DIMS, small)
    plain = small()
    plain.load_state_dict(weights)
    resized = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        torch.testing.assert_close(network(resized), plain(resized))


def test_half_precision_weights_are_taken_as_float32(weights: dict[str, Tensor]) -> None:
    network = DinoV2Features({key: value.half() for key, value in weights.items()}, DIMS, small)
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mask_token": None}, "1 of its 35 tensors are missing, the first is 'mask_token'"),
        ({"register_tokens": torch.zeros(1, 4, DIMS)}, "1 tensors of another network, the first is 'register_tokens'"),
        ({"blocks.1.ls2.gamma": torch.zeros(9)}, r"'blocks.1.ls2.gamma' is \[9\] and should be \[24\]"),
        ({"norm.bias": torch.full((DIMS,), torch.nan)}, "'norm.bias' holds NaN"),
    ],
    ids=["missing", "registers", "shape", "NaN"],
)
def test_a_tensor_that_does_not_fit_is_named(
    weights: dict[str, Tensor], changes: dict[str, Tensor | None], words: str
) -> None:
    damaged = {key: value for key, value in {**weights, **changes}.items() if value is not None}
    with pytest.raises(ValueError, match=words):
        DinoV2Features(damaged, DIMS, small)


def test_other_dims_are_refused() -> None:
    with pytest.raises(InputError, match="dinov2 has 1024 dims, not 2048"):
        open_extractor("dinov2", dims=2048, device="cpu")


def test_the_published_weights_are_said_to_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(EnvironmentProblem, match=r"DINOv2 weights are not installed.*facegen weights dinov2 --from"):
        open_extractor("dinov2", device="cpu")


def test_its_distance_is_fd_dinov2_and_never_fid() -> None:
    assert metric_label("dinov2-vitl14", 1024) == "FD_DINOv2"
    assert metric_label("dinov2-custom", 1024) == "dinov2-custom FD"


def test_seeded_weights_score_under_a_name_of_their_own(
    file: Path, facegen: Callable[..., Result], pixels: np.ndarray, tmp_path: Path
) -> None:
    (tmp_path / "images").mkdir()
    for index, image in enumerate(pixels[:6]):
        Image.fromarray(image).save(tmp_path / "images" / f"{index}.png")
    words = ("fid", tmp_path / "images", "--reference", tmp_path / "images", "--extractor", "dinov2")
    answer = json.loads(facegen(*words, "--weights", file, "--device", "cpu", "--json").stdout)
    assert (answer["metric"], answer["extractor"], answer["dims"]) == ("fd", "dinov2-custom", DIMS)
    assert answer["value"] == pytest.approx(0, abs=1e-4) and answer["target"] is None
