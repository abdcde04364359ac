"""``facegen inspect``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from facegen import console
from facegen.cli.options import BATCHES, SIDES
from facegen.training.hyperparameter import MOST_CHANNELS

if TYPE_CHECKING:
    from rich.table import Table

    from facegen.cnn.inspect import LayerRow
    from facegen.stages.inspect import InspectResult

_WIDE = 100  # columns; narrower terminals do not show the multiply-adds
_SHORT = {"BatchNorm": "BN", "InstanceNorm": "IN", "GroupNorm": "GN", "LayerNorm": "LN"}


class _Shape(click.ParamType):
    name = "shape"

    def convert(
        self, value: str | tuple[int, ...], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        numbers = re.split(r"\s*[x×,]\s*", str(value).strip().lower())
        if not all(re.fullmatch(r"[0-9]{1,6}", number) and int(number) > 0 for number in numbers):
            self.fail(f"{value!r} is not a shape: write channels and sizes as in 3x64x64.", param, ctx)
        return tuple(map(int, numbers))


@click.command(short_help="Show a network's layers, filters and feature maps.")
@click.argument("architecture", required=False)
@click.option("--list", "as_list", is_flag=True, help="Print the name of every architecture, one per line.")
@click.option(
    "--input",
    "shape",
    type=_Shape(),
    show_default="the published one",
    help="Shape of one input: 3x64x64, 3x16x112x112 for video, 56 for a sentence, 100 for a generator's latent.",
)
@click.option("--batch", type=BATCHES, default=1, help="Number of inputs whose activation memory is counted.")
@click.option(
    "--width",
    type=click.IntRange(1, MOST_CHANNELS),
    show_default="the published one",
    help="Channels after the first convolution. The other layers keep their proportions.",
)
@click.option(
    "--size",
    type=SIDES,
    show_default="the published one",
    help="Choose the strides for images of this side, as a recipe does for a discriminator.",
)
@click.option("--image", type=click.Path(path_type=Path), help="Draw the output of --layer for this picture to --out.")
@click.option(
    "--layer",
    show_default="the first convolution",
    help="With --image: the layer to draw, named as in the table. A leading 'features.' can be omitted.",
)
@click.option("--out", type=click.Path(path_type=Path), help="With --image: the PNG to write.")
@click.option(
    "--weights",
    type=click.Path(path_type=Path),
    show_default="ImageNet's for efficientnet_lite0, random for others",
    help="With --image: a state dict (.safetensors, or by torch.save) with facegen's or torchvision's names.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the table or the list as JSON.")
def inspect(
    architecture: str | None,
    as_list: bool,
    shape: tuple[int, ...] | None,
    batch: int,
    width: int | None,
    size: int | None,
    image: Path | None,
    layer: str | None,
    out: Path | None,
    weights: Path | None,
    as_json: bool,
) -> None:
    """Print a table of the layers of ARCHITECTURE, or with --image draw one layer's filters and feature maps.

    The table has one row per layer, with the norm and activation that follow it. The receptive field is the part of
    the input that one unit depends on, in pixels. It includes padding, so it can exceed the input. Multiply-adds are
    counted for one input, in convolutions and linear layers. Memory is float32 for the output of every layer and
    norm, which training keeps. Sums and concatenations of branches are not counted.

    The picture shows the image, the filters of the layer's first convolution and the layer's feature maps, each map
    scaled from black to white.
    """
    if as_list == (architecture is not None):
        raise click.UsageError("Name an ARCHITECTURE to inspect, or use --list to see all of them.")
    if as_list:
        _list(as_json)
        return
    assert architecture is not None
    if image is not None:
        if out is None or as_json:
            raise click.UsageError("--image needs --out, the PNG to write, and cannot be combined with --json.")
    else:
        for option, value in (("--layer", layer), ("--out", out), ("--weights", weights)):
            if value is not None:
                raise click.UsageError(f"{option} needs an --image to draw.")
    from facegen.stages.inspect import inspect as inspect_stage

    inspection = inspect_stage(
        architecture,
        input=shape,
        batch=batch,
        width=width,
        size=size,
        image=image,
        layer=layer,
        out=out,
        weights=weights,
    )
    if inspection.picture is not None:
        console.result(str(inspection.picture))
    elif as_json:
        console.result_json(inspection.to_json())
    else:
        console.result_table(_table(inspection), whole=True)


def _list(as_json: bool) -> None:
    from facegen.cnn.registry import ARCHITECTURES

    if not as_json:
        console.result(*ARCHITECTURES)
        return
    known = [
        {"name": found.name, "role": found.role, "input": found.input, "source": found.source}
        for found in ARCHITECTURES.values()
    ]
    console.result_json({"schema": 1, "architectures": known})


def _table(inspection: InspectResult) -> Table:
    from rich import box
    from rich.table import Table

    from facegen.stages.inspect import times

    width = console.columns()
    wide = width is None or width >= _WIDE
    title = f"{inspection.architecture}, input {times(inspection.input)}, batch {inspection.batch}"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_footer=True, padding=(0, 1, 0, 0))
    table.add_column("name", "total", overflow="fold", min_width=8)
    table.add_column("layer", overflow="fold", min_width=7)
    for heading in ("kernel", "stride", "pad", "output"):
        table.add_column(heading, no_wrap=True)
    table.add_column("field", justify="right", no_wrap=True)
    table.add_column("parameters", f"{inspection.parameters:,}", justify="right", no_wrap=True)
    if wide:
        table.add_column("mult-adds", _short(inspection.macs), justify="right", no_wrap=True)
    table.add_column("memory", f"{_short(inspection.activation_bytes)}B", justify="right", no_wrap=True)
    for row in inspection.layers:
        cells = [
            row.name.removeprefix("features."),  # as --layer takes it too
            _layer(row),
            _each(row.kernel),
            _each(row.stride, short=True),
            _each(row.padding, short=True),
            times(row.output),
            _each(row.receptive_field, short=True),
            f"{row.parameters:,}" if row.parameters else "",
            *([_short(row.macs) if row.macs else ""] if wide else []),
            f"{_short(inspection.batch * row.activation_bytes)}B",
        ]
        table.add_row(*cells)
    return table


def _layer(row: LayerRow) -> str:
    """Join a layer, its norm and its activation: ``Conv2d BN ReLU``."""
    return " ".join(_abbreviated(kind) for kind in (row.kind, row.norm, row.activation) if kind)


def _abbreviated(kind: str) -> str:
    for long, short in _SHORT.items():
        if kind.startswith(long):
            return short
    return kind


def _each(values: Sequence[int | tuple[int, int]] | None, *, short: bool = False) -> str:
    """Join sizes by ×: ``3×3``. With ``short``, one number if all are equal. Unequal padding is ``0+1``."""
    if not values:
        return ""
    words = [f"{value[0]}+{value[1]}" if isinstance(value, tuple) else str(value) for value in values]
    return words[0] if short and len(set(words)) == 1 else "×".join(words)


def _short(number: int) -> str:
    """Format a number with three digits and a decimal prefix: ``1.81 G``."""
    value = float(number)
    for prefix in ("", "k", "M", "G", "T"):
        if value < 999.5 or prefix == "T":
            break
        value /= 1000
    digits = 0 if not prefix else max(2 - len(str(int(value))) + 1, 0)
    return f"{value:.{digits}f} {prefix}"
