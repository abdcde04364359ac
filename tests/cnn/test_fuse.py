from __future__ import annotations

import re
from collections.abc import Callable
from itertools import product

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.parametrizations import spectral_norm
from torchvision.models import mobilenet_v2, resnet18

from facegen.cnn.fuse import fold_batch_norm, fuse
from facegen.cnn.layers import CONVOLUTIONS, TRANSPOSED, ConvNormAct, make_norm
from facegen.cnn.registry import ARCHITECTURES

Randomise = Callable[[nn.Module], nn.Module]
Shape = tuple[int, ...]


def relative_difference(network: nn.Module, fused: nn.Module, x: Tensor) -> float:
    with torch.inference_mode():
        expected, got = network(x), fused(x)
    return ((got - expected).norm() / expected.norm()).item()


def batch_norms(network: nn.Module) -> int:
    return sum(isinstance(layer, _BatchNorm) for layer in network.modules())


def norms_fed_by_a_convolution(network: nn.Module, x: Tensor) -> int:
    """BatchNorms that are called on the very tensor which a sister, a convolution, returned, counted while it runs.

    Of another parent than the convolution's is the norm of a ``SelfModulatedNorm``, for one.
    """
    outputs, fed, hooks = [], 0, []
    parents = {child: parent for parent in network.modules() for child in parent.children()}

    def remember(conv: nn.Module, _: object, output: Tensor) -> None:
        outputs.append((parents.get(conv), output))

    def look(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        nonlocal fed
        fed += any(parents.get(norm) is parent and inputs[0] is output for parent, output in outputs)

    for layer in network.modules():
        if isinstance(layer, nn.modules.conv._ConvNd):
            hooks.append(layer.register_forward_hook(remember))
        elif isinstance(layer, _BatchNorm):
            hooks.append(layer.register_forward_pre_hook(look))
    with torch.inference_mode():
        network(x)
    for hook in hooks:
        hook.remove()
    return fed


class TestFoldBatchNorm:
    @pytest.mark.parametrize(("dims", "transposed", "bias", "affine"), [*product([1, 2, 3], *[[False, True]] * 3)])
    def test_changes_nothing(self, randomise: Randomise, dims: int, transposed: bool, bias: bool, affine: bool) -> None:
        conv = (TRANSPOSED if transposed else CONVOLUTIONS)[dims](4, 6, 3, stride=2, groups=2, bias=bias)
        norm = make_norm("batch", 6, dims)
        assert isinstance(norm, _BatchNorm)
        pair = randomise(nn.Sequential(conv, norm)).double()
        if not affine:
            norm.affine, norm.weight, norm.bias = False, None, None
        x = torch.randn(2, 4, *[7] * dims, dtype=torch.float64)
        torch.testing.assert_close(fold_batch_norm(conv, norm)(x), pair(x), rtol=1e-12, atol=1e-12)

    def test_of_a_spectrally_normalised_weight_folds_the_value(self, randomise: Randomise) -> None:
        pair = randomise(nn.Sequential(spectral_norm(nn.Conv2d(3, 4, 3)), nn.BatchNorm2d(4))).double()
        folded = fold_batch_norm(*pair)
        x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
        torch.testing.assert_close(folded(x), pair(x), rtol=1e-12, atol=1e-12)
        assert set(folded.state_dict()) == {"weight", "bias"}

    @pytest.mark.parametrize("training", [0, 1])
    def test_refuses_training_mode(self, training: int) -> None:
        pair = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1)).eval()
        pair[training].train()
        with pytest.raises(ValueError, match="eval"):
            fold_batch_norm(*pair)

    def test_refuses_a_norm_without_running_statistics(self) -> None:
        norm = nn.BatchNorm2d(1, track_running_stats=False).eval()
        with pytest.raises(ValueError, match="running statistics"):
            fold_batch_norm(nn.Conv2d(1, 1, 1).eval(), norm)

    def test_refuses_other_layers(self) -> None:
        with pytest.raises(ValueError, match="BatchNorm1d into Linear"):
            fold_batch_norm(nn.Linear(2, 2).eval(), nn.BatchNorm1d(2).eval())  # type: ignore[arg-type]


#: Of a family that differs in depth alone, the shallow ones have each kind of block.
DEEPER = re.compile(r"vgg(13|16|19)(_bn)?|(preact_)?resnet(34|101|152|32|44|56|110)|plain56|densenet(161|169|201)")
SHALLOW = {name: each for name, each in ARCHITECTURES.items() if not DEEPER.fullmatch(name)}


class TestRegisteredNetworks:
    @pytest.fixture(params=SHALLOW.values(), ids=SHALLOW)
    def network_and_input(
        self, request: pytest.FixtureRequest, randomise: Randomise, build_small: Callable[..., tuple[nn.Module, Shape]]
    ) -> tuple[nn.Module, Tensor]:
        torch.manual_seed(0)
        network, shape = build_small(request.param)
        x = request.param.random_input(1, shape)
        return randomise(network).double(), x.double() if x.is_floating_point() else x

    def test_keep_their_outputs_and_lose_every_norm_that_follows_a_convolution(
        self, network_and_input: tuple[nn.Module, Tensor]
    ) -> None:
        network, x = network_and_input
        fused = fuse(network)
        # Measured: 3e-15. In float32 it is up to 2e-6, as the unfused network's own distance from its float64 form.
        assert relative_difference(network, fused, x) < 1e-13
        assert batch_norms(fused) == batch_norms(network) - norms_fed_by_a_convolution(network, x)


class TestOtherNetworks:
    @pytest.mark.parametrize("theirs", [resnet18, mobilenet_v2])
    def test_torchvisions_keep_their_outputs(self, randomise: Randomise, theirs: Callable[..., nn.Module]) -> None:
        torch.manual_seed(0)
        network, x = randomise(theirs(num_classes=10)), torch.randn(1, 3, 32, 32)
        fused = fuse(network)
        assert relative_difference(network, fused, x) < 1e-6
        assert 0 < norms_fed_by_a_convolution(network, x) == batch_norms(network) - batch_norms(fused)

    def test_the_given_network_is_not_touched(self) -> None:
        network = ConvNormAct(3, 4).eval()
        before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        fuse(network)
        assert batch_norms(network) == 1
        assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())

    def test_training_mode_is_refused(self) -> None:
        with pytest.raises(ValueError, match="eval"):
            fuse(ConvNormAct(3, 4).train())

    def test_a_part_in_training_mode_is_refused(self) -> None:
        network = nn.Sequential(ConvNormAct(3, 4)).eval()
        network[0].train()
        with pytest.raises(ValueError, match="eval"):
            fuse(network)


class OrderOfRegistration(nn.Module):
    """Registers two convolutions, then their norms, as much code does: conv2 stands next to norm1."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 3)
        self.norm1, self.norm2 = nn.BatchNorm2d(3), nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm2(self.conv2(self.norm1(self.conv1(x))))


class Conv(nn.Module):
    """A convolution and a norm; subclasses say what is done with them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)


class NormFirst(Conv):
    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.norm(x))


class UsedBeside(Conv):
    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return y + self.norm(y)


class ConvTwice(Conv):
    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.norm(self.conv(x)))


class NormTwice(Conv):
    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.norm(self.conv(x)))


class ActivationBetween(Conv):
    def forward(self, x: Tensor) -> Tensor:
        return self.norm(torch.relu(self.conv(x)))


class Untraceable(Conv):
    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x)) if x.sum() > 0 else x


def shared_activation() -> nn.Module:
    """What ``named_children`` lists as conv, relu, conv, norm."""
    relu = nn.ReLU()
    return nn.Sequential(nn.Conv2d(3, 3, 3), relu, nn.Conv2d(3, 3, 3), relu, nn.BatchNorm2d(3))


def shared_norm() -> nn.Module:
    norm = nn.BatchNorm2d(3)
    return nn.Sequential(nn.Conv2d(3, 3, 3), norm, nn.Conv2d(3, 3, 3), norm)


def shared_convolution() -> nn.Module:
    conv = nn.Conv2d(3, 3, 3)
    return nn.Sequential(conv, nn.BatchNorm2d(3), conv, nn.ReLU())


def hook_that_doubles() -> nn.Module:
    network = ConvNormAct(3, 3)
    network.conv.register_forward_hook(lambda module, inputs, output: 2 * output)
    return network


class Standardised(nn.Conv2d):
    """Qiao et al., arXiv:1903.10520: whatever the weight's scale, it is divided out."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.conv2d(x, (self.weight - self.weight.mean()) / self.weight.std(), self.bias)


def subclassed_convolution() -> nn.Module:
    return nn.Sequential(Standardised(3, 3, 3), nn.BatchNorm2d(3))


def spectral_norm_by_hooks() -> nn.Module:
    # As it was before there were parametrizations: a hook that computes the weight before each call.
    return nn.Sequential(nn.utils.spectral_norm(nn.Conv2d(3, 3, 3)), nn.BatchNorm2d(3))


class TestDangers:
    @pytest.mark.parametrize("make", [OrderOfRegistration, lambda: nn.Sequential(*[ConvNormAct(3, 3)] * 2)])
    def test_norms_that_can_go(self, randomise: Randomise, make: Callable[[], nn.Module]) -> None:
        network = randomise(make()).double()
        fused = fuse(network)
        assert batch_norms(fused) == 0
        assert relative_difference(network, fused, torch.rand(2, 3, 8, 8, dtype=torch.float64)) < 1e-13

    @pytest.mark.parametrize(
        "make",
        [
            NormFirst,
            UsedBeside,
            ConvTwice,
            NormTwice,
            ActivationBetween,
            Untraceable,
            shared_activation,
            shared_norm,
            shared_convolution,
            hook_that_doubles,
            spectral_norm_by_hooks,
            subclassed_convolution,
        ],
    )
    def test_norms_that_must_stay(self, randomise: Randomise, make: Callable[[], nn.Module]) -> None:
        torch.manual_seed(0)
        network = randomise(make()).double()
        fused = fuse(network)
        assert batch_norms(fused) == batch_norms(network)
        assert relative_difference(network, fused, torch.rand(2, 3, 8, 8, dtype=torch.float64)) < 1e-13

    def test_a_norm_without_running_statistics_stays(self) -> None:
        network = nn.Sequential(nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3, track_running_stats=False)).eval()
        assert batch_norms(fuse(network)) == 1
