"""Held to figures others published, to torch's autograd, and to sums by hand."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
import torchvision.models as torchvision
from torch import Tensor, nn

from facegen.cnn.inspect import LayerRow, feature_maps, find_layer, first_convolution, layer_table
from facegen.cnn.layers import ConvNormAct
from facegen.cnn.registry import ARCHITECTURES, find_architecture


def torchvisions(name: str) -> nn.Module:
    # Their own truncated normal takes seconds.
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    with torch.device("meta"):
        return torchvision.get_model(name, **options).eval()


def table(network: nn.Module, *shape: int) -> list[LayerRow]:
    return layer_table(network, torch.empty(1, *shape, device="meta"))


def field(rows: list[LayerRow], name: str) -> tuple[int, ...]:
    return next(row.receptive_field for row in rows if row.name == name)


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "googlenet", "vgg16"])
def test_parameters_and_multiply_adds_are_those_torchvision_publishes(name: str) -> None:
    published = torchvision.get_model_weights(name).DEFAULT.meta
    rows = table(torchvisions(name), 3, 224, 224)
    assert sum(row.parameters for row in rows) == published["num_params"]
    assert round(sum(row.macs for row in rows) / 1e9, 3) == pytest.approx(published["_ops"])


class TestReceptiveFields:
    """Araujo, Norris and Sim, Computing Receptive Fields of Convolutional Neural Networks (Distill 2019), table 1."""

    def test_alexnet_195(self) -> None:
        assert field(table(torchvisions("alexnet"), 3, 224, 224), "features.12") == (195, 195)

    def test_vgg16_212(self) -> None:
        assert field(table(torchvisions("vgg16"), 3, 224, 224), "features.30") == (212, 212)

    @pytest.mark.parametrize(("name", "size"), [("resnet50", 483), ("resnet101", 1027)])
    def test_resnet_v1_of_tf_slim(self, name: str, size: int) -> None:
        network = torchvisions(name)
        # TF-slim's stride sits on the last block of a stage, torchvision's on the first of the next.
        for before, after in pairwise([network.layer1, network.layer2, network.layer3, network.layer4]):
            after[0].conv2.stride = after[0].downsample[0].stride = (1, 1)
            before[-1].conv2.stride = (2, 2)
            before[-1].downsample = nn.MaxPool2d(1, 2)
        rows = table(network, 3, 224, 224)
        assert rows[-3].receptive_field == (size, size)

    def test_resnet50_with_torchvisions_strides(self) -> None:
        # By hand: 7 and 11 behind the stem, then twice the stride so far for each 3×3:
        # 11 + 2·(3·4 + 4 + 3·8 + 8 + 5·16 + 16 + 2·32) = 427.
        assert field(table(torchvisions("resnet50"), 3, 224, 224), "layer4.2.conv3") == (427, 427)

    def test_inception_v3_1311(self) -> None:
        rows = table(torchvisions("inception_v3"), 3, 299, 299)
        assert field(rows, "avgpool") == (1311 + 7 * 32,) * 2  # over a map of 8×8 at stride 32

    def test_what_is_pooled_or_flattened_sees_the_whole_map(self) -> None:
        rows = table(torchvisions("alexnet"), 3, 224, 224)
        assert field(rows, "classifier.1") == (195 + 5 * 32,) * 2  # a map of 6×6 at stride 32

    def test_three_3x3_see_what_one_7x7_sees(self) -> None:
        rows = table(nn.Sequential(*(nn.Conv3d(1, 1, (1, 3, 3)) for _ in range(3))), 1, 4, 9, 9)
        assert rows[-1].receptive_field == (1, 7, 7)

    def test_latents_have_none(self) -> None:
        rows = layer_table(find_architecture("dcgan_generator").build(), torch.randn(1, 100))
        assert {row.receptive_field for row in rows} == {()}


class Branches(nn.Module):
    """Sums, concatenations, padding and functional pooling, without a layer of its own for any of them."""

    def __init__(self, kernels: list[int], dilation: int, stride: int, pad: tuple[int, int], pool: int) -> None:
        super().__init__()
        self.stem = nn.Conv1d(1, 2, kernels[0], stride=stride, bias=False)
        self.wide = nn.Conv1d(2, 2, kernels[1], padding="same", dilation=dilation, bias=False)
        self.narrow = nn.Conv1d(2, 2, 1, bias=False)
        self.last = nn.Conv1d(4, 1, kernels[2], padding=1, bias=False)
        self.pad, self.pool = pad, pool

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(F.pad(x, self.pad))
        x = torch.cat([self.wide(x) + x, self.narrow(x)], 1)
        x = F.avg_pool1d(x, self.pool, 2) + F.max_pool1d(x, self.pool, 2)
        return self.last(x)


@pytest.mark.filterwarnings("ignore:Using padding=.same.")  # of even kernels: a copy
@pytest.mark.parametrize("seed", range(12))
def test_the_field_is_where_the_gradient_is(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)

    def draw(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (), generator=generator))

    kernels = [draw(1, 5) for _ in range(3)]
    network = Branches(kernels, draw(1, 3), draw(1, 3), (draw(0, 3), draw(0, 3)), draw(1, 4)).double()
    for parameter in network.parameters():
        nn.init.uniform_(parameter, 0.1, 1.0)  # nothing cancels
    # A sloping input, so that a maximum lies at the end of its window, the average reaching the rest.
    x = torch.linspace(0, 1, 241, dtype=torch.float64).reshape(1, 1, -1).requires_grad_()
    y = network(x)
    y[0, 0, y.shape[2] // 2].backward()
    assert x.grad is not None
    seen = x.grad[0, 0].nonzero().flatten()
    assert layer_table(network, x.detach())[-1].receptive_field == (int(seen[-1] - seen[0]) + 1,)


class TestRows:
    def test_a_row_has_the_norm_and_the_activation_that_follow(self) -> None:
        (row,) = table(ConvNormAct(3, 8, 3, stride=2), 3, 9, 9)
        assert (row.kind, row.norm, row.activation) == ("Conv2d", "BatchNorm2d", "ReLU")
        assert (row.kernel, row.stride, row.padding, row.output) == ((3, 3), (2, 2), (1, 1), (8, 5, 5))
        assert row.parameters == 3 * 3 * 3 * 8 + 2 * 8
        assert row.macs == 3 * 3 * 3 * 8 * 25

    def test_memory_is_of_the_layer_and_its_norm_but_not_of_relu_in_place(self) -> None:
        (row,) = table(ConvNormAct(3, 8), 3, 9, 9)
        assert row.activation_bytes == 2 * 4 * 8 * 81

    def test_memory_of_an_activation_that_is_not_in_place(self) -> None:
        (row,) = table(ConvNormAct(3, 8, norm=None, activation="gelu"), 3, 9, 9)
        assert row.activation_bytes == 2 * 4 * 8 * 81

    def test_an_activation_behind_a_sum_belongs_to_no_layer(self) -> None:
        rows = table(torchvisions("resnet18"), 3, 64, 64)
        activations = {row.name: row.activation for row in rows}
        assert (activations["layer1.0.conv1"], activations["layer1.0.conv2"]) == ("ReLU", None)

    def test_transposed_convolution_by_hand(self) -> None:
        (row,) = table(nn.Sequential(nn.ConvTranspose2d(3, 5, 4, stride=2, padding=1)), 3, 6, 7)
        assert (row.output, row.macs, row.parameters) == ((5, 12, 14), 3 * 5 * 16 * 6 * 7, 3 * 5 * 16 + 5)

    def test_grouped_convolution_by_hand(self) -> None:
        (row,) = table(nn.Sequential(nn.Conv1d(4, 6, 3, groups=2)), 4, 10)
        assert row.macs == 6 * 2 * 3 * 8

    def test_zeros_that_a_network_pads_with_by_itself_are_its_padding(self) -> None:
        network = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(1, 1, 3, stride=2))
        (row,) = table(network, 1, 8, 8)
        assert (row.padding, row.output) == (((0, 1), (0, 1)), (1, 4, 4))

    def test_shared_weights_are_counted_once(self) -> None:
        conv = nn.Conv2d(1, 1, 3, padding=1)
        assert [row.parameters for row in table(nn.Sequential(conv, conv), 1, 5, 5)] == [10, 0]

    def test_a_transposed_window_that_leaves_nothing_is_an_error_with_the_arithmetic(self) -> None:
        with pytest.raises(ValueError, match="at 0, a transposed 2-wide filter at stride 1 and padding 1 leaves"):
            table(nn.Sequential(nn.ConvTranspose2d(1, 1, 2, padding=1)), 1, 1, 1)

    def test_spectral_norm_is_a_parametrisation_not_a_layer(self) -> None:
        (row,) = table(ConvNormAct(3, 8, norm=None, weight_norm="spectral", activation=None), 3, 9, 9)
        assert (row.kind, row.parameters, row.macs) == ("Conv2d", 3 * 9 * 8 + 8, 3 * 9 * 8 * 81)

    def test_the_network_is_left_as_it_was(self) -> None:
        network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).train()
        before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        layer_table(network, torch.randn(4, 1, 8, 8))
        after = network.state_dict()
        assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
        assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in network.modules())


def one_a_family() -> list[str]:
    """The first architecture that each class builds."""
    first: dict[object, str] = {}
    for name, architecture in ARCHITECTURES.items():
        first.setdefault(getattr(architecture.build, "func", architecture.build), name)
    return list(first.values())


@pytest.mark.parametrize("name", one_a_family())
def test_every_parameter_of_an_architecture_is_in_its_table(name: str) -> None:
    architecture = find_architecture(name)
    with torch.device("meta"):
        network = architecture.build().eval()
        rows = layer_table(network, architecture.random_input())
    assert sum(row.parameters for row in rows) == sum(parameter.numel() for parameter in network.parameters())
    assert {row.name for row in rows} <= {name for name, _ in network.named_modules()}


class TestRefusals:
    def test_a_window_that_does_not_fit_is_named_with_the_arithmetic(self) -> None:
        network = nn.Sequential(nn.Conv2d(1, 1, 3), nn.MaxPool2d(3))
        with pytest.raises(ValueError, match=r"^at 1, cannot apply a filter spanning 3 to size 2 with padding 0"):
            table(network, 1, 4, 4)

    def test_a_linear_layer_of_another_size(self) -> None:
        with pytest.raises(ValueError, match=r"^at 1, a linear layer of 12 values gets 16$"):
            table(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), 1, 4, 4)


class TestLayers:
    network = nn.Sequential()
    network.add_module("features", nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.ReLU(inplace=True)))
    network.add_module("classifier", nn.Sequential(nn.Flatten(), nn.Linear(8, 1)))

    def test_features_may_be_left_out(self) -> None:
        assert find_layer(self.network, "0") == ("features.0", self.network.features[0])
        assert find_layer(self.network, "features.0") == find_layer(self.network, "0")

    def test_an_unknown_one_names_the_near(self) -> None:
        with pytest.raises(ValueError, match="no layer 'clasifier'; there are classifier"):
            find_layer(self.network, "clasifier")

    def test_the_first_convolution_inside(self) -> None:
        assert first_convolution(self.network) == ("features.0", self.network.features[0])
        assert first_convolution(self.network.classifier) is None

    def test_maps_are_what_the_layer_put_out_before_anything_worked_in_place(self) -> None:
        x = torch.randn(1, 1, 2, 2)
        conv = self.network.features[0]
        assert torch.equal(feature_maps(self.network, conv, x), F.conv2d(x, conv.weight))

    def test_vectors_are_no_maps(self) -> None:
        with pytest.raises(ValueError, match=r"puts out 1 values without positions"):
            feature_maps(self.network, self.network.classifier, torch.randn(1, 1, 2, 2))
