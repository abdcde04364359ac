"""VGG against the paper's figures (Simonyan and Zisserman, arXiv:1409.1556) and torchvision."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torchvision
from torch import nn
from torchvision.models.vgg import cfgs, make_layers

from facegen.cnn.registry import find_architecture

#: torchvision's num_params, and the letter of table 1's column.
PUBLISHED = {
    "vgg11": (132_863_336, "A"),
    "vgg13": (133_047_848, "B"),
    "vgg16": (138_357_544, "D"),
    "vgg19": (143_667_240, "E"),
    "vgg11_bn": (132_868_840, "A"),
    "vgg13_bn": (133_053_736, "B"),
    "vgg16_bn": (138_365_992, "D"),
    "vgg19_bn": (143_678_248, "E"),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_number_of_parameters(name: str) -> None:
    with torch.device("meta"):
        network = find_architecture(name).build()
    assert sum(parameter.numel() for parameter in network.parameters()) == PUBLISHED[name][0]


@pytest.mark.parametrize("name", PUBLISHED)
def test_torchvisions_state_dict_loads_with_every_key(name: str) -> None:
    architecture = find_architecture(name)
    with torch.device("meta"):
        theirs, ours = torchvision.models.get_model(name), architecture.build()
    ours.load_state_dict(architecture.convert(theirs.state_dict()), assign=True)


@pytest.mark.parametrize("name", PUBLISHED)
def test_logits_equal_those_of_torchvisions_layers_at_an_eighth_of_the_width(
    name: str, largest_difference: Callable[..., float]
) -> None:
    # The full networks are half a gigabyte each; torchvision builds narrow ones with the same code.
    with torch.device("meta"):
        theirs = torchvision.models.get_model(name)
    layout = [entry if isinstance(entry, str) else entry // 8 for entry in cfgs[PUBLISHED[name][1]]]
    theirs.features = make_layers(layout, batch_norm=name.endswith("_bn"))
    theirs.classifier = nn.Sequential(
        *(nn.Linear(64 * 7 * 7, 512), nn.ReLU(), nn.Dropout(), nn.Linear(512, 512), nn.ReLU(), nn.Dropout()),
        nn.Linear(512, 1000),
    )
    assert largest_difference(name, theirs, torch.randn(2, 3, 96, 96), width=8) <= 1e-5


def test_logits_equal_torchvisions_at_full_width(largest_difference: Callable[..., float]) -> None:
    theirs = torchvision.models.vgg16_bn(init_weights=False)
    assert largest_difference("vgg16_bn", theirs, torch.randn(1, 3, 64, 64)) <= 1e-5


@pytest.mark.parametrize(("size", "positions"), [(32, 2), (64, 4), (96, 6)])
def test_fc6_of_small_images_sees_a_map_of_a_sixteenth(size: int, positions: int) -> None:
    network = find_architecture("vgg16").build(width=8, classes=2, size=size)
    x = torch.zeros(1, 3, size, size)
    assert network.features(x).shape == (1, 64, positions, positions)
    assert network.embed(x).shape == (1, 64 * positions**2)
