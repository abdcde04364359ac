from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from facegen.cnn.fuse import fold_batch_norm, fuse


def with_statistics(network: nn.Module) -> nn.Module:
    """Random BatchNorm statistics and affine parameters, as training would leave them."""
    torch.manual_seed(0)
    for layer in network.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            nn.init.normal_(layer.running_mean)
            nn.init.uniform_(layer.running_var, 0.5, 2)
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias)
    return network.eval()


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("bias", [False, True])
def test_folding_changes_nothing(dims: int, bias: bool) -> None:
    conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dims - 1](4, 6, 3, groups=2, bias=bias)
    norm = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)[dims - 1](6)
    pair = with_statistics(nn.Sequential(conv, norm)).double()
    x = torch.randn(2, 4, *[7] * dims, dtype=torch.float64)
    torch.testing.assert_close(fold_batch_norm(conv, norm)(x), pair(x), rtol=1e-12, atol=1e-12)


def test_a_whole_network_keeps_its_output_and_loses_its_norms() -> None:
    network = with_statistics(resnet18(num_classes=10))
    fused = fuse(network)
    x = torch.randn(2, 3, 64, 64)
    expected, got = network(x), fused(x)
    assert (got - expected).norm() / expected.norm() < 1e-6
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in fused.modules())
    assert any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())


def test_training_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="eval"):
        fuse(resnet18(num_classes=2).train())
    with pytest.raises(ValueError, match="eval"):
        fold_batch_norm(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1))


def test_a_norm_without_running_statistics_is_refused() -> None:
    norm = nn.BatchNorm2d(1, track_running_stats=False).eval()
    with pytest.raises(ValueError, match="running statistics"):
        fold_batch_norm(nn.Conv2d(1, 1, 1).eval(), norm)
