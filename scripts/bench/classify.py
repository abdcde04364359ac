#!/usr/bin/env python
"""Train every family of classifiers on a short, real task on a CPU: test accuracy, cost and speed.

    export OMP_NUM_THREADS=2
    python scripts/bench/classify.py --out docs/figures/classifiers             # about half an hour
    python scripts/bench/classify.py --out docs/figures/classifiers --speed     # only images/s: 2 minutes
    python scripts/bench/classify.py --out docs/figures/classifiers --only resnet18 vgg11

OUT.json is updated after every row, so --only can continue a run that was stopped. `scripts/figures.py` puts its tables
into docs/classifiers.md. Needs scikit-learn (`pip install -e '.[dev]'`).
"""

from __future__ import annotations

import argparse
import inspect
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from learning import FRAME_SIZE, VOCABULARY, Task, accuracy, digits, faces, find_direction, find_trigram, learn
from record import Table, read_data, record, table, this_command
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.flop_counter import FlopCounterMode

from facegen.cnn.architecture import Architecture
from facegen.cnn.registry import find_architecture

#: The same for every network: the number of inputs, the learning rate, and the maximum cost of a forward pass.
STEPS, BATCH, SEED, LEARNING_RATE = 250, 64, 0, 3e-3
WIDTHS, MOST_MACS = (64, 48, 32, 24, 16, 8, 4), 66_000_000

SPEED_WARM_UP, SPEED_STEPS = 3, 20

#: Columns by heading: key of a row, unit, format.
COLUMNS = {
    "width": ("width", 1, ".0f"),
    "parameters": ("parameters", 1, ",.0f"),
    "M multiply-adds": ("macs", 1e6, ",.2f"),
    "training images/s": ("images_per_s", 1, ",.0f"),
    "published: M parameters": ("published_parameters", 1e6, ",.2f"),
    "published: M multiply-adds": ("published_macs", 1e6, ",.1f"),
}

Row = dict[str, Any]


@dataclass(frozen=True)
class Group:
    """Tasks with one kind of input, and the networks that learn them."""

    title: str
    tasks: Mapping[str, Callable[[], Task]]
    networks: Sequence[str]
    options: Mapping[str, Any] = field(default_factory=dict)


GROUPS = (
    Group(
        "Images",
        {"digits": digits, "faces": faces},
        (
            "lenet5", "alexnet", "vgg11", "vgg11_bn", "googlenet", "inception_v3", "resnet18", "resnet20",
            "preact_resnet18", "densenet121", "efficientnet_lite0", "dcgan_discriminator",
        ),
    ),
    Group("Sentences", {"trigram": find_trigram}, ("textcnn",), {"in_channels": 32, "vocabulary": VOCABULARY}),
    # C3D predates BatchNorm. Without it, C3D learns nothing in so few steps.
    Group("Clips", {"direction": find_direction}, ("c3d",), {"in_channels": 1, "size": FRAME_SIZE, "norm": "batch"}),
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="writes OUT.json")
    parser.add_argument("--only", nargs="+", metavar="NETWORK", help="networks to train; default: all")
    parser.add_argument("--speed", action="store_true", help="measure only the training images per second again")
    options = parser.parse_args()
    found: dict[str, list[Row]] = read_data(options.out.name, options.out.parent)
    for group in GROUPS:
        names = [name for name in group.networks if not options.only or name in options.only]
        if not names:
            continue
        tasks = {name: make() for name, make in group.tasks.items()}
        rows = {row["network"]: row for row in found.get(group.title) or baselines(tasks)}
        for name in names:
            if options.speed:
                rows[name]["images_per_s"] = speed(group, name, tasks)
            else:
                rows[name] = run(group, name, tasks)
            print(json.dumps(rows[name]), flush=True)
            found[group.title] = list(rows.values())
            record(
                options.out.name,
                title="What every family of classifiers learns in 250 steps",
                command=this_command(),
                tables={title.lower(): table_of(rows) for title, rows in found.items()},
                data=found,
                folder=options.out.parent,
            )


def build(group: Group, architecture: Architecture, task: Task, width: int) -> nn.Module:
    """Build the network for the task's inputs."""
    shape = task.train.inputs.shape
    options = group.options or {"in_channels": shape[1], "size": shape[-1]}
    network = architecture.build(classes=task.classes, width=width, **options)
    for layer in network.modules():
        if isinstance(layer, _BatchNorm):
            layer.momentum = 0.1  # EfficientNet's 0.01 is for runs of days: the start still shows after 250 steps
    return network


def choose_width(group: Group, architecture: Architecture, task: Task) -> int:
    """Return the largest width that costs at most MOST_MACS per input and is not above the published one."""
    published = inspect.signature(architecture.build).parameters["width"].default
    for width in (published, *WIDTHS):
        if width <= published:
            with torch.device("meta"):
                network = build(group, architecture, task, width)
            if multiply_adds(network, task.train.inputs[:1]) <= MOST_MACS:
                return width
    raise ValueError(f"{architecture.name} is too large at width {WIDTHS[-1]}")


def multiply_adds(network: nn.Module, x: Tensor) -> int:
    """Return the multiply-adds of one forward pass, counted by torch on the meta device."""
    with FlopCounterMode(display=False) as counter:
        network.to("meta").eval()(x.to("meta"))
    return counter.get_total_flops() // 2


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def training(group: Group, architecture: Architecture, task: Task, width: int) -> tuple[nn.Module, Iterator[Any]]:
    """Return a new network and its training steps."""
    torch.manual_seed(SEED)
    network = build(group, architecture, task, width)
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE)
    schedule = OneCycleLR(optimizer, LEARNING_RATE, total_steps=STEPS + 1)
    return network, learn(network, task, optimizer, schedule, batch=BATCH, seed=SEED)


def run(group: Group, name: str, tasks: Mapping[str, Task]) -> Row:
    """Train on every task of the group in turn. Sizes and width are those for the last task."""
    architecture = find_architecture(name)
    *_, last = tasks.values()
    width = choose_width(group, architecture, last)
    answers: dict[str, float] = {}
    for task in tasks.values():
        network, steps = training(group, architecture, task, width)
        for _ in islice(steps, STEPS):
            pass
        answers |= accuracy(network, task)
    with torch.device("meta"):
        published = architecture.build()
    return {
        "network": name,
        "accuracy": answers,
        "width": width,
        "parameters": parameters(network),
        "macs": multiply_adds(network, last.train.inputs[:1]),
        "published_parameters": parameters(published),
        "published_macs": multiply_adds(published, architecture.random_input()),
    }


def speed(group: Group, name: str, tasks: Mapping[str, Task]) -> float:
    """Return the training images per second on the last task."""
    architecture = find_architecture(name)
    *_, task = tasks.values()
    _, steps = training(group, architecture, task, choose_width(group, architecture, task))
    for _ in islice(steps, SPEED_WARM_UP):
        pass
    began = time.perf_counter()
    for _ in islice(steps, SPEED_STEPS):
        pass
    return round(SPEED_STEPS * BATCH / (time.perf_counter() - began), 1)


def baselines(tasks: Mapping[str, Task]) -> list[Row]:
    """Return the accuracy of the most frequent class, and of logistic regression on inputs for a linear model."""
    from sklearn.dummy import DummyClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    models = {
        "most frequent class": DummyClassifier(),
        "logistic regression": make_pipeline(StandardScaler(), LogisticRegression(C=1e-3, max_iter=300)),
    }
    rows = []
    for title, model in models.items():
        answers = {}
        for task in tasks.values():
            train, test = (flat(part.inputs).numpy() for part in (task.train, task.test))
            for column, question in enumerate(task.questions):
                model.fit(train, task.train.labels[:, column])
                answers[question] = float(model.score(test, task.test.labels[:, column]))
        rows.append({"network": title, "accuracy": answers})
        print(json.dumps(rows[-1]), flush=True)
    return rows


def flat(inputs: Tensor) -> Tensor:
    """Return pixels as they are, or for tokens how often each occurs."""
    if inputs.is_floating_point():
        return inputs.flatten(1)
    return nn.functional.one_hot(inputs, VOCABULARY).sum(1).float()


def table_of(rows: Sequence[Row]) -> Table:
    """The accuracies of a group's networks, their sizes and their speed."""
    questions = list(rows[0]["accuracy"])
    columns = {
        "network": "",
        **dict.fromkeys(questions, ".1%"),
        **{head: style for head, (_, _, style) in COLUMNS.items()},
    }
    cells = [
        [
            row["network"],
            *(row["accuracy"][question] for question in questions),
            *(row[key] / unit if key in row else None for key, unit, _ in COLUMNS.values()),
        ]
        for row in rows
    ]
    return table(columns, cells)


if __name__ == "__main__":
    main()
