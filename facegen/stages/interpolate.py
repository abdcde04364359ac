"""Interpolate: walks from face to face, as a picture or an animation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from facegen import console
from facegen.device import choose_device, placed
from facegen.errors import InputError
from facegen.files import StrPath
from facegen.gan.generators import draw_images
from facegen.gan.latents import normal_latents, slerp
from facegen.notebook.cards import card, picture_file, place
from facegen.pictures.animation import GIF_UNIT, save_gif
from facegen.pictures.contact_sheet import contact_sheet, require_ours, save_png
from facegen.stages.sample import generator_of, require_truncation
from facegen.training.saved_generator import load_generator

#: Maximum number of images. They are in memory together, 12 KB each at 64×64.
MOST_IMAGES = 20_000


@dataclass(frozen=True)
class InterpolateResult:
    """The picture or animation of walks between faces.

    Attributes:
        path: The picture, a PNG, or the animation, a GIF.
        faces: Number of faces at the ends of walks.
        images: Number of images, including those faces.
    """

    path: Path
    faces: int
    images: int

    def _repr_html_(self) -> str | None:
        words = f"Walks between {self.faces:,} faces in {self.images:,} images"
        return card(words, picture_file(self.path, words), place(self.path))


def interpolate(
    run: StrPath,
    out: StrPath,
    *,
    rows: int = 8,
    steps: int = 10,
    fps: int = 20,
    seed: int = 0,
    truncation: float = 1.0,
    device: str = "auto",
) -> InterpolateResult:
    """Draw walks between latents (:func:`facegen.gan.latents.slerp`) and write them to ``out``.

    Face i is image i, from 1, of ``facegen sample`` with the same seed and truncation. Row r of the picture has
    ``steps`` images from face r to face ``rows`` + r, both included. The animation goes through faces 1 to ``rows``
    and back to the first, endlessly, with ``steps`` frames from one face to the next: frame 0 is face 1, frame
    ``steps`` is face 2. A GIF has 256 colours per frame and durations in hundredths of a second.

    Args:
        run: A run folder or a .safetensors file, as for :func:`facegen.sample`.
        out: A ``.png`` for the picture, a ``.gif`` for the animation.
        rows: Number of walks, at least 1. For an animation, the number of faces, at least 2.
        steps: Number of images from one face to the next, at least 2.
        fps: Frames per second.
        seed: Seed of the faces, as for :func:`facegen.sample`.
        truncation: Factor on the latents, as for :func:`facegen.sample`.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.

    Raises:
        InputError: ``run`` has no generator; ``out`` has another suffix; there are too few rows or steps, or more
            than 20,000 images; the truncation is not possible; or a file at ``out`` was not made by facegen.
    """
    run, out = Path(run), Path(out)
    suffix = out.suffix.lower()
    if suffix not in (".png", ".gif"):
        raise InputError(f"{out} is neither a picture nor an animation.", "End it in .png or .gif.")
    least = 1 if suffix == ".png" else 2
    if rows < least or steps < 2:
        raise InputError(
            f"{rows} rows of {steps} steps are too few for a walk.",
            f"A {suffix} needs at least {least} rows and 2 steps.",
        )
    if rows * steps > MOST_IMAGES:
        raise InputError(
            f"{rows:,} rows of {steps:,} steps are {rows * steps:,} images.", f"Draw at most {MOST_IMAGES:,} at once."
        )
    require_truncation(truncation)
    require_ours(out)
    saved = load_generator(generator_of(run))
    network = placed(saved.network, choose_device(device))
    dim = saved.recipe.latent_dim
    if suffix == ".png":
        ends = normal_latents(seed, 0, 2 * rows, dim)
        walks = [slerp(*pair, torch.linspace(0, 1, steps)) for pair in zip(ends[:rows], ends[rows:], strict=True)]
    else:
        ends = normal_latents(seed, 0, rows, dim)
        walks = [slerp(*pair, torch.arange(steps) / steps) for pair in zip(ends, ends.roll(-1, 0), strict=True)]
    latents: Tensor = torch.cat(walks).mul_(truncation)
    images = draw_images(network, latents)
    if suffix == ".png":
        save_png(out, contact_sheet(images, columns=steps))
    else:
        save_gif(out, images, max(1, round(100 / fps)) * GIF_UNIT)
    console.info(f"Walked between {len(ends)} faces in {len(images)} images.")
    return InterpolateResult(out, len(ends), len(images))
