"""What the GPU scripts do without a GPU: work off cases, bring results, and make a page of them."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from facegen.errors import InputError
from facegen.training.networks import build_networks
from facegen.training.recipe import Recipe, load_recipe
from facegen.training.saved_generator import load_generator, save_generator

#: A worker that prints a line for each case, breaks at one that is called so, and takes its time for another.
WORKER = """
import json, subprocess, sys, time
for name in sys.argv[1:]:
    if ":" not in name: continue
    if name.startswith("broken"): sys.exit("boom")
    if name.startswith("slow"):
        print(subprocess.Popen(["sleep", "60"]).pid, file=open("child", "w"))
        time.sleep(60)
    print("words that are no line", file=sys.stdout)
    print(json.dumps({"case": name, "images_per_sec": 1.0}), flush=True)
"""


@pytest.fixture(scope="module")
def speed(bench: Callable[[str], ModuleType]) -> ModuleType:
    for helper in ("open_recipe", "gpu_compare"):
        bench(helper)  # so that no other file finds them
    return bench("gpu_speed")


@pytest.fixture(scope="module")
def training(bench: Callable[[str], ModuleType]) -> ModuleType:
    return bench("gpu_train")


@pytest.fixture(scope="module")
def report(bench: Callable[[str], ModuleType]) -> ModuleType:
    return bench("gpu_report")


@pytest.fixture
def small() -> Recipe:
    return load_recipe("quick").with_overrides({"generator_width": 4, "discriminator_width": 4, "latent_dim": 4})


@pytest.fixture
def run(tmp_path: Path, small: Recipe) -> Path:
    """A run with a generator and a log, and no more."""
    network, _ = build_networks(small, 64)
    folder = tmp_path / "run"
    folder.mkdir()
    save_generator(folder / "last.safetensors", network, small, size=64, dataset="ab", images_seen=4000, score=None)
    tick = {"kimg": 4.0, "loss_d": 1.0, "loss_g": 2.0, "images_per_sec": 9.0, "seconds": 60.0, "aside_seconds": 6.0}
    ticks = [{**tick, "score": 40.0, "metric": "effnet-lite0 FD"}, {**tick, "kimg": 8.0, "seconds": 120.0}]
    (folder / "log.jsonl").write_text("".join(json.dumps(each) + "\n" for each in ticks))
    return folder


class TestSpeed:
    @pytest.fixture(autouse=True)
    def _worker(self, speed: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        worker = tmp_path / "worker.py"
        worker.write_text(WORKER)
        monkeypatch.setattr(speed, "__file__", str(worker))

    def results(self, speed: ModuleType, out: Path, names: list[str], seconds: float = 30.0) -> list[dict[str, Any]]:
        speed.CASES = tuple(speed.Case(name, 1, "eager") for name in names)
        results: list[dict[str, Any]] = speed.run_speed(out, out, seconds)
        assert [json.loads(line) for line in (out / "speed.jsonl").read_text().splitlines()] == results
        return results

    def test_a_case_that_breaks_the_process_does_not_break_the_next(self, speed: ModuleType, tmp_path: Path) -> None:
        first, second, third = self.results(speed, tmp_path, ["one", "broken", "two"])
        assert first == {"case": "one:1:eager", "images_per_sec": 1.0}
        assert second == {"case": "broken:1:eager", "error": "boom"}
        assert third == {"case": "two:1:eager", "images_per_sec": 1.0}

    def test_a_case_that_takes_too_long_is_given_up(
        self, speed: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(speed, "LIMIT", -29.0)  # a second, with what the start may take
        monkeypatch.chdir(tmp_path)
        start = time.monotonic()
        slow, two = self.results(speed, tmp_path, ["slow", "two"])
        assert "took more than 1 s" in slow["error"] and two["images_per_sec"] == 1.0
        assert time.monotonic() - start < 20
        child = Path("/proc") / (tmp_path / "child").read_text().strip() / "stat"
        assert not child.exists() or child.read_text().split()[2] == "Z"  # gone, or waiting to be

    def test_what_there_is_no_time_for_is_said(self, speed: ModuleType, tmp_path: Path) -> None:
        assert self.results(speed, tmp_path, ["one"], seconds=1.0) == [
            {"case": "one:1:eager", "skipped": "no time was left"}
        ]


def test_operations_are_counted_through_penalties(speed: ModuleType, small: Recipe, tmp_path: Path) -> None:
    """Of a step without penalties, by hand.

    A forward pass of a convolution is 2·K·C·k²·H·W operations; back, as many for the input and for the weights each.
    """
    from facegen.data.dataset import new_dataset

    pixels = torch.zeros(8, 64, 64, 3, dtype=torch.uint8).numpy()
    with new_dataset(tmp_path / "faces", 64) as writer:
        writer.append(pixels, [f"{index}" for index in range(8)], ["train"] * 8)
        writer.finish({})
    plain = small.with_overrides({"r1_gamma": 0.0, "r2_gamma": 0.0, "batch": 2, "precision": "fp32"})
    generator, heads = build_networks(plain, 64)

    def passes(network: nn.Module, images: torch.Tensor) -> tuple[float, float]:
        """Operations of a forward pass of one image, and of its first layer."""
        each: list[float] = []

        def count(layer: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
            place = inputs[0] if isinstance(layer, nn.ConvTranspose2d) else output
            each.append(2.0 * layer.weight.numel() * place[0, 0].numel())  # type: ignore[union-attr]

        for layer in network.modules():
            if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
                layer.register_forward_hook(count)  # type: ignore[arg-type]
        network(images)
        return sum(each), each[0]

    g, g_first = passes(generator, torch.zeros(2, plain.latent_dim))
    d, d_first = passes(heads["discriminator"], torch.zeros(2, 3, 64, 64))
    # D's update: forward of real and fake, and back to its weights, the first layer's input apart. G's update: D
    # forward of fake and, as logits are paired, of real, and back to fake alone; G back, but not to its latents.
    expected = (2 * d + 2 * (2 * d - d_first)) + (2 * d + d) + (g + 2 * g - g_first)
    assert speed.flops_of_an_image(plain, tmp_path / "faces", "cpu") == pytest.approx(expected, rel=1e-6)


class TestBringing:
    def test_pieces_are_joined_to_the_generator(
        self, training: ModuleType, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(training, "PIECE_BYTES", 20_000)
        (tmp_path / "out").mkdir()
        result = training.bring(run, tmp_path / "out", "cpu", tiny=True)
        names = {path.name: path.stat().st_size for path in (tmp_path / "out").iterdir()}
        assert names.keys() >= {"images.tar.gz", "grid.png", "train.json", "generator.00", "generator.01"}
        assert max(size for name, size in names.items() if name.startswith("generator")) == 20_000
        assert result["kimg"] == 4.0 and [tick["kimg"] for tick in result["log"]] == [4.0, 8.0]
        training.join(tmp_path / "out", tmp_path / "g.safetensors")
        joined, original = load_generator(tmp_path / "g.safetensors"), load_generator(run / "last.safetensors")
        torch.testing.assert_close(joined.network.state_dict(), original.network.state_dict(), rtol=1e-3, atol=1e-5)

    @pytest.mark.parametrize(
        ("damage", "said"),
        [
            (lambda out: (out / "generator.00").unlink(), r"generator\.00 is missing\. Fetch all"),
            (lambda out: (out / "generator.00").write_bytes(b"\0"), "pieces .* are of several minutes"),
            (lambda out: (out / "train.json").unlink(), "no generator came back"),
            (lambda out: (out / "train.json").write_text('{"error": "no memory"}'), "brought no generator: no memory"),
        ],
    )
    def test_what_is_not_whole_is_not_joined(
        self, training: ModuleType, run: Path, tmp_path: Path, damage: Callable[[Path], object], said: str
    ) -> None:
        (tmp_path / "out").mkdir()
        training.bring(run, tmp_path / "out", "cpu", tiny=True)
        damage(tmp_path / "out")
        with pytest.raises(InputError, match=said):
            training.join(tmp_path / "out", tmp_path / "g.safetensors")
        assert not (tmp_path / "g.safetensors").exists()

    def test_a_run_that_fails_says_why(
        self, training: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "executable", "/bin/false")
        result = training.run_training("quick", tmp_path / "none", tmp_path, 20.0)
        assert result == {"recipe": "quick", "error": "it said nothing"}
        assert json.loads((tmp_path / "train.json").read_text()) == result


class TestReport:
    def test_it_shows_what_came_back(self, report: ModuleType, training: ModuleType, run: Path, tmp_path: Path) -> None:
        pytest.importorskip("matplotlib")
        out = tmp_path / "out"
        out.mkdir()
        training.bring(run, out, "cpu", tiny=True)
        checks = [
            {"check": "device", "ok": True, "seconds": 1.0, "name": "A100"},
            {"check": "memory:dcgan", "ok": False, "seconds": 2.0, "grown_mib": 12.5, "error": "a | b"},
            {"check": "oom", "ok": None, "seconds": 0.1, "needs": "cuda"},
        ]
        speeds = [
            {"case": "dcgan:128:eager", "images_per_sec": 12345.6, "ms_per_step": 10.4},
            {"case": "r3gan:256:eager", "skipped": "no time was left"},
        ]
        for name, lines in (("check.jsonl", checks), ("speed.jsonl", speeds)):
            (out / name).write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"cut sh')
        report.write_report(out, tmp_path / "gpu.md")
        page = (tmp_path / "gpu.md").read_text()
        assert "name A100." in page and "1 of 3 are good" in page
        assert (
            "| memory:dcgan | **bad** | grown_mib 12.5; a \\| b |" in page and "| oom | not made | needs cuda |" in page
        )
        assert "| dcgan | 128 | eager | 12,346 | 10.4 | – |" in page
        assert "- `r3gan:256:eager`: skipped no time was left." in page
        assert "| 1.1 | 4 | 40.0 |" in page
        assert {path.name for path in tmp_path.glob("gpu*.png")} == {"gpu-curve.png", "gpu-grid.png"}

    def test_parts_that_did_not_come_back_are_said_to_be_missing(self, report: ModuleType, tmp_path: Path) -> None:
        (tmp_path / "check.jsonl").write_text('{"check": "oom", "ok": true, "seconds": 1.0}\n')
        report.write_report(tmp_path, tmp_path / "gpu.md")
        page = (tmp_path / "gpu.md").read_text()
        assert "## Speeds\n\nNone came back." in page and "No run came back." in page
        (tmp_path / "check.jsonl").unlink()
        with pytest.raises(InputError, match="holds no results"):
            report.write_report(tmp_path, tmp_path / "gpu.md")
