#!/usr/bin/env python
"""Measure training speed in images per second: facegen's loop against the plain loop of the PyTorch tutorial's DCGAN.

    python scripts/bench/train.py                     # on this machine's GPU, else its CPU
    python scripts/bench/train.py --steps 10 --rounds 5 --device cpu
    python scripts/bench/train.py --compile --precision bf16
    python scripts/bench/train.py --profile           # where facegen's step spends its time
    python scripts/bench/train.py --recipe best       # another recipe's step, which has no plain peer
    python scripts/bench/train.py --record train-speed   # writes docs/figures/train-speed.json

All sides train the same networks (3,576,704 and 2,765,568 parameters) with the same batch, losses and optimizer on the
same 4,096 images. The plain loop follows the tutorial: an ImageFolder of JPEG files through Resize, CenterCrop and a
DataLoader with two workers, sigmoid and BCELoss, three backward passes per step, and figures read from the device at
each step. facegen's side does what `facegen train` does with the recipe and batch, from one tick to the next. This
includes reading the figures and writing the log's line. Synthetic is facegen's step on one fixed batch of noise,
without loading and log. The sides run one after the other, in processes of their own, and ratios are taken round by
round.

A GPU's step takes milliseconds, so there facegen gets 500 steps and the plain loop 60. What was loaded ahead is used
up before the clock starts.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import torch
from record import add_option, record, table, this_command
from torch import Tensor, nn

if TYPE_CHECKING:
    from facegen.training.acceleration import StepFunction
    from facegen.training.trainer import Trainer

IMAGES = 4096
#: Settings of the tutorial.
BATCH, LATENT = 128, 100
#: Steps before the clock starts: more than the loader's workers prepare ahead.
WARM_UP = 10
#: Counted steps by kind of device: of facegen's sides, and at most of the plain one.
STEPS, PLAIN_STEPS = {"cuda": 500, "mps": 500, "cpu": 10}, 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, help="counted steps per round (500 on a GPU, 10 on a CPU)")
    parser.add_argument("--rounds", type=int, default=3, help="number of runs of each side (3)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto")
    parser.add_argument(
        "--precision", choices=("auto", "fp32", "bf16", "fp16"), default="auto", help="precision of facegen's sides"
    )
    parser.add_argument(
        "--compile", action=argparse.BooleanOptionalAction, help="compile facegen's sides; default: the recipe's"
    )
    parser.add_argument("--recipe", default="dcgan", help="recipe of facegen's sides (dcgan)")
    parser.add_argument("--profile", action="store_true", help="print the step's slowest operations instead")
    add_option(parser)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.steps is None:
        options.steps = STEPS[chosen_device(options.device).type]
    if options.side:
        print(json.dumps({"images_per_sec": SIDES[options.side](options)}))
        return
    sides = [side for side in SIDES if options.recipe == "dcgan" or side != "plain"]
    with tempfile.TemporaryDirectory() as work:
        make_images(Path(work), IMAGES)
        if options.profile:
            options.work = Path(work)
            print(profile(options))
            return
        rates: dict[str, list[float]] = {side: [] for side in sides}
        for number in range(options.rounds):
            for side in sides:
                words = [sys.executable, __file__, *sys.argv[1:], "--side", side, "--work", work]
                output = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout
                rates[side].append(json.loads(output.splitlines()[-1])["images_per_sec"])
            describe(f"round {number + 1}", {side: rates[side][-1:] for side in sides})
    describe("median", rates)
    if options.record:
        keep(options.record, rates)


def keep(name: str, rates: dict[str, list[float]]) -> None:
    """Write the medians, and facegen's rate over the plain loop's, round by round."""
    values = {side: round(median(each), 1) for side, each in rates.items()}
    tables = {}
    if "plain" in rates:
        ratios = [ours / theirs for ours, theirs in zip(rates["facegen"], rates["plain"], strict=True)]
        values["ratio"] = median(ratios)
        rows = [[str(number), ratio] for number, ratio in enumerate(ratios, 1)]
        tables["rounds"] = table({"round": "", "times as fast": ".2f"}, rows)
    title = "Training, images per second: facegen's loop beside the plain loop of the PyTorch tutorial"
    record(name, title=title, command=this_command(), values=values, tables=tables)


def describe(what: str, rates: dict[str, list[float]]) -> None:
    """Describe the medians over rounds: each side's rate, and facegen's as a multiple of each other side's."""
    words = [f"{side} {median(values):,.1f}" for side, values in rates.items()]
    for side in rates.keys() - {"facegen"}:
        ratios = [ours / theirs for ours, theirs in zip(rates["facegen"], rates[side], strict=True)]
        words.append(f"facegen ×{median(ratios):.2f} of {side}")
    print(f"{what}, images/s: {', '.join(words)}", flush=True)


def make_images(work: Path, count: int) -> None:
    """Write drawn faces as 178×218 JPEG files in one folder, and as a prepared dataset."""
    from PIL import Image

    from facegen import prepare
    from facegen.data.synthetic import render_faces

    folder = work / "photographs" / "faces"
    folder.mkdir(parents=True)
    for first in range(0, count, 64):
        indices = range(first, min(first + 64, count))
        for index, face in zip(indices, render_faces(0, indices), strict=True):
            Image.fromarray(face).save(folder / f"{index:06}.jpg", quality=95)
    prepare(work / "photographs", work / "dataset")


def chosen_device(name: str) -> torch.device:
    from facegen.device import choose_device

    return choose_device(name)


def plain(options: argparse.Namespace) -> float:
    """Run the tutorial's loop, from files on disk to its printed figures."""
    from torchvision import datasets, transforms

    device = chosen_device(options.device)

    def layers(*sizes: tuple[int, int, int, int], transposed: bool) -> list[nn.Module]:
        convolution = nn.ConvTranspose2d if transposed else nn.Conv2d
        stack: list[nn.Module] = []
        for index, (inputs, outputs, stride, padding) in enumerate(sizes):
            last, first = index == len(sizes) - 1, index == 0
            stack.append(convolution(inputs, outputs, 4, stride, padding, bias=False))
            if not last and not (first and not transposed):
                stack.append(nn.BatchNorm2d(outputs))
            if not last:
                stack.append(nn.ReLU(True) if transposed else nn.LeakyReLU(0.2, inplace=True))
        return [*stack, nn.Tanh() if transposed else nn.Sigmoid()]

    up = [(LATENT, 512, 1, 0), (512, 256, 2, 1), (256, 128, 2, 1), (128, 64, 2, 1), (64, 3, 2, 1)]
    down = [(3, 64, 2, 1), (64, 128, 2, 1), (128, 256, 2, 1), (256, 512, 2, 1), (512, 1, 1, 0)]
    generator = nn.Sequential(*layers(*up, transposed=True)).to(device)
    discriminator = nn.Sequential(*layers(*down, transposed=False)).to(device)
    for module in (*generator.modules(), *discriminator.modules()):
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
    normalise = transforms.Normalize((0.5,) * 3, (0.5,) * 3)
    transform = [transforms.Resize(64), transforms.CenterCrop(64), transforms.ToTensor(), normalise]
    faces = datasets.ImageFolder(str(options.work / "photographs"), transforms.Compose(transform))
    loader = torch.utils.data.DataLoader(
        faces, batch_size=BATCH, shuffle=True, num_workers=2, drop_last=True, persistent_workers=True
    )
    adam_d, adam_g = (
        torch.optim.Adam(net.parameters(), lr=2e-4, betas=(0.5, 0.999)) for net in (discriminator, generator)
    )
    criterion = nn.BCELoss()
    start, steps = 0.0, min(options.steps, PLAIN_STEPS)
    for step, real in zip(range(WARM_UP + steps), endless(loader), strict=False):
        if step == WARM_UP:
            start = time.perf_counter()
        real = real.to(device)
        discriminator.zero_grad()
        label = torch.full((BATCH,), 1.0, device=device)
        output = discriminator(real).view(-1)
        loss_real = criterion(output, label)
        loss_real.backward()
        figures = [output.mean().item()]
        fake = generator(torch.randn(BATCH, LATENT, 1, 1, device=device))
        label.fill_(0.0)
        output = discriminator(fake.detach()).view(-1)
        loss_fake = criterion(output, label)
        loss_fake.backward()
        figures.append(output.mean().item())
        adam_d.step()
        generator.zero_grad()
        label.fill_(1.0)
        output = discriminator(fake).view(-1)
        loss_g = criterion(output, label)
        loss_g.backward()
        adam_g.step()
        figures += [output.mean().item(), (loss_real + loss_fake).item(), loss_g.item()]
    return BATCH * steps / (time.perf_counter() - start)


def endless(loader: torch.utils.data.DataLoader[tuple[Tensor, Tensor]]) -> Iterator[Tensor]:
    """Yield a loader's images, epoch after epoch."""
    while True:
        for images, _ in loader:
            yield images


def trainer_of(options: argparse.Namespace, *, synthetic: bool = False) -> tuple[Trainer, StepFunction]:
    """Return the recipe's trainer and the function that runs its steps, compiled and captured as the options say."""
    from open_recipe import open_recipe

    from facegen.training.batches import RealImages
    from facegen.training.recipe import load_recipe

    class Noise(RealImages):
        """One fixed batch of noise."""

        noise: Tensor | None = None

        def images(self, sent: Tensor, mirrored: Tensor | None) -> Tensor:
            if self.noise is None:
                self.noise = torch.rand_like(super().images(sent, mirrored)).mul_(2).sub_(1)
            return self.noise

    recipe = load_recipe(options.recipe).with_overrides({"compile": options.compile})
    if options.precision != "auto":
        recipe = recipe.with_overrides({"precision": options.precision})
    kind = Noise if synthetic else RealImages
    dataset, must = options.work / "dataset", bool(options.compile)
    return open_recipe(recipe, dataset, options.device, must_compile=must, images=kind)


def facegen(options: argparse.Namespace) -> float:
    """Do what `facegen train` does from one tick to the next."""
    from facegen.training.log import TrainingLog

    trainer, take_step = trainer_of(options)
    shown = trainer.recipe.images_per_step
    tick = max(1, round(trainer.recipe.tick_kimg * 1000 / shown))
    with TrainingLog(options.work / "run", 0) as log:
        for step in range(WARM_UP):
            take_step(step)
        trainer.read_figures()
        start = time.perf_counter()
        for step in range(WARM_UP, WARM_UP + options.steps):
            take_step(step)
            if (step + 1) % tick == 0:
                log.tick({"kimg": step * shown / 1000, **trainer.read_figures()})
        if (WARM_UP + options.steps) % tick:
            trainer.read_figures()
        return shown * options.steps / (time.perf_counter() - start)


def synthetic(options: argparse.Namespace) -> float:
    """Run the step alone."""
    trainer, take_step = trainer_of(options, synthetic=True)
    for step in range(WARM_UP):
        take_step(step)
    trainer.read_figures()
    start = time.perf_counter()
    for step in range(WARM_UP, WARM_UP + options.steps):
        take_step(step)
    trainer.read_figures()
    return trainer.recipe.images_per_step * options.steps / (time.perf_counter() - start)


def profile(options: argparse.Namespace) -> str:
    """Return a table of the operations of --steps steps, by the time that each takes itself."""
    from torch.profiler import ProfilerActivity

    trainer, take_step = trainer_of(options)
    for step in range(WARM_UP):
        take_step(step)
    trainer.read_figures()
    gpu = trainer.device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if gpu else [])]
    with torch.profiler.profile(activities=activities) as profiler:
        for step in range(WARM_UP, WARM_UP + options.steps):
            take_step(step)
        trainer.read_figures()
    by = "self_device_time_total" if gpu else "self_cpu_time_total"
    return profiler.key_averages().table(sort_by=by, row_limit=15, max_name_column_width=40)


SIDES = {"plain": plain, "facegen": facegen, "synthetic": synthetic}


if __name__ == "__main__":
    main()
