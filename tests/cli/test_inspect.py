from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

from facegen.cnn.registry import ARCHITECTURES

Run = Callable[..., Result]


def test_the_list_is_names_alone(facegen: Run) -> None:
    assert facegen("inspect", "--list").stdout.split("\n") == [*ARCHITECTURES, ""]


def test_the_list_as_json(facegen: Run) -> None:
    listed = json.loads(facegen("inspect", "--list", "--json").stdout)
    assert listed["schema"] == 1 and [found["name"] for found in listed["architectures"]] == list(ARCHITECTURES)


def test_json_is_the_whole_of_stdout(facegen: Run) -> None:
    found = json.loads(facegen("inspect", "resnet18", "--input", "3x64x64", "--batch", "2", "--json").stdout)
    assert (found["schema"], found["architecture"], found["input"]) == (1, "resnet18", [3, 64, 64])
    assert found["parameters"] == sum(layer["parameters"] for layer in found["layers"]) == 11_689_512
    assert found["macs"] == sum(layer["macs"] for layer in found["layers"])
    assert found["activation_bytes"] == sum(layer["activation_bytes"] for layer in found["layers"])
    stem, pool = found["layers"][:2]
    expected = {"kind": "Conv2d", "kernel": [7, 7], "stride": [2, 2], "padding": [3, 3], "output": [64, 32, 32]}
    assert stem | expected == stem
    assert (stem["receptive_field"], pool["receptive_field"], stem["norm"]) == (7, 11, "BatchNorm2d")
    assert stem["activation_bytes"] == 2 * 2 * 4 * 64 * 32 * 32
    assert (found["layers"][-1]["kind"], found["layers"][-1]["kernel"]) == ("Linear", None)


def test_a_field_that_differs_by_dimension_is_a_list_and_a_latents_is_null(facegen: Run) -> None:
    video = json.loads(facegen("inspect", "c3d", "--json").stdout)
    assert video["layers"][1]["receptive_field"] == [3, 4, 4]
    assert json.loads(facegen("inspect", "dcgan_generator", "--json").stdout)["layers"][0]["receptive_field"] is None


@pytest.mark.parametrize("shape", ["1x28x28", "1×28×28", "1,28,28", "1, 28, 28", "1X28X28"])
def test_ways_to_write_a_shape(facegen: Run, shape: str) -> None:
    assert json.loads(facegen("inspect", "resnet18", "--input", shape, "--json").stdout)["input"] == [1, 28, 28]


def test_the_table_is_whole_where_stdout_is_no_terminal(facegen: Run) -> None:
    lines = facegen("inspect", "vgg16").stdout.splitlines()
    assert lines[0] == "vgg16, input 3×224×224, batch 1"
    heading, first = (" ".join(lines[index].split()) for index in (2, 4))
    assert heading == "name layer kernel stride pad output field parameters mult-adds memory"
    assert first.endswith("Conv2d ReLU 3×3 1 1 64×224×224 3 1,792 86.7 M 12.8 MB")
    assert all(len(line) <= 120 and "…" not in line for line in lines)
    assert "138,357,544" in lines[-2] and "15.5 G" in lines[-2]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "ARCHITECTURE to inspect, or use --list"),
        (("lenet5", "--list"), "--list"),
        (("lenet5", "--input", "3xax4"), "'3xax4' is not a shape"),
        (("lenet5", "--input", "1x0x32"), "is not a shape"),
        (("lenet5", "--layer", "c1"), "--layer needs an --image"),
        (("lenet5", "--out", "x.png"), "--out needs an --image"),
        (("lenet5", "--weights", "x.pth"), "--weights needs an --image"),
        (("lenet5", "--image", "x.png"), "needs --out"),
        (("lenet5", "--image", "absent.png", "--out", "x.png"), "absent.png: No such file"),
        (("lenet5", "--input", "1x8x8"), "1x32x32"),
    ],
)
def test_what_cannot_be_done_ends_with_2(facegen: Run, words: tuple[str, ...], says: str) -> None:
    outcome = facegen("inspect", *words)
    assert (outcome.exit_code, outcome.stdout) == (2, "")
    assert says in " ".join(outcome.stderr.split())


def test_a_filter_needs_no_layer_and_its_picture_is_named(facegen: Run, tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(tmp_path / "x.png")
    outcome = facegen("inspect", "blur", "--image", tmp_path / "x.png", "--out", tmp_path / "blurred.png")
    assert (outcome.exit_code, outcome.stdout) == (0, f"{tmp_path / 'blurred.png'}\n")
    assert Image.open(tmp_path / "blurred.png").format == "PNG"
