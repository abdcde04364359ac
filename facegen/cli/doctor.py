"""``facegen doctor``."""

from __future__ import annotations

import click

from facegen import console
from facegen.errors import Refused


@click.command(short_help="Check this machine: what is wrong, and what to do.")
@click.option("--quick", is_flag=True, help="Leave out the score of 64 images by facegen and by pytorch-fid.")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
def doctor(quick: bool, as_json: bool) -> None:
    """Check this machine, a line each with its remedy: the first thing that a bug report needs.

    Python, the packages, torch and the GPU, memory, disk, the cache folder, and each extractor's weights by their
    sha256. Then prepare's pixels against torchvision's, bit for bit, and the score of 64 images against pytorch-fid's
    own code, which takes about 15 seconds on two cores. Nothing is downloaded.

    'warn' is worth knowing, such as that there is no GPU. Exit code 1: something is wrong.
    """
    from facegen.stages.doctor import doctor as check_machine

    result = check_machine(quick=quick)
    if as_json:
        console.result_json(result.to_json())
    else:
        console.result(*result.lines())
    if not result.ok:
        raise Refused(f"Something is wrong: {', '.join(result.wrong)}.")
