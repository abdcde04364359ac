"""docs/examples.md: its commands are taken from the page and run, on small stand-ins, and print what it says."""

from __future__ import annotations

import re
import runpy
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

from facegen.data.dataset import FaceDataset
from facegen.training import starting
from facegen.training.recipe import Recipe, load_recipe

PAGE = (Path(__file__).parents[1] / "docs" / "examples.md").read_text(encoding="utf-8")
Run = Callable[..., Result]


def small_recipe(name: str | Path) -> Recipe:
    """The recipe that is named, with networks of a few thousand weights, for two steps."""
    small = {"generator": "dcgan_generator", "generator_width": 2, "discriminator_width": 2, "features": "", "batch": 8}
    return load_recipe(name).with_overrides({**small, "moments_weight": 0.0, "precision": "fp32"})


def ffhq(folder: Path, faces: np.ndarray) -> None:
    """FFHQ's tree, with the images around number 60,000."""
    for number, face in enumerate(faces, 60_000 - len(faces) // 2):
        path = folder / f"thumbnails128x128/{number // 1000 * 1000:05d}/{number:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(face).resize((128, 128)).save(path)


def photographs(folder: Path, faces: np.ndarray) -> None:
    """A phone's: of several sizes, each fourth lying on its side with a tag that says so, and one that is not read."""
    (folder / "photographs/2024").mkdir(parents=True)
    for number, face in enumerate(faces):
        picture, exif = Image.fromarray(face).resize((200 + 2 * number, 320)), Image.Exif()
        if number % 4 == 0:
            picture, exif[0x0112] = picture.rotate(90, expand=True), 6
        picture.save(folder / f"photographs/2024/IMG_{number:04d}.jpg", exif=exif)
    (folder / "photographs/2024/IMG_0100.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))


def steps(section: str) -> list[tuple[str, list[str]]]:
    """The commands of a section of the page, in order, each with the lines that it is said to print."""
    text = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    calls = "".join(blocks).split("$ ")[1:]
    return [(call.splitlines()[0], call.splitlines()[1:]) for call in calls]


def form_of(line: str) -> str:
    """A pattern for a line: any number for a number, anything for a ``…``."""
    return re.sub(r"\\?…", ".*", re.sub(r"[\d,]*\d", r"[\\d,]+", re.escape(line)))


@pytest.fixture
def run_section(facegen: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(starting, "load_recipe", small_recipe)
    for name, value in (("TRAIN_KIMG", "0.016"), ("SAMPLE_N", "50"), ("PREPARE_WORKERS", "1"), ("TRAIN_DEVICE", "cpu")):
        monkeypatch.setenv(f"FACEGEN_{name}", value)
    for name, code in re.findall(r"^```python\n# (\S+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        (tmp_path / name).write_text(code, encoding="utf-8")

    def run(section: str) -> None:
        for call, told in steps(section):
            program, *words = shlex.split(call)
            if program == "python":
                runpy.run_path(words[0])
                continue
            outcome = facegen(*words)
            printed = outcome.stderr + outcome.stdout
            assert outcome.exit_code == 0, printed
            for line in told:
                assert re.search(f"^{form_of(line)}", printed, re.MULTILINE), f"{call}\n{line}\n{printed}"

    return run


def test_ffhq(
    run_section: Callable[[str], None],
    tmp_path: Path,
    drawn: tuple[np.ndarray, np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ffhq(tmp_path, drawn[0][:12])
    monkeypatch.setenv("FACEGEN_SAMPLE_N", "8")
    run_section("FFHQ")
    dataset = FaceDataset.open(tmp_path / "ffhq")
    assert list(dataset.splits) == ["train"] * 6 + ["valid"] * 6
    assert Image.open(tmp_path / "ffhq.png").size[0] > 64


def test_photographs_of_ones_own(
    run_section: Callable[[str], None], tmp_path: Path, drawn: tuple[np.ndarray, np.ndarray]
) -> None:
    photographs(tmp_path, drawn[1][:56])
    run_section("Photographs of one's own")
    assert (tmp_path / "faces.png").is_file()
    recipe = load_recipe(tmp_path / "few.toml")
    assert (recipe.name, recipe.augment, recipe.ada_target) == ("few", "color,translation,cutout", 0.6)


def test_a_picture_that_lay_on_its_side_is_shown_upright(
    facegen: Run, tmp_path: Path, drawn: tuple[np.ndarray, np.ndarray]
) -> None:
    """What the page says of the preview: the images as they are prepared, the same whether the camera was held so."""
    photographs(tmp_path, np.repeat(drawn[1][:1], 2, axis=0))
    words = ("prepare", tmp_path / "photographs", tmp_path / "faces", "--upright", "--preview", tmp_path / "faces.png")
    assert facegen(*words, "--workers", 1).exit_code == 0
    on_its_side, upright = FaceDataset.open(tmp_path / "faces").images.astype(float)
    assert np.abs(on_its_side - upright).mean() < 5 < np.abs(np.rot90(on_its_side) - upright).mean()
    preview = np.asarray(Image.open(tmp_path / "faces.png"), float)
    first = preview[: preview.shape[0], : preview.shape[1] // 2]
    assert min(np.abs(first[y : y + 64, x : x + 64] - on_its_side).mean() for y in range(4) for x in range(4)) == 0
