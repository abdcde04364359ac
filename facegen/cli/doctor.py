"""``facegen doctor``."""

from __future__ import annotations

import click

from facegen import console
from facegen.errors import Refused


@click.command(short_help="Check this machine and suggest remedies.")
@click.option("--quick", is_flag=True, help="Skip the comparison of a score with pytorch-fid's.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def doctor(quick: bool, as_json: bool) -> None:
    """Check this machine. Each check is one line, with a remedy if something is wrong.

    The checks cover Python, the packages, torch and the GPU, memory, disk, the cache folder, and the sha256 of each
    extractor's weights. Then prepare's pixels are compared with torchvision's, bit for bit, and the score of 64
    images with pytorch-fid's own code, which takes about 15 seconds on two cores. Nothing is downloaded.

    'warn' marks something worth knowing, such as a missing GPU. The exit code is 1 if something is wrong. Add the
    output to a bug report.
    """
    from facegen.stages.doctor import doctor as check_machine

    result = check_machine(quick=quick)
    if as_json:
        console.result_json(result.to_json())
    else:
        console.result(*result.lines())
    if not result.ok:
        raise Refused(f"Something is wrong: {', '.join(result.wrong)}.")
