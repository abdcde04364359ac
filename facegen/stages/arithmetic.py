"""Arithmetic: adds and subtracts faces in latent space, as in DCGAN's figure 7."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from facegen import console
from facegen.device import choose_device, placed
from facegen.errors import InputError
from facegen.files import StrPath
from facegen.gan.generators import draw_images
from facegen.gan.latents import combine, normal_latents
from facegen.notebook.cards import card, picture_file, place
from facegen.pictures.contact_sheet import contact_sheet, figure, require_ours, save_png
from facegen.stages.sample import generator_of
from facegen.training.saved_generator import load_generator

#: Factor by which images are enlarged, so that captions fit above them.
_ZOOM = 2
Images = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class ArithmeticResult:
    """The picture of a sum of faces.

    Attributes:
        path: The figure, a PNG.
        faces: Number of different faces in the sum.
    """

    path: Path
    faces: int

    def _repr_html_(self) -> str | None:
        words = f"A sum of {self.faces:,} faces"
        return card(words, picture_file(self.path, words), place(self.path))


def arithmetic(
    run: StrPath,
    out: StrPath,
    *,
    add: Sequence[Sequence[int]],
    subtract: Sequence[Sequence[int]] = (),
    noise: float = 0.0,
    seed: int = 0,
    device: str = "auto",
) -> ArithmeticResult:
    """Add and subtract groups of faces, each averaged, and write the figure to ``out``.

    The method is that of Radford et al., arXiv:1511.06434, section 6.3.2 and figure 7. The figure has a panel for
    each group with its faces and, below them, the face of their mean. The last panel has the result. Sums are
    rescaled to the distribution of latents. A sum of three means of three faces is not changed by that
    (:func:`facegen.gan.latents.combine`).

    Args:
        run: A run folder or a .safetensors file, as for :func:`facegen.sample`.
        out: The figure, a ``.png``.
        add, subtract: Groups of faces, by the numbers of the PNGs of ``facegen sample`` with the same seed: 3 is
            0003.png.
        noise: If above 0, the result is the centre of 3×3 faces. The others have noise from U(−noise, noise) added to
            each entry of the latent. The paper uses 0.25, with latents from U(−1, 1).
        seed: Seed of the faces and of the noise.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.

    Raises:
        InputError: ``run`` has no generator; ``out`` is not a PNG; nothing is added, a group is empty or a number is
            below 1; the groups cancel out; or a file at ``out`` was not made by facegen.
    """
    run, out = Path(run), Path(out)
    if out.suffix.lower() != ".png":
        raise InputError(f"{out} does not end in .png.", f"Call it {out.stem}.png, for example.")
    signed = [
        (sign, group)
        for pair in zip_longest(add, subtract)
        for sign, group in zip((1, -1), pair, strict=True)
        if group is not None
    ]
    if not add or not all(group and min(group) >= 1 for _, group in signed):
        raise InputError("A group has no faces.", "Give numbers from 1 on, as in --add 3,17,40.")
    require_ours(out)
    numbers = sorted({number for _, group in signed for number in group})
    saved = load_generator(generator_of(run))
    network = placed(saved.network, choose_device(device))
    latents = torch.cat([normal_latents(seed, number - 1, 1, saved.recipe.latent_dim) for number in numbers])

    def weights(*terms: tuple[int, Sequence[int]]) -> torch.Tensor:
        """Return the weight of each face. Weights are counted as whole numbers, so that equal groups cancel."""
        totals = Counter[int]()
        common = int(np.lcm.reduce([len(group) for _, group in terms]))
        for sign, group in terms:
            for number in group:
                totals[number] += sign * common // len(group)
        return torch.tensor([totals[number] / common for number in numbers])

    try:
        result = combine(latents, weights(*signed))
    except ValueError:
        raise InputError("The groups cancel out.", "Add and subtract different faces.") from None
    means = torch.stack([combine(latents, weights((1, group))) for _, group in signed])
    around = result.expand(9 if noise else 1, -1).clone()
    if noise:
        jitter = torch.rand(around.shape, generator=torch.Generator().manual_seed(seed)).mul_(2).sub_(1)
        jitter[4] = 0
        around += noise * jitter
    drawn = draw_images(network, torch.cat([latents, means, around]))
    drawn = drawn.repeat(_ZOOM, axis=1).repeat(_ZOOM, axis=2)
    faces, of_means, results = np.split(drawn, [len(numbers), len(numbers) + len(means)])

    tallest = max(len(group) for _, group in signed)
    panels = []
    for (sign, group), mean in zip(signed, of_means, strict=True):
        # A plain hyphen, because Pillow's font has no minus sign.
        caption = f"{'+' if sign > 0 else '-'} the mean (last) of {', '.join(map(str, group))}"
        panels.append((caption, _panel(faces[[numbers.index(number) for number in group]], mean, tallest)))
    caption = f"= the sum, and noise of ±{noise:g} around it" if noise else "= the sum"
    panels.append((caption, contact_sheet(results)))
    save_png(out, figure(panels))
    console.info(f"Seed {seed}; each column ends in its mean.")
    return ArithmeticResult(out, len(numbers))


def _panel(members: Images, mean: Images, tallest: int) -> Images:
    """Stack faces up to the height of the ``tallest`` group, and add the face of their mean."""
    white = np.full((tallest - len(members), *mean.shape), 255, np.uint8)
    return contact_sheet(np.concatenate([members, white, mean[None]]), columns=1)
