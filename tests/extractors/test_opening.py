from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from facegen.errors import EnvironmentProblem, InputError
from facegen.extractors import opening
from facegen.extractors.feature_extractor import CPU_BATCH, CUDA_BATCH, FeatureExtractor
from facegen.extractors.opening import open_extractor
from facegen.weights.published import Published


@pytest.fixture(autouse=True)
def _nothing_in_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No Inception weights, and no memory of a failed download."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(opening, "_failed_download", None)


def test_without_inceptions_weights_effnet_lite0_is_taken_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert open_extractor(device="cpu").name == "effnet-lite0"
    said = capsys.readouterr().err
    assert "effnet-lite0" in said and "not FID" in said and "facegen weights" in said


def test_it_is_said_once_however_many_scorers_are_opened(capsys: pytest.CaptureFixture[str]) -> None:
    open_extractor(device="cpu")
    open_extractor(device="cpu")
    assert capsys.readouterr().err.count("are not available") == 1


def test_a_failed_download_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def fail(published: Published) -> None:
        tried.append(published)
        raise EnvironmentProblem("No network.")

    monkeypatch.setattr(Published, "ensure", fail)
    open_extractor(device="cpu")
    open_extractor(device="cpu")
    assert len(tried) == 1


def test_inception_when_asked_for_must_be_there() -> None:
    with pytest.raises(EnvironmentProblem, match=r"Inception weights are not installed.*facegen weights --from"):
        open_extractor("inception")


def test_inceptions_dims_need_inception() -> None:
    with pytest.raises(InputError, match="768 dims need Inception's"):
        open_extractor(dims=768)


@pytest.mark.parametrize(
    ("extractor", "dims", "words"),
    [
        ("effnet-lite0", 2048, "effnet-lite0 has 1280 dims, not 2048"),
        ("resnet", None, "no extractor 'resnet'"),
    ],
)
def test_options_that_do_not_go_together(extractor: str, dims: int | None, words: str) -> None:
    with pytest.raises(InputError, match=words):
        open_extractor(extractor, dims=dims)


def test_effnet_lite0s_own_dims_may_be_said() -> None:
    assert open_extractor(dims=1280, device="cpu").name == "effnet-lite0"


def test_weights_are_inceptions(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is for Inception"):
        open_extractor("effnet-lite0", weights=tmp_path / "x.pth")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", r"not a file of PyTorch weights \(0 bytes\)"),
        (bytes(1000), "not a file of PyTorch weights"),
        (b"<!DOCTYPE html><html></html>", "not a file of PyTorch weights"),
        (b"PK\x03\x04" + bytes(100), "not a file of PyTorch weights"),
    ],
    ids=["empty", "zeros", "web page", "broken zip"],
)
def test_files_that_are_no_weights(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"weights\.pth is {words}"):
        open_extractor(weights=path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "tensors are missing, the first is 'features.conv1a.conv.weight'"),
        ({"conv1.weight": torch.zeros(1)}, "tensors are missing"),
        ([torch.zeros(1)], "holds no state dict"),
        ({"epoch": 3}, "not a state dict"),
    ],
    ids=["empty", "another network", "list", "checkpoint"],
)
def test_weights_of_something_else(tmp_path: Path, content: object, words: str) -> None:
    path = tmp_path / "weights.pth"
    torch.save(content, path)
    with pytest.raises(InputError, match=rf"weights\.pth.*{words}"):
        open_extractor(weights=path)


def test_no_code_in_a_weights_file_is_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "sprung",)  # type: ignore[return-value]

    torch.save({"fc.weight": Trap()}, tmp_path / "trap.pth")
    with pytest.raises(InputError, match=r"trap\.pth"):
        open_extractor(weights=tmp_path / "trap.pth")
    assert not (tmp_path / "sprung").exists()


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.pth are not a file"):
        open_extractor(weights=tmp_path / "nowhere.pth")


def test_dims_that_inception_has_not(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no 100 dims.*64, 192, 768, 2048"):
        open_extractor(weights=tmp_path / "any.pth", dims=100)


def test_all_features_are_those_of_the_images_one_by_one(pixels: np.ndarray) -> None:
    extractor = open_extractor("effnet-lite0", device="cpu")
    images = pixels[: CPU_BATCH + 3]
    one_by_one = np.concatenate([extractor([image]) for image in images])
    np.testing.assert_allclose(extractor.all_features(images), one_by_one, rtol=1e-4, atol=1e-5)


def test_every_batch_has_the_same_size(tiny: FeatureExtractor, pixels: np.ndarray) -> None:
    sizes = []

    def watch(network: torch.nn.Module, given: tuple[Tensor]) -> None:
        sizes.append(len(given[0]))

    tiny.network.register_forward_pre_hook(watch)
    assert tiny.all_features(pixels[: 2 * CPU_BATCH + 1]).shape == (2 * CPU_BATCH + 1, 12)
    assert sizes == [CPU_BATCH] * 3


def test_no_images_have_no_features(tiny: FeatureExtractor, pixels: np.ndarray) -> None:
    features = tiny.all_features(pixels[:0])
    assert (features.shape, features.dtype) == ((0, 12), np.float32)


def test_an_apple_gpu_takes_more_than_a_cpu_and_less_than_a_gpu_with_memory_of_its_own(tiny: FeatureExtractor) -> None:
    assert CPU_BATCH < replace(tiny, device=torch.device("mps")).batch < CUDA_BATCH


def test_an_apple_gpu_is_given_no_channels_last(apple_gpu: AbstractContextManager[None], pixels: np.ndarray) -> None:
    expected = open_extractor("effnet-lite0", device="cpu")(pixels)
    with apple_gpu:
        features = open_extractor("effnet-lite0", device="mps")(pixels)
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-5)
