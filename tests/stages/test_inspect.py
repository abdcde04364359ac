from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import resnet18

from facegen.cnn.registry import find_architecture
from facegen.data.synthetic import render_faces
from facegen.errors import InputError
from facegen.stages.inspect import inspect


@pytest.fixture(scope="module")
def face(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("image") / "face.png"
    Image.fromarray(render_faces(0, [0])[0]).save(path)
    return path


def test_a_network_is_as_published_whatever_the_input() -> None:
    inspection = inspect("resnet18", input=(3, 64, 64))
    assert inspection.parameters == 11_689_512  # He et al., as torchvision counts them
    assert (inspection.layers[0].kernel, inspection.layers[0].output) == ((7, 7), (64, 32, 32))


def test_size_and_width_show_a_recipes_discriminator() -> None:
    inspection = inspect("resnet18", size=64, width=8)
    assert inspection.input == (3, 64, 64)
    assert inspection.layers[0].output == (8, 64, 64)


@pytest.mark.parametrize(
    ("name", "shape", "first"),
    [
        ("resnet18", (1, 28, 28), "in_channels"),
        ("dcgan_generator", (7,), "latent_dim"),
    ],
)
def test_the_first_number_is_the_networks_channels(name: str, shape: tuple[int, ...], first: str) -> None:
    network = find_architecture(name).build(**{first: shape[0]})
    assert inspect(name, input=shape).parameters == sum(parameter.numel() for parameter in network.parameters())


def test_tokens_have_no_channels() -> None:
    assert inspect("textcnn", input=(20,)).parameters == inspect("textcnn").parameters


def test_a_batch_multiplies_memory_and_nothing_else() -> None:
    one, four = inspect("lenet5"), inspect("lenet5", batch=4)
    assert four.activation_bytes == 4 * one.activation_bytes
    assert (four.macs, four.parameters, four.layers) == (one.macs, one.parameters, one.layers)


def test_memory_of_vgg16_by_hand() -> None:
    maps = 2 * 64 * 224**2 + 2 * 128 * 112**2 + 3 * 256 * 56**2 + 3 * 512 * 28**2 + 3 * 512 * 14**2
    pools = 64 * 112**2 + 128 * 56**2 + 256 * 28**2 + 512 * 14**2 + 512 * 7**2
    rows = [row for row in inspect("vgg16").layers if row.name.startswith("features.")]
    assert sum(row.activation_bytes for row in rows) == 4 * (maps + pools)


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("resnt18", {}, r"no architecture 'resnt18'\. Did you mean 'resnet18'\?"),
        ("resnet18", {"input": (64, 64)}, "takes inputs of 3 numbers, not 2.*--input 3x224x224"),
        ("inception_v3", {"input": (3, 64, 64)}, r"cannot take 3×64×64: at .*smaller than 3.*--size 64"),
        ("c3d", {"input": (3, 8, 112, 112)}, r"Use --input 3x16x112x112\.$"),
        ("dcgan_generator", {"size": 48}, "48×48"),
        ("textcnn", {"size": 64}, "does not take --size"),
    ],
)
def test_what_cannot_be_inspected_is_told_in_a_sentence(name: str, options: dict[str, int], says: str) -> None:
    with pytest.raises(InputError, match=says):
        inspect(name, **options)  # type: ignore[arg-type]


class TestPictures:
    def test_the_blurred_image_is_drawn_beside_the_image(self, tmp_path: Path) -> None:
        noise = np.random.default_rng(0).integers(0, 256, (448, 448, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / "noise.png")
        inspect("blur", image=tmp_path / "noise.png", out=tmp_path / "x.png", input=(3, 448, 448))
        picture = np.asarray(Image.open(tmp_path / "x.png"))
        top, gap, side = 38, 16, 448  # below one line of caption
        assert np.array_equal(picture[top : top + side, gap : gap + side], noise)
        blurred = picture[top : top + side, -gap - side : -gap]
        # The mean of 25 independent numbers has a fifth of their deviation.
        assert blurred.std() == pytest.approx(noise.std() / 5, rel=0.05)

    def test_random_weights_are_said_to_be(
        self, face: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        inspect("lenet5", image=face, out=tmp_path / "x.png")
        assert "lenet5 has random weights" in capsys.readouterr().err
        inspect("blur", image=face, out=tmp_path / "x.png")
        assert capsys.readouterr().err == ""

    def test_random_weights_are_the_same_each_time(self, face: Path, tmp_path: Path) -> None:
        for name in ("1.png", "2.png"):
            torch.manual_seed(len(name) + ord(name[0]))
            inspect("lenet5", image=face, out=tmp_path / name)
        assert (tmp_path / "1.png").read_bytes() == (tmp_path / "2.png").read_bytes()

    def test_weights_have_facegens_names_or_torchvisions_and_any_number_of_classes(
        self, face: Path, tmp_path: Path
    ) -> None:
        torch.manual_seed(1)
        weights = dict(resnet18(num_classes=3).state_dict())
        torch.save(weights, tmp_path / "theirs.pth")
        torch.save(find_architecture("resnet18").convert(weights), tmp_path / "ours.pth")
        for name in ("theirs", "ours"):
            picture, state_dict = tmp_path / f"{name}.png", tmp_path / f"{name}.pth"
            inspect("resnet18", input=(3, 32, 32), image=face, out=picture, weights=state_dict)
        assert (tmp_path / "theirs.png").read_bytes() == (tmp_path / "ours.png").read_bytes()

    @pytest.mark.parametrize(
        ("name", "options", "says"),
        [
            ("lenet5", {"layer": "pol"}, "there is no layer 'pol'; there are pool"),
            ("textcnn", {}, "does not take images"),
            ("lenet5", {"input": (3, 32, 40)}, r"3×32×40\. Use --input 3xNxN"),
        ],
    )
    def test_what_cannot_be_drawn(
        self, face: Path, tmp_path: Path, name: str, options: dict[str, object], says: str
    ) -> None:
        with pytest.raises(InputError, match=says):
            inspect(name, image=face, out=tmp_path / "x.png", **options)  # type: ignore[arg-type]
        assert not (tmp_path / "x.png").exists()

    def test_weights_of_another_network_are_named(self, face: Path, tmp_path: Path) -> None:
        torch.save({"x": torch.zeros(1)}, tmp_path / "w.pth")
        with pytest.raises(InputError, match=r"w\.pth does not fit lenet5: Missing key"):
            inspect("lenet5", image=face, out=tmp_path / "x.png", weights=tmp_path / "w.pth")

    @pytest.mark.parametrize("given", ["image", "out", "layer", "weights"])
    def test_a_picture_needs_an_image_and_a_png_to_write(self, tmp_path: Path, given: str) -> None:
        with pytest.raises(InputError, match="Give both image and out"):
            inspect("lenet5", **{given: str(tmp_path / "x.png")})  # type: ignore[arg-type]

    def test_the_table_comes_with_the_picture(self, face: Path, tmp_path: Path) -> None:
        found = inspect("blur", image=face, out=tmp_path / "x.png")
        assert found.picture == tmp_path / "x.png" and found.layers == inspect("blur").layers

    def test_only_png_is_written(self, face: Path, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"x\.jpg does not end in \.png"):
            inspect("blur", image=face, out=tmp_path / "x.jpg")
