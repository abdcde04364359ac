"""What docs/examples.md says of pictures; tests/test_docs_blocks.py runs its commands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from click.testing import Result
from PIL import Image

from facegen.data.dataset import FaceDataset

Run = Callable[..., Result]


def photographs(folder: Path, faces: np.ndarray) -> None:
    """A phone's: of several sizes, each fourth lying on its side with a tag that says so, and one that is not read."""
    (folder / "photographs/2024").mkdir(parents=True)
    for number, face in enumerate(faces):
        picture, exif = Image.fromarray(face).resize((200 + 2 * number, 320)), Image.Exif()
        if number % 4 == 0:
            picture, exif[0x0112] = picture.rotate(90, expand=True), 6
        picture.save(folder / f"photographs/2024/IMG_{number:04d}.jpg", exif=exif)
    (folder / "photographs/2024/IMG_0100.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))


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
