"""``facegen arithmetic``."""

from __future__ import annotations

import re
from pathlib import Path

import click

from facegen import console
from facegen.cli.options import SEEDS, Number, device_option


class _Numbers(click.ParamType):
    name = "numbers"

    def convert(
        self, value: str | tuple[int, ...], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        numbers = re.split(r"\s*,\s*", str(value).strip())
        if not all(re.fullmatch(r"[0-9]{1,9}", number) and int(number) > 0 for number in numbers):
            self.fail(f"{value!r} is not a list of faces: write the numbers of their PNGs, as in 3,17,40.", param, ctx)
        return tuple(map(int, numbers))


@click.command(short_help="Add and subtract faces in latent space.")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--add", type=_Numbers(), multiple=True, required=True, help="Faces whose mean is added, as in 3,17,40.")
@click.option("--subtract", type=_Numbers(), multiple=True, help="Faces whose mean is subtracted.")
@click.option(
    "--noise",
    type=Number(0, 100),
    default=0.0,
    help="Also draw eight variations, with uniform noise of up to this size on the latent. The paper uses 0.25.",
)
@click.option("--seed", type=SEEDS, default=0, help="Seed of the faces, as in 'facegen sample --seed'.")
@device_option
def arithmetic(
    run: Path,
    out: Path,
    add: tuple[tuple[int, ...], ...],
    subtract: tuple[tuple[int, ...], ...],
    noise: float,
    seed: int,
    device: str,
) -> None:
    """Add and subtract faces of RUN and draw the result to OUT, a PNG.

    RUN is a run folder or a .safetensors file. Faces are numbered like the PNGs of 'facegen sample' with the same
    seed: 3 is 0003.png. --add and --subtract can be repeated; each group is averaged. With smiling women, neutral
    women and neutral men:

        facegen arithmetic run sum.png --add 3,17,40 --subtract 2,5,9 --add 7,12,33
    """
    from facegen.stages.arithmetic import arithmetic as arithmetic_stage

    drawn = arithmetic_stage(run, out, add=add, subtract=subtract, noise=noise, seed=seed, device=device)
    console.result(str(drawn.path))
