"""Options that several commands share."""

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
            self.fail(f"{value!r} is neither one of {names} nor of the form package.module:callable.", param, ctx)
        return value

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(name) for name in extractors() if name.startswith(incomplete)]


class Number(click.FloatRange):
    """A number in a range, like Click's own, that rejects NaN and infinity."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return number


#: Seeds that both torch and TOML accept.
SEEDS = click.IntRange(0, LARGEST_INTEGER)
#: Sides of images, in pixels.
SIDES = click.IntRange(1, LARGEST_SIZE)
#: Number of images or latents in memory at once.
BATCHES = click.IntRange(1, MOST_BATCH)
#: Thousands of images shown in training.
KIMG = Number(0, MOST_KIMG, min_open=True)

device_option = click.option(
    "--device",
    type=click.Choice(DEVICES),
    default="auto",
    help="Device to compute on; auto takes a GPU if there is one.",
)
extractor_option = click.option(
    "--extractor",
    type=ExtractorName(),
    show_default="inception if its weights are available, else effnet-lite0",
    help="The network that computes features, or a function of yours: uint8 [N, H, W, 3] → float [N, D].",
)
dims_option = click.option(
    "--dims",
    type=int,
    show_default=", ".join(f"{entry.default_dims} of {entry.name}" for entry in extractors().values()),
    help="Number of features per image. Inception offers 64, 192, 768 and 2048.",
)


def target_option(help: str) -> Callable[[FunctionT], FunctionT]:
    """Return the option ``--target`` with a help text that fits the command."""
    default = "20 for FID, none for another distance"
    return click.option("--target", type=Number(min=0, min_open=True), show_default=default, help=help)


#: The option for the size of the images that a course asks for.
size_option = click.option("--size", type=int, default=LIMITS.size, help="Required side of the images, in pixels.")
weights_option = click.option(
    "--weights",
    type=click.Path(path_type=Path),
    help="A weights file to use instead of the published one, for Inception unless --extractor names another "
    "network. The distance is then called FD.",
)
