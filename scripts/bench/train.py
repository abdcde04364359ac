#!/usr/bin/env python
"""Images a second of DCGAN training: facegen's loop against the plain loop of the PyTorch tutorial's DCGAN.

    python scripts/bench/train.py                     # on this machine's GPU, else its CPU
    python scripts/bench/train.py --steps 10 --rounds 5 --device cpu
    python scripts/bench/train.py --compile --precision bf16

Both train the same networks (3,576,704 and 2,765,568 parameters) with the same batch, losses and optimizer on the same
images. The plain loop is written as the tutorial has it: an ImageFolder of JPEG files through Resize, CenterCrop and a
DataLoader with two workers, sigmoid and BCELoss, three backward passes a step, figures read from the device at each
step. facegen's is what `facegen train` runs between two ticks. The two run in turn, in processes of their own, and the
ratio is taken round by round.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import torch
from torch import nn

SIDES = ("plain", "facegen")
BATCH, LATENT, WARM_UP = 128, 100, 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=10, help="counted steps a round, after three to warm up (10)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each side runs (3)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument(
        "--precision", choices=("auto", "fp32", "bf16", "fp16"), default="auto", help="of facegen's side"
    )
    parser.add_argument("--compile", action="store_true", help="torch.compile facegen's side")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        measure = plain if options.side == "plain" else facegen
        print(json.dumps({"images_per_sec": measure(options)}))
        return
    with tempfile.TemporaryDirectory() as work:
        make_images(Path(work), (options.steps + WARM_UP) * BATCH)
        rates: dict[str, list[float]] = {side: [] for side in SIDES}
        for number in range(options.rounds):
            for side in SIDES:
                words = [sys.executable, __file__, *sys.argv[1:], "--side", side, "--work", work]
                output = subprocess.run(words, check=True, capture_output=True, text=True).stdout
                rates[side].append(json.loads(output.splitlines()[-1])["images_per_sec"])
            describe(f"round {number + 1}", *(rates[side][-1] for side in SIDES))
    ratios = [ours / theirs for ours, theirs in zip(rates["facegen"], rates["plain"], strict=True)]
    describe("median", *(median(rates[side]) for side in SIDES), median(ratios))


def describe(what: str, plain: float, facegen: float, ratio: float | None = None) -> None:
    ratio = facegen / plain if ratio is None else ratio
    print(f"{what}: plain {plain:,.1f}, facegen {facegen:,.1f} images/s, ×{ratio:.2f}", flush=True)


def make_images(work: Path, count: int) -> None:
    """Drawn faces as 178×218 JPEG files in one folder, and as a prepared dataset."""
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
    """The tutorial's loop, from files on disk to its printed figures."""
    from torchvision import datasets, transforms

    device = chosen_device(options.device)

    def layers(*sizes: tuple[int, int, int, int], transposed: bool) -> list[nn.Module]:
        convolution = nn.ConvTranspose2d if transposed else nn.Conv2d
        stack: list[nn.Module] = []
        for place, (inputs, outputs, stride, padding) in enumerate(sizes):
            last, first = place == len(sizes) - 1, place == 0
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
    steps = [transforms.Resize(64), transforms.CenterCrop(64), transforms.ToTensor(), normalise]
    faces = datasets.ImageFolder(str(options.work / "photographs"), transforms.Compose(steps))
    loader = torch.utils.data.DataLoader(faces, batch_size=BATCH, shuffle=True, num_workers=2, drop_last=True)
    adam_d, adam_g = (
        torch.optim.Adam(net.parameters(), lr=2e-4, betas=(0.5, 0.999)) for net in (discriminator, generator)
    )
    criterion = nn.BCELoss()
    start = 0.0
    for step, (real, _) in enumerate(loader):
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
    return BATCH * (len(loader) - WARM_UP) / (time.perf_counter() - start)


def facegen(options: argparse.Namespace) -> float:
    """What `facegen train` runs between two ticks."""
    from facegen.data.dataset import FaceDataset
    from facegen.device import choose_precision
    from facegen.training.batches import RealImages
    from facegen.training.distributed import Ranks
    from facegen.training.recipe import load_recipe
    from facegen.training.step import Game, mean_figures

    device = chosen_device(options.device)
    recipe = load_recipe("dcgan").with_overrides({"batch": BATCH, "compile": options.compile})
    dataset = FaceDataset.open(options.work / "dataset")
    rows = dataset.training_rows()
    real = RealImages(dataset.images, rows, batch=BATCH, seed=0, device=device, ranks=Ranks())
    game = Game(recipe, real, dataset.size, device, choose_precision(options.precision, device), Ranks())
    mean_figures([game(step) for step in range(WARM_UP)], Ranks())
    start = time.perf_counter()
    mean_figures([game(step) for step in range(WARM_UP, WARM_UP + options.steps)], Ranks())
    return BATCH * options.steps / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
