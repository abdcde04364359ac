"""Options that several commands share, worded once."""

from __future__ import annotations

from pathlib import Path

import click

#: Names of the stages, repeated here because importing those rooms would import torch before it is needed.
EXTRACTORS = ("inception", "effnet-lite0")
DEVICES = ("auto", "cpu", "cuda", "mps")

device_option = click.option(
    "--device", type=click.Choice(DEVICES), default="auto", help="Where to compute; auto: a GPU where there is one."
)
extractor_option = click.option(
    "--extractor",
    type=click.Choice(EXTRACTORS),
    show_default="inception where its weights can be had, else effnet-lite0",
    help="The network whose features are compared.",
)
weights_option = click.option(
    "--weights",
    type=click.Path(path_type=Path),
    help="Inception weights to use instead of the published file; the distance is then called FD.",
)
