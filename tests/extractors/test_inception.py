"""FID's features against pytorch-fid's own network with seeded random weights."""

from __future__ import annotations

from contextlib import AbstractContextManager

import pytest
import torch
from torch import Tensor

from facegen.checks.reference_fid import reference_network, seeded_weights
from facegen.cnn.registry import find_architecture
from facegen.extractors.inception import DIMS, InceptionFeatures


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    return seeded_weights()


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randint(256, (2, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def expected(weights: dict[str, Tensor], images: Tensor) -> dict[int, Tensor]:
    """pytorch-fid's features at its four cuts."""
    with torch.inference_mode():
        maps = reference_network(weights, DIMS)(images / 255)
    return {cut.shape[1]: cut.mean((2, 3)) for cut in maps}


@pytest.mark.parametrize("dims", DIMS)
def test_features_are_pytorch_fids(
    dims: int, weights: dict[str, Tensor], images: Tensor, expected: dict[int, Tensor]
) -> None:
    network = InceptionFeatures(weights, dims)
    with torch.inference_mode():
        features = network(network.resize(images))
    assert features.shape == (2, dims)
    assert (features - expected[dims]).abs().max() <= 1e-5 * expected[dims].abs().max()


def test_an_apple_gpu_is_given_no_channels_last(
    weights: dict[str, Tensor], images: Tensor, expected: dict[int, Tensor], apple_gpu: AbstractContextManager[None]
) -> None:
    network = InceptionFeatures(weights, 64).to(memory_format=torch.contiguous_format)
    channels_last = network.resize(images).contiguous(memory_format=torch.channels_last)
    with apple_gpu, torch.inference_mode():
        features = network.to(torch.device("mps"))(channels_last.to(torch.device("mps")))
    assert (features - expected[64]).abs().max() <= 1e-5 * expected[64].abs().max()


def test_weights_under_our_own_names_are_the_same_weights(weights: dict[str, Tensor]) -> None:
    ours = find_architecture("inception_v3_fid").convert(weights)
    by_ours, by_theirs = InceptionFeatures(ours, 64), InceptionFeatures(weights, 64)
    for key, value in by_theirs.state_dict().items():
        assert torch.equal(by_ours.state_dict()[key], value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"Mixed_5b.branch1x1.conv.weight": None}, "1 of its 470 tensors are missing, the first is 'features.mixed5b"),
        ({"AuxLogits.fc.bias": torch.zeros(1008)}, "1 tensors of another network, the first is 'AuxLogits.fc.bias'"),
        ({"Mixed_7c.branch_pool.bn.bias": torch.zeros(9)}, r"'Mixed_7c.branch_pool.bn.bias' is \[9\] and should be"),
        ({"Mixed_6e.branch7x7_3.bn.bias": torch.full((192,), torch.nan)}, "'Mixed_6e.branch7x7_3.bn.bias' holds NaN"),
    ],
    ids=["missing", "unknown", "shape", "NaN"],
)
def test_a_tensor_that_does_not_fit_is_named(
    weights: dict[str, Tensor], changes: dict[str, Tensor | None], words: str
) -> None:
    damaged = {key: value for key, value in {**weights, **changes}.items() if value is not None}
    with pytest.raises(ValueError, match=words):
        InceptionFeatures(damaged)


def test_the_classifier_and_the_counters_may_be_absent(weights: dict[str, Tensor]) -> None:
    needed = {key: v for key, v in weights.items() if not key.startswith("fc.") and "num_batches" not in key}
    assert len(needed) == 470
    InceptionFeatures(needed, 64)


def test_other_dims_are_an_error(weights: dict[str, Tensor]) -> None:
    with pytest.raises(ValueError, match="no cut at 100 dims: 64, 192, 768, 2048"):
        InceptionFeatures(weights, 100)
