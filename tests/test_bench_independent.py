"""scripts/bench/independent.py: what dlib's networks see in faces, and which real images are compared with which."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from facegen.data.dataset import new_dataset
from facegen.data.synthetic import render_faces
from facegen.data.transform import resize_and_crop
from facegen.errors import EnvironmentProblem, InputError
from facegen.metrics.frechet import frechet_distance, frechet_statistics

needs_dlib = pytest.mark.skipif(find_spec("dlib") is None, reason="dlib-bin is not installed")
needs_weights = pytest.mark.skipif(
    find_spec("face_recognition_models") is None, reason="face-recognition-models is not installed"
)


@pytest.fixture(scope="module")
def independent(bench: Callable[[str], ModuleType]) -> ModuleType:
    return bench("independent")


@pytest.fixture(scope="module")
def faces() -> np.ndarray:
    """Drawn faces, uint8 [6, 64, 64, 3]."""
    return np.stack([resize_and_crop(Image.fromarray(face), 64) for face in render_faces(0, range(6))])


@pytest.fixture
def by_grey(independent: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Descriptors are the image's first pixel in all dims, and white images have a face; counts what is described."""
    described: list[int] = []

    def descriptors_of(images: np.ndarray) -> np.ndarray:
        described.append(len(images))
        return np.repeat(images[:, 0, 0, :1], 128, 1).astype(np.float32)

    monkeypatch.setattr(independent, "descriptors_of", descriptors_of)
    monkeypatch.setattr(independent, "faces_found", lambda images: images[:, 0, 0, 0] == 255)
    return described


def grey(*values: int) -> np.ndarray:
    """Images [n, 64, 64, 3] of one grey each."""
    return np.tile(np.array(values, np.uint8)[:, None, None, None], (1, 64, 64, 3))


def seen(images: np.ndarray) -> set[int]:
    return set(images[:, 0, 0, 0].tolist())


class TestWeightsFile:
    @staticmethod
    def integer(value: int) -> bytes:
        """As dlib writes it: how many bytes, then these, the lowest first."""
        data = value.to_bytes(max(1, (value.bit_length() + 7) // 8), "little")
        return bytes([len(data)]) + data

    def tensor(self, values: np.ndarray) -> bytes:
        return b"".join(map(self.integer, (2, len(values), 1, 1, 1))) + values.astype("<f4").tobytes()

    def test_each_layers_parameters_are_read_in_order(self, independent: ModuleType) -> None:
        values = [np.arange(300.0), np.array([0.5, -2]), np.array([7.0])]
        data = b"\x01\x0dloss_metric_2\x03" + b"\x01\x05con_4" + self.tensor(values[0]) + b"\x01\x02\x01\x01"
        data += b"\x01\x07affine_" + self.tensor(values[1]) + b"\x01\x05relu_\x01\x00"
        data += b"\x01\x04fc_2" + self.integer(128) + self.integer(256) + self.tensor(values[2])
        for found, expected in zip(independent.read_tensors(data), values, strict=True):
            np.testing.assert_array_equal(found, expected)

    def test_values_that_read_like_a_layers_name_are_values(self, independent: ModuleType) -> None:
        trap = np.frombuffer(b"\x01\x05con_4\x00", "<f4")
        (found,) = independent.read_tensors(b"\x01\x05con_4" + self.tensor(trap))
        np.testing.assert_array_equal(found, trap)


class TestDescriptors:
    @needs_dlib
    @needs_weights
    def test_they_are_dlibs_own(self, independent: ModuleType, faces: np.ndarray) -> None:
        import dlib

        package = find_spec("face_recognition_models")
        assert package is not None and package.origin is not None
        models = Path(package.origin).parent / "models"
        network = dlib.face_recognition_model_v1(str(models / "dlib_face_recognition_resnet_model_v1.dat"))
        chips = [
            np.asarray(Image.fromarray(face[21:60, 13:52]).resize((150, 150), Image.Resampling.BILINEAR))
            for face in faces[:3]
        ]
        expected = np.array(network.compute_face_descriptor(chips))
        np.testing.assert_allclose(independent.descriptors_of(faces[:3]), expected, rtol=0, atol=1e-5)

    @needs_weights
    def test_what_is_beside_the_face_does_not_count(self, independent: ModuleType, faces: np.ndarray) -> None:
        other = faces[:1].copy()
        other[:, :21], other[:, 60:], other[:, :, :13], other[:, :, 52:] = 0, 0, 0, 0
        np.testing.assert_array_equal(independent.descriptors_of(other), independent.descriptors_of(faces[:1]))

    def test_shapes_that_differ_are_added_as_if_filled_up_with_zeros(self, independent: ModuleType) -> None:
        import torch

        total = independent.filled_sum(torch.ones(1, 1, 2, 2), torch.ones(1, 2, 1, 1))
        assert total.tolist() == [[[[2, 1], [1, 1]], [[1, 0], [0, 0]]]]

    def test_absent_weights_are_named_with_the_remedy(
        self, independent: ModuleType, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(independent, "find_spec", lambda name: None)
        with pytest.raises(EnvironmentProblem, match=r"face-recognition-models.*pip install"):
            independent.face_network.__wrapped__()


class TestDetector:
    @needs_dlib
    def test_finds_drawn_faces_and_none_in_noise(self, independent: ModuleType, faces: np.ndarray) -> None:
        noise = np.random.default_rng(0).integers(0, 256, faces.shape, np.uint8)
        assert independent.faces_found(faces).mean() > 0.5
        assert not independent.faces_found(noise).any()

    def test_an_absent_dlib_is_named_with_the_remedy(
        self, independent: ModuleType, faces: np.ndarray, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "dlib", None)
        with pytest.raises(EnvironmentProblem, match=r"dlib.*pip install"):
            independent.faces_found(faces)


@pytest.mark.usefixtures("by_grey")
class TestReference:
    def test_a_datasets_other_splits_are_held_out(self, independent: ModuleType, tmp_path: Path) -> None:
        with new_dataset(tmp_path / "faces", 64) as writer:
            splits = ["train"] * 3 + ["valid", "test", "test"]
            writer.append(grey(1, 2, 3, 11, 12, 13), list("abcdef"), splits)
            writer.finish({})
        reference = independent.open_face_reference(tmp_path / "faces", n=2)
        assert (reference.statistics.n, reference.statistics.mu[0]) == (3, 2.0)
        assert len(reference.heldout) == 2 and seen(reference.heldout) < {11, 12, 13}

    def test_elsewhere_what_is_not_drawn_is_held_out(self, independent: ModuleType, tmp_path: Path) -> None:
        values = (2, 3, 5, 7, 11, 13, 17)
        np.save(tmp_path / "faces.npy", grey(*values))
        reference = independent.open_face_reference(tmp_path / "faces.npy", n=3, reference_n=4)
        assert reference.statistics.mu[0] * 4 == pytest.approx(sum(set(values) - seen(reference.heldout)))

    def test_too_few_images_leave_no_floor(self, independent: ModuleType, tmp_path: Path) -> None:
        np.save(tmp_path / "faces.npy", grey(*range(5)))
        assert independent.open_face_reference(tmp_path / "faces.npy", n=2, reference_n=4).floor is None

    def test_the_score_is_the_descriptors_distance_and_the_share_with_a_face(
        self, independent: ModuleType, tmp_path: Path
    ) -> None:
        np.save(tmp_path / "faces.npy", grey(0, 10, 20))
        score = independent.open_face_reference(tmp_path / "faces.npy", n=3).score(grey(255, 245, 235, 255))
        first, second = (np.repeat(np.array(values)[:, None], 128, 1) for values in ([0, 10, 20], [255, 245, 235, 255]))
        expected = frechet_distance(frechet_statistics(first), frechet_statistics(second))
        assert (score.n, score.found) == (4, 0.5)
        assert score.distance == pytest.approx(expected)

    def test_its_descriptors_are_kept(self, independent: ModuleType, by_grey: list[int], tmp_path: Path) -> None:
        for values in ((1, 2, 3), (1, 2, 3), (1, 2, 4)):
            np.save(tmp_path / "faces.npy", grey(*values))
            reference = independent.open_face_reference(tmp_path / "faces.npy", n=1)
            assert reference.statistics.mu[0] == pytest.approx(np.mean(values))
        assert by_grey == [3, 3]


class TestImages:
    def test_an_npy_file_and_a_folder_give_the_same(self, independent: ModuleType, tmp_path: Path) -> None:
        images = grey(*range(20))
        np.save(tmp_path / "faces.npy", images)
        (tmp_path / "faces").mkdir()
        for at, image in enumerate(images):
            Image.fromarray(image).save(tmp_path / "faces" / f"{at}.png")
        drawn = independent.read_images(tmp_path / "faces.npy", 5)
        assert len(seen(drawn)) == 5
        np.testing.assert_array_equal(independent.read_images(tmp_path / "faces", 5), drawn)

    def test_fewer_than_asked_for_are_refused(self, independent: ModuleType, tmp_path: Path) -> None:
        np.save(tmp_path / "faces.npy", grey(1, 2, 3))
        with pytest.raises(InputError, match=r"faces\.npy has 3 images.*--n 3"):
            independent.read_images(tmp_path / "faces.npy", 4)

    def test_an_array_of_another_shape_is_refused(self, independent: ModuleType, tmp_path: Path) -> None:
        np.save(tmp_path / "faces.npy", grey(1, 2).astype(np.float32))
        with pytest.raises(InputError, match=r"faces\.npy is float32 \[2, 64, 64, 3\]"):
            independent.read_images(tmp_path / "faces.npy", 2)

    def test_an_image_of_another_size_is_named(self, independent: ModuleType, tmp_path: Path) -> None:
        for at in range(2):
            Image.new("RGB", (32, 48)).save(tmp_path / f"{at}.png")
        with pytest.raises(InputError, match=r"0\.png in .* is 32×48"):
            independent.read_images(tmp_path, 2)


@pytest.mark.usefixtures("by_grey")
class TestCommand:
    @pytest.fixture
    def printed(
        self,
        independent: ModuleType,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> Callable[..., str]:
        np.save(tmp_path / "real.npy", grey(*range(100, 110)))
        np.save(tmp_path / "near.npy", grey(100, 105, 255))
        np.save(tmp_path / "far.npy", grey(0, 255, 255))

        def run(*words: str) -> str:
            monkeypatch.chdir(tmp_path)
            options = ["--reference", "real.npy", "--n", "3", "--reference-n", "6"]
            monkeypatch.setattr(sys, "argv", ["independent.py", "far.npy", "near.npy", *options, *words])
            independent.main()
            return capsys.readouterr().out

        return run

    def test_the_table_has_the_nearest_first_and_the_floor_last(self, printed: Callable[..., str]) -> None:
        cells: list[Any] = [line.split(" | ") for line in printed().splitlines()[2:]]
        assert [row[0].removeprefix("| ") for row in cells] == ["near.npy", "far.npy", "floor: held-out real images"]
        assert [row[3].removesuffix(" |") for row in cells] == ["33.3%", "66.7%", "0.0%"]

    def test_json_says_the_same(self, printed: Callable[..., str]) -> None:
        record = json.loads(printed("--json"))
        assert (record["n"], record["reference_n"], record["floor"]["found"]) == (3, 6, 0)
        assert record["sets"]["far.npy"]["distance"] > record["sets"]["near.npy"]["distance"] > 0
