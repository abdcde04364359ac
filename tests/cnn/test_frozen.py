from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.parametrizations import spectral_norm

from facegen.cnn.efficientnet_lite import EfficientNetLite0, StridedConv
from facegen.cnn.frozen import FrozenConv2d, freeze

Randomise = Callable[[nn.Module], nn.Module]

#: The largest error that float32 and bfloat16 arithmetic may make, relative to the largest value.
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2**-7}


def look(network: nn.Module, x: Tensor, cotangent: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The output, and the gradient in ``x`` of its product with ``cotangent`` (with fixed random numbers)."""
    x = x.clone().requires_grad_()
    y = network(x)
    if cotangent is None:
        cotangent = torch.randn(y.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    (gradient,) = torch.autograd.grad(y, x, cotangent.to(y.dtype))
    return y.detach(), gradient


def error(got: Tensor, expected: Tensor) -> float:
    assert got.shape == expected.shape
    return ((got.double() - expected.double()).abs().max() / expected.double().abs().max()).item()


def rounded(layer: nn.Module, dtype: torch.dtype) -> nn.Module:
    """``layer`` in float64 with its weights rounded to ``dtype``: what a computation in it is to be compared with."""
    return layer.to(dtype).double()


def images(*size: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(1)).to(dtype)


@pytest.fixture
def small(randomise: Randomise) -> EfficientNetLite0:
    torch.manual_seed(0)
    network = randomise(EfficientNetLite0(classes=2, width=8))
    assert isinstance(network, EfficientNetLite0)
    return network


class TestFrozenConv2d:
    @pytest.mark.parametrize("dtype", TOLERANCE)
    @pytest.mark.parametrize("size", [(8, 6), (9, 11), (10, 7)])
    @pytest.mark.parametrize("groups", [1, 2, 6])
    @pytest.mark.parametrize("stride", [1, 2])
    @pytest.mark.parametrize("kernel", [1, 3, 5])
    def test_its_output_and_input_gradient_are_autograds(
        self, kernel: int, stride: int, groups: int, size: tuple[int, int], dtype: torch.dtype
    ) -> None:
        torch.manual_seed(0)
        conv = nn.Conv2d(6, 6, kernel, stride, kernel // 2, groups=groups)
        x = images(3, 6, *size, dtype=dtype)
        output, gradient = look(FrozenConv2d(conv, dtype), x)
        assert output.dtype == gradient.dtype == dtype
        expected = look(rounded(conv, dtype), x.double())
        assert max(map(error, (output, gradient), expected)) < TOLERANCE[dtype]

    @pytest.mark.parametrize("dtype", TOLERANCE)
    @pytest.mark.parametrize("size", [(8, 6), (9, 11), (10, 7), (2, 1)])
    @pytest.mark.parametrize("groups", [1, 6])
    @pytest.mark.parametrize("kernel", [1, 3, 5])
    def test_it_pads_by_itself_as_a_strided_conv(
        self, kernel: int, groups: int, size: tuple[int, int], dtype: torch.dtype
    ) -> None:
        torch.manual_seed(0)
        layer = StridedConv(6, 6, kernel, groups=groups, norm=None)
        frozen = freeze(layer, dtype)
        assert [type(part) for part in frozen.children()] == [FrozenConv2d, nn.Identity]
        x = images(3, 6, *size, dtype=dtype)
        expected = look(rounded(layer, dtype), x.double())
        assert max(map(error, look(frozen, x), expected)) < TOLERANCE[dtype]

    @pytest.mark.parametrize("dtype", TOLERANCE)
    @pytest.mark.parametrize(
        "conv",
        [
            nn.Conv2d(6, 6, 3, padding=2, dilation=2, groups=6),
            nn.Conv2d(6, 6, 1, padding=2, groups=6),
            nn.Conv2d(6, 6, (3, 5), stride=(2, 1), padding=(0, 1), groups=6, bias=False),
            nn.Conv2d(6, 12, 3, stride=3, groups=6),
            nn.Conv2d(6, 4, 1, stride=2),
        ],
        ids=["dilated", "wide-padding", "oblong", "two-each", "sparse"],
    )
    def test_other_layouts(self, conv: nn.Conv2d, dtype: torch.dtype) -> None:
        x = images(2, 6, 9, 10, dtype=dtype)
        expected = look(rounded(copy.deepcopy(conv), dtype), x.double())
        assert max(map(error, look(FrozenConv2d(conv, dtype), x), expected)) < TOLERANCE[dtype]

    @pytest.mark.parametrize("activation", [nn.ReLU(), nn.ReLU6(inplace=True)], ids=["relu", "relu6"])
    @pytest.mark.parametrize("kernel", [1, 3])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])  # oneDNN's own clip, and torch's
    def test_it_takes_in_the_activation(self, activation: nn.Module, kernel: int, dtype: torch.dtype) -> None:
        torch.manual_seed(0)
        pair = nn.Sequential(nn.Conv2d(3, 4, kernel), activation).double()
        x = 9 * images(2, 3, 8, 8, dtype=dtype)
        frozen = freeze(pair, dtype)
        assert isinstance(frozen[1], nn.Identity)
        output, _ = expected = look(pair, x.double())
        assert output.min() == 0 and output.max() >= 6
        assert max(map(error, look(frozen, x), expected)) < 1e-5

    def test_an_activation_in_place_may_follow(self) -> None:
        pair = nn.Sequential(nn.Conv2d(3, 4, 1), nn.SiLU(inplace=True))
        x = images(2, 3, 4, 4)
        assert max(map(error, look(freeze(pair), x), look(pair, x))) < 1e-5

    def test_under_autocast_it_keeps_its_dtype(self) -> None:
        conv = nn.Conv2d(4, 4, 3, padding=1, groups=4)
        x = images(2, 4, 8, 8)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            output, gradient = look(FrozenConv2d(conv), x)
        assert output.dtype == torch.float32
        assert max(map(error, (output, gradient), look(conv, x))) < 1e-5

    def test_the_gradient_has_the_inputs_dtype(self) -> None:
        output, gradient = look(FrozenConv2d(nn.Conv2d(3, 4, 3), torch.bfloat16), images(2, 3, 8, 8))
        assert (output.dtype, gradient.dtype) == (torch.bfloat16, torch.float32)

    def test_a_second_derivative_is_refused(self) -> None:
        x = images(1, 3, 4, 4).requires_grad_()
        (gradient,) = torch.autograd.grad(FrozenConv2d(nn.Conv2d(3, 4, 3))(x).square().sum(), x, create_graph=True)
        with pytest.raises(RuntimeError, match="once_differentiable"):
            gradient.sum().backward()

    def test_other_padding_is_refused(self) -> None:
        with pytest.raises(ValueError, match="'reflect'"):
            FrozenConv2d(nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"))


class TestFreeze:
    def test_a_network_keeps_its_output_and_input_gradient(self, small: EfficientNetLite0) -> None:
        x = images(2, 3, 64, 65)
        frozen = freeze(small.double(), torch.float64)
        assert max(map(error, look(frozen, x.double()), look(small, x.double()))) < 1e-12

    def test_a_network_keeps_its_output_in_float32(self, small: EfficientNetLite0) -> None:
        x = images(2, 3, 64, 64)
        with torch.no_grad():
            assert error(freeze(small)(x), small(x)) < 1e-5

    def test_bfloat16_is_as_near_as_the_unfrozen_network_in_bfloat16(self, small: EfficientNetLite0) -> None:
        x = images(8, 3, 64, 64)
        with torch.no_grad():
            expected = small.features(x)
            got = freeze(small.features, torch.bfloat16)(x)
            assert error(got, expected) < 2 * error(small.features.bfloat16()(x.bfloat16()), expected)

    def test_of_every_layer_only_the_frozen_convolution_is_left(self, small: EfficientNetLite0) -> None:
        left = {type(layer) for layer in freeze(small.features).modules() if not list(layer.children())}
        assert left == {FrozenConv2d, nn.Identity}

    def test_an_apple_gpu_is_given_no_channels_last(
        self, small: EfficientNetLite0, apple_gpu: AbstractContextManager[None]
    ) -> None:
        frozen, x = freeze(small.features), images(2, 3, 64, 64)
        cotangent = torch.ones_like(frozen(x))
        expected = look(frozen, x, cotangent)
        with apple_gpu:
            there = torch.device("mps")
            seen = look(frozen.to(there), x.to(there), cotangent.to(there))
        assert max(map(error, seen, expected)) < 1e-5

    def test_nothing_is_there_to_train_or_to_save(self, small: EfficientNetLite0) -> None:
        frozen = freeze(small)
        assert not list(frozen.parameters()) and not frozen.state_dict()
        assert not any(buffer.requires_grad for buffer in frozen.buffers())

    def test_the_weights_move_with_the_network(self, small: EfficientNetLite0) -> None:
        assert {buffer.device.type for buffer in freeze(small).to("meta").buffers()} == {"meta"}

    def test_the_original_stays_as_it_was(self, small: EfficientNetLite0) -> None:
        before = {name: tensor.clone() for name, tensor in small.train().state_dict().items()}
        freeze(small, torch.bfloat16)(images(2, 3, 64, 64))
        assert small.training and all(parameter.requires_grad for parameter in small.parameters())
        torch.testing.assert_close(small.state_dict(), before, rtol=0, atol=0)

    def test_train_keeps_eval_mode_also_of_a_copy_and_of_a_part(self, small: EfficientNetLite0) -> None:
        frozen = copy.deepcopy(freeze(small))
        holder = nn.ModuleList([frozen]).train()
        frozen.features.train()
        frozen.classifier.train(True)
        assert holder.training and not any(layer.training for layer in frozen.modules())

    def test_a_batch_norm_that_cannot_be_folded_keeps_its_statistics(self, randomise: Randomise) -> None:
        network = randomise(nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3)))
        frozen = freeze(network.train(), torch.bfloat16).train()
        assert isinstance(frozen[0], _BatchNorm)
        x = images(4, 3, 8, 8)
        assert max(map(error, look(frozen, x), look(network.eval(), x))) < 2e-2
        assert not list(frozen.parameters()) and not frozen.state_dict()
        torch.testing.assert_close(frozen[0].running_var, network[0].running_var, rtol=0, atol=0)

    def test_other_layers_keep_torchs_forward(self) -> None:
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Conv2d(3, 4, 3, padding="same"),
            nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
            spectral_norm(nn.ConvTranspose2d(4, 4, 4, 2, 1)),
            spectral_norm(nn.Conv2d(4, 4, 3)),
            nn.GroupNorm(2, 4),
            nn.Dropout(),
            nn.Flatten(),
            nn.Linear(4 * 14 * 14, 2),
        )
        frozen = freeze(network)
        x = images(2, 3, 8, 8)
        assert max(map(error, look(frozen, x), look(network.eval(), x))) < 1e-5
        assert not list(frozen.parameters()) and not frozen.state_dict()

    def test_a_convolution_in_two_places_takes_in_the_activation_of_neither(self) -> None:
        conv = nn.Conv2d(3, 3, 3, padding=1)
        network = nn.Sequential(conv, nn.ReLU(), conv)
        x = images(2, 3, 8, 8)
        assert max(map(error, look(freeze(network), x), look(network, x))) < 1e-5

    def test_a_hook_sees_what_it_saw(self) -> None:
        network = nn.Sequential(nn.Conv2d(3, 3, 3), nn.ReLU())
        seen: list[Tensor] = []
        network[0].register_forward_hook(lambda _, __, output: seen.append(output.detach().clone()))
        network(images(2, 3, 8, 8))
        freeze(network)(images(2, 3, 8, 8))
        assert error(seen[1], seen[0]) < 1e-5 and seen[1].min() < 0

    @pytest.mark.parametrize(
        "layer",
        [nn.BatchNorm2d(3, track_running_stats=False), nn.LSTM(3, 3), nn.LazyConv2d(3, 3)],
        ids=lambda layer: type(layer).__name__,
    )
    def test_refuses_what_it_cannot_freeze(self, layer: nn.Module) -> None:
        with pytest.raises(ValueError, match=f"{type(layer).__name__} 'inner'"):
            freeze(nn.ModuleDict({"inner": layer}))
