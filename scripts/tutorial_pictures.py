#!/usr/bin/env python
"""Draw the pictures of docs/tutorial.

    python scripts/tutorial_pictures.py                      # all of them, into docs/tutorial: ten seconds of one core
    python scripts/tutorial_pictures.py --out DIR --diagrams   # the diagrams alone, which need no network

The diagrams are SVG and the same bytes on every machine. The other pictures show faces of the generator that ships with
facegen, and what networks make of them; machines round differently, so those can differ in a few pixels.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

import facegen
from facegen.cnn.registry import find_architecture
from facegen.pictures.feature_maps import enlarge
from facegen.pictures.svg import Axis, Canvas
from facegen.pretrained import generator_path
from facegen.weights.loading import network_from_file
from facegen.weights.packaged import effnet_lite0_path

DOCS = Path(__file__).parents[1] / "docs" / "tutorial"
#: The face that the tutorial takes through its chapters: image 7 of seed 0.
FACE = 7
CELL = 34.0
_STYLE = """
text { font: 14px sans-serif; fill: #212529 } .small { font-size: 12px; fill: #495057 } .strong { font-weight: bold }
.cell { fill: #ffffff; stroke: #adb5bd } .pad { fill: #f1f3f5; stroke: #adb5bd; stroke-dasharray: 3 3 }
.first { fill: #ffe8cc; stroke: #e8590c } .second { fill: #d0ebff; stroke: #1c7ed6 }
.gone { fill: #dee2e6; stroke: #adb5bd }
.both { fill: #e5dbff; stroke: #7048e8 } .window { fill: none; stroke: #e8590c; stroke-width: 3 }
.window2 { fill: none; stroke: #1c7ed6; stroke-width: 3; stroke-dasharray: 6 4 }
.arrow { stroke: #495057; stroke-width: 1.5; fill: none } .see { stroke: #e8590c; stroke-width: 1.2 }
.unit { fill: #ced4da } .seen { fill: #e8590c } .axis { stroke: #adb5bd } .curve { fill: none; stroke-width: 2 }
.a { stroke: #e8590c } .b { stroke: #1c7ed6 } .c { stroke: #2f9e44 }
""".strip()


class Drawing(Canvas):
    """A canvas with rectangles and arrows that is a file of its own, on white for pages of any colour."""

    def __init__(self, width: float, height: float, title: str) -> None:
        super().__init__(width, height, title)
        self._root.set("xmlns", "http://www.w3.org/2000/svg")
        self._root.set("width", f"{width:g}")
        self._add("style", "").text = _STYLE
        self._add("rect", "", width=width, height=height, rx=6).set("fill", "#ffffff")

    def rect(self, x: float, y: float, width: float, height: float, kind: str) -> None:
        self._add("rect", kind, x=x, y=y, width=width, height=height)

    def box(self, x: float, y: float, width: float, text: str, kind: str = "cell") -> None:
        """A cell with a word in its middle."""
        self.rect(x, y, width, CELL, kind)
        self.text(x + width / 2, y + CELL / 2 + 5, text, "", "middle")

    def arrow(self, *points: tuple[float, float]) -> None:
        """A line through the points with a head at the last one, which is reached along an axis."""
        self.polyline(points, "arrow")
        (x0, y0), (x, y) = points[-2:]
        dx, dy = np.sign(x - x0) * 6, np.sign(y - y0) * 6
        self.polyline([(x - dx - dy / 2, y - dy + dx / 2), (x, y), (x - dx + dy / 2, y - dy - dx / 2)], "arrow")

    def grid(self, x: float, y: float, rows: Sequence[Sequence[object]], kind: Callable[[int, int], str]) -> None:
        """A table of cells, each of the kind that ``kind`` gives for its row and column."""
        for row, cells in enumerate(rows):
            for column, cell in enumerate(cells):
                self.box(x + column * CELL, y + row * CELL, CELL, str(cell).replace("-", "−"), kind(row, column))

    def save(self, path: Path) -> None:
        path.write_text(str(self.markup()) + "\n", encoding="utf-8")


def sliding_filter() -> Drawing:
    """The sum of convolution.md: a 3×3 filter at the second position of a 5×5 image."""
    image = torch.tensor([[0, 0, 1, 2, 2]] * 3 + [[0] * 5] * 2)
    weights = torch.tensor([[-1, 0, 1]] * 3)
    result = (image.unfold(0, 3, 1).unfold(1, 3, 1) * weights).sum((2, 3))
    drawing = Drawing(620, 250, "A 3×3 filter on a 5×5 image: nine products and their sum, 6")
    drawing.grid(20, 40, image.tolist(), lambda row, column: "first" if row < 3 and 1 <= column < 4 else "cell")
    drawing.rect(20 + CELL, 40, 3 * CELL, 3 * CELL, "window")
    drawing.grid(255, 57, weights.tolist(), lambda row, column: "cell")
    drawing.grid(490, 57, result.tolist(), lambda row, column: "first" if (row, column) == (0, 1) else "cell")
    for x, text in ((105, "image 5×5"), (306, "filter 3×3"), (541, "output 3×3")):
        drawing.text(x, 28, text, "strong", "middle")
    drawing.text(222, 115, "∗", "strong", "middle")
    drawing.arrow((385, 108), (465, 108))
    products = " + ".join(
        f"(−{-w})·{p}" if w < 0 else f"{w}·{p}"
        for w, p in zip(weights.flatten().tolist(), image[:3, 1:4].flatten().tolist(), strict=True)
    )
    drawing.text(310, 236, f"{products} = {result[0, 1]}", "small", "middle")
    return drawing


def stride_and_padding() -> Drawing:
    """Where a 3×3 filter stands on a 5×5 image, and how large the output is."""
    drawing = Drawing(660, 330, "A 3×3 filter on a 5×5 image: without padding, with padding 1, and with stride 2")
    small = 22.0
    for left, pad, stride in ((20, 0, 1), (230, 1, 1), (455, 0, 2)):
        side, out = 5 + 2 * pad, (5 + 2 * pad - 3) // stride + 1
        drawing.text(left, 24, f"padding {pad}, stride {stride}", "strong")
        drawing.text(left, 42, f"(5 + 2·{pad} − 3)/{stride} + 1 = {out}", "small")
        top = 56 if pad else 56 + small
        x0 = left if pad else left + small
        for row in range(side):
            for column in range(side):
                inside = pad <= row < 5 + pad and pad <= column < 5 + pad
                drawing.rect(x0 + column * small, top + row * small, small, small, "cell" if inside else "pad")
        drawing.rect(x0, top, 3 * small, 3 * small, "window")
        drawing.rect(x0 + stride * small, top, 3 * small, 3 * small, "window2")
        middle, below = left + 3.5 * small, 228
        drawing.arrow((middle, 214), (middle, below))
        for row in range(out):
            for column in range(out):
                kind = ("first", "second")[column] if row == 0 and column < 2 else "cell"
                x = middle + (column - out / 2) * 18
                drawing.rect(x, below + 4 + row * 18, 18, 18, kind)
    return drawing


def transposed_convolution() -> Drawing:
    """The one-dimensional example of sizes.md: each input stamps its multiple of the filter, two places further on."""
    pixels, weights, stride, pad = (1, 2, 3), (1, 3, 3, 1), 2, 1
    length = (len(pixels) - 1) * stride + len(weights)
    total = [0] * length
    drawing = Drawing(560, 262, "A transposed convolution: three inputs stamp the filter at every second place")
    left, top = 190.0, 48.0
    drawing.text(20, 26, "filter 1 3 3 1, stride 2, padding 1", "strong")
    for row, (pixel, kind) in enumerate(zip(pixels, ("first", "second", "both"), strict=True)):
        y = top + row * (CELL + 8)
        drawing.box(80, y, CELL, str(pixel), kind)
        drawing.arrow((122, y + CELL / 2), (176, y + CELL / 2))
        for place, weight in enumerate(weights):
            drawing.box(left + (row * stride + place) * CELL, y, CELL, str(pixel * weight), kind)
            total[row * stride + place] += pixel * weight
    y = top + 3 * (CELL + 8) + 14
    drawing.line(left, y - 11, left + length * CELL, y - 11, "arrow")
    drawing.grid(left, y, [total], lambda row, place: "gone" if place in (0, length - 1) else "cell")
    drawing.rect(left + CELL, y, (length - 2 * pad) * CELL, CELL, "window")
    for y_text, text in ((top + 22, "input"), (y + 22, "sum")):
        drawing.text(20, y_text, text, "")
    drawing.text(left + length * CELL / 2, y + CELL + 22, "(3 − 1)·2 − 2·1 + 4 = 6 outputs", "small", "middle")
    return drawing


def receptive_field() -> Drawing:
    """What one unit sees through three layers of 3×3, at stride 1 and at stride 2."""
    drawing = Drawing(660, 260, "Receptive fields of three layers: 3, 5, 7 at stride 1 and 3, 7, 15 at stride 2")
    for left, stride in ((30, 1), (350, 2)):
        drawing.text(left, 24, f"three layers 3×3, stride {stride}", "strong")
        middle, pitch = left + 130, 17.0
        seen, jump = {0}, stride**3
        for level in range(3, -1, -1):
            y = 48 + (3 - level) * 60
            for place in range(-8 // jump, 8 // jump + 1):
                at = middle + place * jump * pitch
                if abs(at - middle) <= 7.5 * pitch:
                    drawing.circle(at, y, 5, "seen" if place in seen else "unit")
            if level < 3:
                drawing.text(middle + 8.2 * pitch, y + 5, str(len(seen)), "small")
            if level == 0:
                break
            below = {place * stride + step for place in seen for step in (-1, 0, 1)}
            for place in seen:
                for step in (-1, 0, 1):
                    target = (place * stride + step) * (jump // stride)
                    drawing.line(middle + place * jump * pitch, y + 5, middle + target * pitch, y + 55, "see")
            seen, jump = below, jump // stride
        drawing.text(left, 250, "input", "small")
    return drawing


def residual_block() -> Drawing:
    """ResNet's basic block: two convolutions beside a shortcut."""
    drawing = Drawing(660, 170, "A residual block: y = ReLU(F(x) + x)")
    words, x, y = ("3×3", "BN", "ReLU", "3×3", "BN"), 70.0, 90.0
    drawing.text(24, y + 22, "x", "strong")
    drawing.arrow((38, y + CELL / 2), (x, y + CELL / 2))
    drawing.arrow((52, y + CELL / 2), (52, 40), (502, 40), (502, y + 4))
    for word in words:
        drawing.box(x, y, 60, word, "second" if word == "3×3" else "cell")
        drawing.arrow((x + 60, y + CELL / 2), (x + (84 if x < 400 else 83), y + CELL / 2))
        x += 84
    drawing.circle(502, y + CELL / 2, 13, "first")
    drawing.text(502, y + 22, "+", "strong", "middle")
    drawing.arrow((515, y + CELL / 2), (545, y + CELL / 2))
    drawing.box(545, y, 60, "ReLU")
    drawing.arrow((605, y + CELL / 2), (632, y + CELL / 2))
    drawing.text(638, y + 22, "y", "strong")
    drawing.text(277, 30, "identity: x", "", "middle")
    drawing.text(277, y + CELL + 24, "F(x)", "strong", "middle")
    return drawing


DIAGRAMS = {
    "sliding-filter.svg": sliding_filter,
    "stride-padding.svg": stride_and_padding,
    "transposed.svg": transposed_convolution,
    "receptive-field.svg": receptive_field,
    "residual-block.svg": residual_block,
}


def histograms(images: Tensor) -> Drawing:
    """What three channels of EfficientNet-Lite0's first convolution have of faces, before and after normalisation."""
    network = network_from_file(find_architecture("efficientnet_lite0"), {}, effnet_lite0_path())
    with torch.no_grad():
        before = network.get_submodule("features.stem.conv")(images)
    picked = before[:, _apart(before)]
    after = (picked - picked.mean((0, 2, 3), keepdim=True)) / picked.std((0, 2, 3), keepdim=True)
    drawing = Drawing(660, 240, "Values of three channels before and after normalisation")
    for left, title, values in ((30, "before", picked), (355, "after: mean 0, variance 1", after)):
        drawing.text(left, 24, title, "strong")
        limit = 8.0 if title == "before" else 4.0
        x, bins = Axis(-limit, limit, left, left + 275), np.linspace(-limit, limit, 61)
        counts = [np.histogram(values[:, channel].numpy(), bins)[0] for channel in range(3)]
        y = Axis(0.0, float(max(map(np.max, counts))), 200, 45)
        for count, kind in zip(counts, "abc", strict=True):
            middles = (bins[1:] + bins[:-1]) / 2
            drawing.polyline([(x(at), y(value)) for at, value in zip(middles, count, strict=True)], f"curve {kind}")
        drawing.line(left, 200, left + 275, 200, "axis")
        for tick in np.arange(-limit, limit + 1, 2.0):
            drawing.text(x(tick), 218, f"{tick:g}".replace("-", "−"), "small", "middle")
    return drawing


def _apart(values: Tensor) -> list[int]:
    """Three channels whose means differ: the lowest, the one in the middle and the highest, the widest left out."""
    narrow = values.std((0, 2, 3)).argsort()[4:-4]
    order = narrow[values.mean((0, 2, 3))[narrow].argsort()]
    return [int(order[0]), int(order[len(order) // 2]), int(order[-1])]


def nested_fields(face: np.ndarray) -> Image.Image:
    """How much of a face one unit of each block of DCGAN's discriminator sees."""
    picture = Image.fromarray(enlarge(face, 384))
    draw, middle, scale = ImageDraw.Draw(picture), 192, 6
    colours = ("#ffffff", "#ffd43b", "#ff922b", "#f03e3e")
    fields = [row.receptive_field for row in facegen.inspect("dcgan_discriminator").layers]
    for colour, field in zip(colours, fields, strict=False):
        half = field[0] * scale / 2
        draw.rectangle((middle - half, middle - half, middle + half, middle + half), outline=colour, width=4)
    return picture


def small_png(picture: Image.Image, path: Path, *, width: int | None = None, colours: int = 128) -> None:
    """Save a picture in few colours, which is what keeps its file small."""
    if width is not None:
        picture = picture.resize((width, round(picture.height * width / picture.width)), Image.Resampling.LANCZOS)
    picture.convert("RGB").quantize(colours, dither=Image.Dither.NONE).save(path, optimize=True)


def draw(out: Path, only: Iterable[str] | None = None) -> None:
    """Write the diagrams, or those that ``only`` names, to ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    for name in only or DIAGRAMS:
        DIAGRAMS[name]().save(out / name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=DOCS)
    parser.add_argument("--diagrams", action="store_true")
    options = parser.parse_args()
    draw(options.out)
    if options.diagrams:
        return
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        facegen.sample(generator_path(), place / "faces", n=64)
        faces = [np.asarray(Image.open(path)) for path in sorted((place / "faces").glob("*.png"))]
        face = place / "faces" / f"{FACE:04d}.png"
        facegen.inspect("vertical_edge", image=face, out=place / "edges.png")
        facegen.inspect("efficientnet_lite0", image=face, layer="stem", out=place / "stem.png")
        small_png(Image.open(place / "edges.png"), options.out / "edges.png", width=720, colours=192)
        small_png(Image.open(place / "stem.png"), options.out / "stem.png", width=720, colours=112)
    small_png(nested_fields(faces[FACE - 1]), options.out / "fields.png", colours=192)
    pixels = torch.from_numpy(np.stack(faces)).permute(0, 3, 1, 2).float() / 127.5 - 1
    histograms(pixels).save(options.out / "histograms.svg")


if __name__ == "__main__":
    main()
