"""Networks with the weights of a file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from facegen.cnn.registry import find_architecture
from facegen.errors import InputError
from facegen.weights.loading import network_from_file

LENET = find_architecture("lenet5")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Of a LeNet-5 with three classes, and of an auxiliary classifier that it does not have."""
    torch.manual_seed(0)
    path = tmp_path / "weights.pth"
    torch.save({**LENET.build(classes=3).state_dict(), "aux1.fc.weight": torch.zeros(3, 4)}, path)
    return path


def test_the_network_has_the_files_weights_and_classes(weights: Path) -> None:
    network = network_from_file(LENET, {}, weights)
    stored = torch.load(weights, weights_only=True)
    assert all(torch.equal(tensor, stored[key]) for key, tensor in network.state_dict().items())
    assert network(torch.zeros(1, *LENET.input)).shape == (1, 3) and not network.training


def test_weights_of_another_width_do_not_fit(weights: Path) -> None:
    with pytest.raises(InputError, match=r"weights\.pth does not fit lenet5: size mismatch"):
        network_from_file(LENET, {"width": 3}, weights)
