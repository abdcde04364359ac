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
@click.option("--recipe", metavar="NAME|FILE", help="Recipe to train. By default, the recipe of RUN, or else dcgan.")
@click.option("--kimg", type=KIMG, help="Length of the run: thousands of real images shown.")
@click.option("--minutes", type=float, help="Length of the run in minutes, instead of --kimg. Schedules are stretched.")
@click.option("--batch", type=int, help="Number of images per step, summed over all ranks.")
@click.option("--seed", type=int, help="Seed of the initial weights, the order of the data, the flips and the latents.")
@device_option
@click.option("--precision", type=click.Choice(["auto", "fp32", "bf16", "fp16"]), help="Arithmetic of the networks.")
@click.option("--compile/--no-compile", "compile_", default=None, help="Compile the training step with torch.compile.")
@click.option(
    "--resume", is_flag=True, help="Fail if RUN has no checkpoint. A run that has one continues even without --resume."
)
@click.option(
    "--score-every",
    "--fid-every",
    "score_every",
    type=float,
    help="Kimg between two scores of the averaged generator; 0: no scores. Only Inception's score is called FID.",
)
@click.option("--checkpoint-every", type=float, help="Kimg between two checkpoints.")
@click.option(
    "--rollback/--no-rollback",
    default=True,
    help="If training collapses, return to the best checkpoint, once, and continue at half the learning rates.",
)
@click.option("--dry-run", is_flag=True, help="Train for half a minute to measure what a run takes. Write nothing.")
@click.option(
    "--board",
    multiple=True,
    default=["tensorboard"],
    metavar="NAME",
    help="Show the run on a board, too: tensorboard, wandb or mlflow. Repeat the option for several boards.",
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
    """Train a GAN on DATASET and write to the folder RUN.

    RUN receives recipe.toml, log.jsonl, TensorBoard events, samples/, checkpoints/, last.safetensors, and
    best.safetensors if scores are measured. If RUN already holds a run of the same recipe and dataset, training
    continues. Ctrl-C saves a checkpoint first. With --dry-run, the command writes nothing. It only prints the time,
    memory and disk space that a run would take, and the time to the target. Under torchrun, all ranks train together:
    torchrun --nproc-per-node 2 -m facegen train ...
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
