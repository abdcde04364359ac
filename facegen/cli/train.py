"""``facegen train``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from facegen import console
from facegen.cli.options import KIMG, device_option, extractor_option, weights_option

FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command(short_help="Train a GAN on a prepared dataset.")
@click.argument("dataset", type=click.Path(path_type=Path))
@click.argument("run", type=FOLDER)
@click.option("--recipe", metavar="NAME|FILE", help="Recipe to train; by default the run's own, else dcgan.")
@click.option("--kimg", type=KIMG, help="Length: thousands of real images shown.")
@click.option("--minutes", type=float, help="Length by the clock instead; schedules are stretched to it.")
@click.option("--batch", type=int, help="Images a step, over all ranks together.")
@click.option("--seed", type=int, help="Seed of weights, data order, flips and latents.")
@device_option
@click.option("--precision", type=click.Choice(["auto", "fp32", "bf16", "fp16"]), help="Arithmetic of the networks.")
@click.option("--compile/--no-compile", "compile_", default=None, help="torch.compile the networks.")
@click.option("--resume", is_flag=True, help="Fail if RUN has no checkpoint; going on is automatic when it has one.")
@click.option(
    "--score-every",
    "--fid-every",
    "score_every",
    type=float,
    help="Score the averaged generator every so many kimg; 0 never. The score is FID with Inception's network alone.",
)
@click.option("--checkpoint-every", type=float, help="Save every so many kimg.")
@click.option(
    "--rollback/--no-rollback",
    default=True,
    help="Go back to the best checkpoint, once, and on at half the learning rates, when training collapses.",
)
@click.option("--dry-run", is_flag=True, help="Measure for half a minute what it would take; train and write nothing.")
@click.option(
    "--board",
    multiple=True,
    default=["tensorboard"],
    metavar="NAME",
    help="Who is told of the run besides its log: tensorboard, wandb, mlflow; say it again for another.",
    show_default="tensorboard",
)
@extractor_option
@weights_option
def train(
    dataset: Path,
    run: Path,
    recipe: str | None,
    kimg: float | None,
    minutes: float | None,
    batch: int | None,
    seed: int | None,
    device: str,
    precision: str | None,
    compile_: bool | None,
    resume: bool,
    score_every: float | None,
    checkpoint_every: float | None,
    rollback: bool,
    dry_run: bool,
    board: tuple[str, ...],
    extractor: str | None,
    weights: Path | None,
) -> None:
    """Train on DATASET, writing to the folder RUN.

    RUN receives recipe.toml, log.jsonl, TensorBoard events, samples/, checkpoints/, best.safetensors (when scores are
    measured) and last.safetensors. When it already holds a run of the same recipe and dataset, training goes on.
    Ctrl-C saves a checkpoint first. With --dry-run nothing is written: it prints what a run would take, in time,
    memory and disk, and how far the target is. Under torchrun every rank trains: torchrun --nproc-per-node 2 -m facegen
    train ...
    """
    overrides = {
        "kimg": kimg,
        "minutes": minutes,
        "batch": batch,
        "seed": seed,
        "precision": precision,
        "compile": compile_,
        "score_every": score_every,
        "checkpoint_every": checkpoint_every,
    }
    common: dict[str, Any] = {"recipe": recipe, "overrides": overrides, "device": device}
    common |= {"extractor": extractor, "weights": weights}
    if dry_run:
        from facegen.stages.plan import plan

        console.result(*plan(dataset, run, **common).lines())
        return
    from facegen.stages.train import train as train_stage

    trained = train_stage(dataset, run, **common, resume=resume, boards=board, rollback=rollback)
    console.result(str(trained.generator))
