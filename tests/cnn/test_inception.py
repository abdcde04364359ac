"""Inception-v3 against torchvision's. tests/metrics and tests/stages hold the variant for FID to pytorch-fid's."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torchvision.models import inception_v3

from facegen.cnn.inception import InceptionV3
from facegen.cnn.registry import find_architecture

Randomise = Callable[[nn.Module], nn.Module]


@pytest.mark.parametrize(
    ("name", "auxiliary", "published"),
    [
        ("inception_v3", False, 23_834_568),
        ("inception_v3", True, 27_161_264),
        ("inception_v3_fid", False, 23_850_960),  # eight classes more, of 2,048 weights and a bias each
    ],
)
def test_published_number_of_parameters(name: str, auxiliary: bool, published: int) -> None:
    with torch.device("meta"):
        network = find_architecture(name).build(auxiliary=auxiliary)
    assert sum(p.numel() for p in network.parameters()) == published


def test_logits_are_torchvisions(randomise: Randomise) -> None:
    """With the auxiliary head's, which needs images of 299×299."""
    architecture = find_architecture("inception_v3")
    theirs = randomise(inception_v3(init_weights=False))
    with torch.device("meta"):  # no time for initial weights
        ours = architecture.build(auxiliary=True).eval()
    ours.load_state_dict(architecture.convert(theirs.state_dict()), assign=True)
    theirs.training = True  # of the network alone, not of its layers: it answers with its auxiliary logits too
    x = torch.randn(1, 3, 299, 299)
    with torch.inference_mode():
        expected = theirs(x)
        logits, auxiliary = ours.forward_with_auxiliary(x)
        assert torch.equal(ours(x), logits)
    torch.testing.assert_close(logits, expected.logits, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(auxiliary, expected.aux_logits, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["inception_v3", "inception_v3_fid"])
def test_our_own_names_pass_through_the_key_rules(name: str) -> None:
    architecture = find_architecture(name)
    with torch.device("meta"):
        own = architecture.build(auxiliary=True).state_dict()
    assert list(architecture.convert(own)) == list(own)


def test_maps_are_those_of_the_papers_table() -> None:
    with torch.device("meta"):
        x, maps = torch.zeros(1, 3, 299, 299), {}
        for name, stage in InceptionV3().features.named_children():
            x = stage(x)
            maps[name] = tuple(x.shape[1:])
    expected = {
        "conv1a": (32, 149, 149),
        "conv2a": (32, 147, 147),
        "conv2b": (64, 147, 147),
        "pool1": (64, 73, 73),
        "mixed5d": (288, 35, 35),
        "mixed6e": (768, 17, 17),
        "mixed7a": (1280, 8, 8),
        "mixed7c": (2048, 8, 8),
    }
    assert {name: maps[name] for name in expected} == expected


@pytest.mark.parametrize(("size", "side"), [(64, 7), (32, 3)])
def test_laid_out_for_small_images_it_keeps_positions(size: int, side: int) -> None:
    network = InceptionV3(classes=2, width=4, size=64, auxiliary=True)
    x = torch.randn(2, 3, size, size)
    assert network.features(x).shape == (2, 256, side, side)
    assert [logits.shape for logits in network.forward_with_auxiliary(x)] == [(2, 2)] * 2


def test_initial_weights_are_the_authors_truncated_normals() -> None:
    torch.manual_seed(0)
    network = InceptionV3(width=16, auxiliary=True)
    head = network.auxiliary["mixed6e"]
    layers = (network.features.mixed7c.branches[0][0].conv, head.conv1.conv, head.fc)
    assert [f"{layer.weight.abs().max():.1g}" for layer in layers] == ["0.2", "0.02", "0.002"]
