#!/usr/bin/env python
"""Measure what shortcuts do for depth, and BatchNorm for training, on small digits: two plots and their numbers.

    OMP_NUM_THREADS=2 python scripts/bench/depth.py --out docs       # 7 minutes of one core
    python scripts/bench/depth.py --out docs --plot                     # draw the recorded curves again

1. He et al., arXiv:1512.03385, figures 1 and 6: a plain network of 56 layers has a higher *training* error than one of
   20 layers, so overfitting is not the reason. With shortcuts, 56 layers do not have a higher error.
2. Ioffe and Szegedy, arXiv:1502.03167: with BatchNorm the same plain network learns faster, and at rates at which it
   would not learn without it.

All networks start from He's initialisation and learn by SGD with momentum 0.9 and weight decay 1e-4, as in the first
paper, at a constant rate. The script writes OUT/residual-against-plain.png, OUT/batchnorm.png, and the figures of both
to OUT/figures/depth-residual.json and OUT/figures/depth-batchnorm.json. Needs scikit-learn and matplotlib (`pip install
-e '.[dev]'`).
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from learning import Task, digits, learn
from record import Table, read_data, record, table, this_command
from torch.optim import SGD

from facegen.cnn.registry import find_architecture

#: Side of the images, which the networks reduce to maps of 4×4.
SIZE, BATCH, EPOCHS, SEEDS = 16, 64, 10, (0, 1)

#: For each seed, the mean loss and error of every epoch.
Curves = Sequence[Mapping[str, Sequence[float]]]


@dataclass(frozen=True)
class Run:
    """A network, its learning settings, and the style of its curves."""

    network: str
    style: str
    rate: float = 0.1
    norm: str | None = "batch"


@dataclass(frozen=True)
class Plot:
    """Runs by their legend, and the figure that the plot shows."""

    title: str
    picture: str
    quantity: str
    axis: str
    runs: Mapping[str, Run]


PLOTS = {
    "depth-residual": Plot(
        "Training of plain and residual networks of 20 and 56 layers on digits, over ten epochs",
        "residual-against-plain",
        "error",
        "training error, %",
        {
            "plain, 20 layers": Run("plain20", "C1--"),
            "plain, 56 layers": Run("plain56", "C1-"),
            "residual, 20 layers": Run("resnet20", "C0--"),
            "residual, 56 layers": Run("resnet56", "C0-"),
        },
    ),
    "depth-batchnorm": Plot(
        "Training of a plain network of 20 layers on digits with BatchNorm and without, over ten epochs",
        "batchnorm",
        "loss",
        "training loss",
        {
            "BatchNorm, rate 0.1": Run("plain20", "C0-"),
            "BatchNorm, rate 0.01": Run("plain20", "C0--", 0.01),
            "no norm, rate 0.1": Run("plain20", "C1-", 0.1, None),
            "no norm, rate 0.01": Run("plain20", "C1--", 0.01, None),
        },
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the JSON and PNG files")
    parser.add_argument("--plot", action="store_true", help="draw the recorded curves again")
    options = parser.parse_args()
    task = digits(SIZE)
    for name, plot in PLOTS.items():
        folder = options.out / "figures"
        if not options.plot:
            curves = {legend: [follow(run, task, seed) for seed in SEEDS] for legend, run in plot.runs.items()}
            record(
                name,
                title=plot.title,
                command=this_command(),
                tables={"last": last_epoch(curves)},
                data=curves,
                folder=folder,
            )
        draw(plot, read_data(name, folder), options.out / f"{plot.picture}.png")


def last_epoch(curves: Mapping[str, Curves]) -> Table:
    """Return the loss and the error of the last epoch for each seed."""
    columns = {"network": ""}
    for seed in SEEDS:
        columns |= {f"loss, seed {seed}": ".3f", f"error, seed {seed}": ".1%"}
    rows = [
        [legend, *(seed[key][-1] for seed in seeds for key in ("loss", "error"))] for legend, seeds in curves.items()
    ]
    return table(columns, rows)


def follow(run: Run, task: Task, seed: int) -> dict[str, list[float]]:
    """Train once, and return the mean loss and error of every epoch over its own batches."""
    torch.manual_seed(seed)
    network = find_architecture(run.network).build(classes=task.classes, in_channels=1, norm=run.norm)
    optimizer = SGD(network.parameters(), lr=run.rate, momentum=0.9, weight_decay=1e-4)
    steps = learn(network, task, optimizer, batch=BATCH, seed=seed)
    epochs = [torch.tensor(list(islice(steps, len(task.train.inputs) // BATCH))).mean(0) for _ in range(EPOCHS)]
    loss, error = (torch.stack(epochs).T).tolist()
    print(f"{run}, seed {seed}: training loss {loss[-1]:.3f}, error {100 * error[-1]:.1f}%", flush=True)
    return {"loss": [round(value, 4) for value in loss], "error": [round(value, 4) for value in error]}


def draw(plot: Plot, curves: Mapping[str, Curves], path: Path) -> None:
    """Draw one thin line per seed."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    unit = 100 if plot.quantity == "error" else 1
    for legend, seeds in curves.items():
        for number, seed in enumerate(seeds):
            values = [unit * value for value in seed[plot.quantity]]
            label = legend if number == 0 else None
            axes.plot(range(1, len(values) + 1), values, plot.runs[legend].style, linewidth=1.2, label=label)
    axes.set(xlabel="epoch", ylabel=plot.axis, ylim=(0, None), xlim=(1, EPOCHS))
    axes.grid(visible=True, alpha=0.3)
    figure.legend(loc="outside upper center", ncols=2)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
