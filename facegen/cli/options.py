"""Options that several commands share, worded once."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from facegen.extractors.table import extractors
from facegen.submission.rules import LARGEST_SIZE, LIMITS
from facegen.training.hyperparameter import LARGEST_INTEGER, MOST_BATCH, MOST_KIMG

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])
DEVICES = ("auto", "cpu", "cuda", "mps")


class ExtractorName(click.ParamType):
    """A name in the table of extractors, or ``module:callable``."""

    name = "extractor"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return f"[{'|'.join(extractors())}|MODULE:CALLABLE]"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value not in extractors() and ":" not in value:
            names = ", ".join(map(repr, extractors()))
            self.fail(f"{value!r} is not one of {names}, and no package.module:callable.", param, ctx)
        return value

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(name) for name in extractors() if name.startswith(incomplete)]


class Number(click.FloatRange):
    """A number in a range, as Click's own, in which NaN and infinity are not."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is no finite number.", param, ctx)
        return number


#: What torch takes, and TOML can say.
SEEDS = click.IntRange(0, LARGEST_INTEGER)
#: Sides of images, in pixels.
SIDES = click.IntRange(1, LARGEST_SIZE)
#: Images or latents that are held in memory together.
BATCHES = click.IntRange(1, MOST_BATCH)
#: Thousands of images that are shown in training.
KIMG = Number(0, MOST_KIMG, min_open=True)

device_option = click.option(
    "--device", type=click.Choice(DEVICES), default="auto", help="Where to compute; auto: a GPU where there is one."
)
extractor_option = click.option(
    "--extractor",
    type=ExtractorName(),
    show_default="inception where its weights can be had, else effnet-lite0",
    help="The network whose features are compared; or a function of your own, uint8 [N, H, W, 3] → float [N, D].",
)
dims_option = click.option(
    "--dims",
    type=int,
    show_default=", ".join(f"{entry.default_dims} of {entry.name}" for entry in extractors().values()),
    help="Features an image: 64, 192, 768 or 2048 of Inception.",
)


def target_option(help: str) -> Callable[[FunctionT], FunctionT]:
    """``--target``, with what a command does by it."""
    default = "20 for FID, none for another distance"
    return click.option("--target", type=Number(min=0, min_open=True), show_default=default, help=help)


#: Of the images that a course asks for.
size_option = click.option(
    "--size", type=int, default=LIMITS.size, help="Side of the images that are asked for, in pixels."
)
weights_option = click.option(
    "--weights",
    type=click.Path(path_type=Path),
    help="Weights of the extractor, Inception's unless --extractor names another, to use instead of the published "
    "file; the distance is then called FD.",
)
