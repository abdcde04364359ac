"""Measure at which frequencies a generator's brightness and colour have more or less power than real faces.

    facegen prepare img_align_celeba.zip celeba --partition list_eval_partition.txt
    python scripts/bench/spectrum.py celeba run/last.safetensors

The script takes 2,000 images of the generator (seed 0) and as many held-out faces, or train faces if none are held out.
It turns each into brightness and two colour differences (BT.601's Y, Cb and Cr), applies a Hann window, and transforms
it. Power is averaged over images and over rings of frequencies. A ring is given as a share of the highest frequency
that rows and columns can hold. The table is generated over real: 1 is right. As a check, other real faces are compared
in the same way.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
from record import add_option, record, table, this_command

from facegen.cnn.chroma import LUMA
from facegen.data.dataset import FaceDataset
from facegen.gan.generators import draw_images
from facegen.gan.latents import normal_latents
from facegen.training.saved_generator import load_generator

IMAGES, RINGS, CHUNK = 2000, 8, 50
#: BT.601: the rows are Y, Cb and Cr, the columns R, G and B.
PARTS = ("brightness, Y", "colour, Cb", "colour, Cr")
YCBCR = np.array([LUMA, [-0.1687, -0.3313, 0.5], [0.5, -0.4187, -0.0813]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("generator", type=Path, nargs="+", help=".safetensors file of a generator")
    add_option(parser)
    options = parser.parse_args()
    faces = FaceDataset.open(options.dataset)
    training = faces.training_rows()
    held_out = np.setdiff1d(np.arange(len(faces)), training)
    real = powers(faces.images[(held_out if len(held_out) else training)[:IMAGES]])
    edges = [f"{ring / RINGS:g}–{(ring + 1) / RINGS:g}" for ring in range(RINGS)]
    print(f"| images | of | {' | '.join(edges)} |\n|---|---|{'--:|' * RINGS}")
    sets = {str(path): drawn(path) for path in options.generator}
    rows = []
    for name, images in {"real": faces.images[training[-IMAGES:]], **sets}.items():
        for part, ratio in zip(PARTS, powers(images) / real, strict=True):
            print(f"| {name} | {part} | {' | '.join(f'{value:.2f}' for value in ratio)} |")
            rows.append([name, part, *ratio.tolist()])
    if options.record:
        columns = {"images": "", "of": "", **dict.fromkeys(edges, ".2f")}
        title = "The power of brightness and colour in a generator's images over that in real faces, by frequency"
        record(options.record, title=title, command=this_command(), tables={"power": table(columns, rows)})


def drawn(path: Path) -> npt.NDArray[np.uint8]:
    saved = load_generator(path)
    return draw_images(saved.network, normal_latents(0, 0, IMAGES, saved.recipe.latent_dim))


def powers(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Return the mean power of Y, Cb and Cr in each ring, [3, RINGS], for images uint8 [N, S, S, 3]."""
    side = images.shape[1]
    frequency = np.hypot(*np.meshgrid(*[np.fft.fftfreq(side) * 2] * 2))  # 1 is the highest in a row
    ring = np.minimum((frequency * RINGS).astype(int), RINGS)  # the corners, above 1, are left out
    window = np.outer(*[np.hanning(side)] * 2)
    total = np.zeros((3, RINGS))
    for part in np.split(images, range(CHUNK, len(images), CHUNK)):
        planes = np.einsum("nhwc,kc->knhw", part.astype(np.float64), YCBCR)
        planes -= planes.mean((2, 3), keepdims=True)
        power = (np.abs(np.fft.fft2(planes * window)) ** 2).sum(1)
        for each in range(RINGS):
            total[:, each] += power[:, ring == each].mean(1)
    return total / len(images)


if __name__ == "__main__":
    main()
