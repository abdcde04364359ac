"""DINOv2's transformer against torch's own layers, and its tensors against the published file's."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from facegen.cnn.dinov2 import GRID, PATCH, VisionTransformer, vit_large

DIM, DEPTH, HEADS = 24, 2, 3


@pytest.fixture(scope="module")
def network() -> VisionTransformer:
    """Seeded, and with no tensor at its neutral value."""
    random = torch.Generator().manual_seed(0)
    network = VisionTransformer(DIM, DEPTH, HEADS).eval().requires_grad_(False)
    for parameter in network.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=random) * 0.3)
    return network


def torchs_layer(weights: dict[str, Tensor], prefix: str) -> nn.TransformerEncoderLayer:
    """torch's encoder layer with a block's weights; it knows no LayerScale, which goes into the last linear map."""
    layer = nn.TransformerEncoderLayer(
        DIM, HEADS, 4 * DIM, dropout=0, activation="gelu", layer_norm_eps=1e-6, batch_first=True, norm_first=True
    ).eval()
    block = {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
    first, second = block["ls1.gamma"], block["ls2.gamma"]
    layer.load_state_dict(
        {
            "self_attn.in_proj_weight": block["attn.qkv.weight"],
            "self_attn.in_proj_bias": block["attn.qkv.bias"],
            "self_attn.out_proj.weight": first[:, None] * block["attn.proj.weight"],
            "self_attn.out_proj.bias": first * block["attn.proj.bias"],
            "linear1.weight": block["mlp.fc1.weight"],
            "linear1.bias": block["mlp.fc1.bias"],
            "linear2.weight": second[:, None] * block["mlp.fc2.weight"],
            "linear2.bias": second * block["mlp.fc2.bias"],
            **{key: value for key, value in block.items() if key.startswith("norm")},
        }
    )
    return layer.requires_grad_(False)


def bicubic(patches: int) -> np.ndarray:
    """[patches, 37]: what each position takes of the learned ones, by the cubic kernel with a = −0.75."""
    a, weights = -0.75, np.zeros((patches, GRID))
    for row in range(patches):
        at = (row + 0.5) * GRID / (patches + 0.1) - 0.5
        for tap in range(math.floor(at) - 1, math.floor(at) + 3):
            x = abs(at - tap)
            near = (a + 2) * x**3 - (a + 3) * x**2 + 1
            far = a * (x**3 - 5 * x**2 + 8 * x - 4)
            weights[row, min(max(tap, 0), GRID - 1)] += near if x <= 1 else far
    return weights


@pytest.mark.parametrize(("rows", "columns"), [(16, 16), (3, 5)])
def test_positions_are_resized_bicubically_with_dinos_offset(
    network: VisionTransformer, rows: int, columns: int
) -> None:
    learned = network.pos_embed.numpy().astype(float)[0]
    grid = learned[1:].reshape(GRID, GRID, DIM)
    expected = np.einsum("ri,cj,ijd->rcd", bicubic(rows), bicubic(columns), grid).reshape(-1, DIM)
    np.testing.assert_allclose(network.positions(rows, columns)[0], [learned[0], *expected], rtol=1e-4, atol=1e-5)


def test_positions_of_518_pixels_are_the_learned_ones(network: VisionTransformer) -> None:
    assert network.positions(GRID, GRID) is network.pos_embed


def test_the_class_token_is_what_torchs_own_layers_make_of_it(network: VisionTransformer) -> None:
    images = torch.randn(2, 3, 3 * PATCH, 5 * PATCH, generator=torch.Generator().manual_seed(1))
    weights = network.state_dict()
    flat = weights["patch_embed.proj.weight"].flatten(1)
    patches = nn.functional.unfold(images, PATCH, stride=PATCH).transpose(1, 2) @ flat.T
    tokens = torch.cat([weights["cls_token"].expand(2, 1, DIM), patches + weights["patch_embed.proj.bias"]], dim=1)
    tokens = tokens + network.positions(3, 5)
    for index in range(DEPTH):
        tokens = torchs_layer(weights, f"blocks.{index}.")(tokens)
    expected = nn.functional.layer_norm(tokens[:, 0], (DIM,), weights["norm.weight"], weights["norm.bias"], 1e-6)
    torch.testing.assert_close(network(images), expected, rtol=1e-4, atol=1e-4)


def test_vit_larges_tensors_are_those_of_the_published_file() -> None:
    with torch.device("meta"):
        network = vit_large()
    expected = {
        "cls_token": (1, 1, 1024),
        "pos_embed": (1, 1370, 1024),
        "mask_token": (1, 1024),
        "patch_embed.proj.weight": (1024, 3, 14, 14),
        "patch_embed.proj.bias": (1024,),
        "norm.weight": (1024,),
        "norm.bias": (1024,),
    }
    for block in range(24):
        shapes = {
            "norm1.weight": (1024,),
            "norm1.bias": (1024,),
            "attn.qkv.weight": (3072, 1024),
            "attn.qkv.bias": (3072,),
            "attn.proj.weight": (1024, 1024),
            "attn.proj.bias": (1024,),
            "ls1.gamma": (1024,),
            "norm2.weight": (1024,),
            "norm2.bias": (1024,),
            "mlp.fc1.weight": (4096, 1024),
            "mlp.fc1.bias": (4096,),
            "mlp.fc2.weight": (1024, 4096),
            "mlp.fc2.bias": (1024,),
            "ls2.gamma": (1024,),
        }
        expected |= {f"blocks.{block}.{name}": shape for name, shape in shapes.items()}
    found = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    assert found == expected and len(found) == 343
    assert sum(math.prod(shape) for shape in found.values()) == 304_368_640
    assert network.blocks[0].attn.heads == 16
