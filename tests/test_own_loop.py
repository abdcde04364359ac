"""docs/own-loop.md: its examples are taken from the page and run one after the other, as in one program."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn

import facegen
from facegen.stages.prepare import prepare

PAGE = (Path(__file__).parents[1] / "docs" / "own-loop.md").read_text(encoding="utf-8")
#: What the page says, and what stands in its place here.
SMALLER = {"IMAGES, BATCH, LATENT = 1_000, 100, 128": "IMAGES, BATCH, LATENT = 10, 5, 4", "step % 1_000": "step % 2"}


class Generator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3 * 16 * 16)

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        return self.layer(latents).tanh().view(-1, 3, 16, 16)


def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    lightning = pytest.importorskip("lightning.pytorch")
    monkeypatch.chdir(tmp_path)
    prepare("synthetic:12", "celeba", size=16, workers=1)
    torch.manual_seed(0)
    generator, steps = Generator(), []

    class Module(lightning.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.generator = generator

        def training_step(self, batch: torch.Tensor, _: int) -> torch.Tensor:
            return self.generator(batch).square().mean()

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), 0.1)

    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    trainer = lightning.Trainer(max_epochs=1, accelerator="cpu", default_root_dir=tmp_path, **quiet)
    space: dict[str, Any] = {"generator": generator, "STEPS": 4, "train_step": lambda: steps.append(1)}
    space |= {"trainer": trainer, "module": Module(), "data": torch.utils.data.DataLoader(torch.ones(4, 4), 2)}
    code = "\n".join(re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
    for said, instead in SMALLER.items():
        assert said in code
        code = code.replace(said, instead)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's, of loggers and workers that are missing
        exec(compile(code, "own-loop.md", "exec"), space)

    # The loop scored twice, the same each time, and did not touch the training's random numbers or mode.
    lines = re.findall(r"^(\d+): effnet-lite0 FD ([\d.]+), floor", capsys.readouterr().out, re.MULTILINE)
    assert [step for step, _ in lines] == ["2", "4"] and lines[0][1] == lines[1][1] and len(steps) == 4
    assert generator.training
    # Lightning logged what a scorer says of the generator after its epoch.
    logged = trainer.callback_metrics["effnet-lite0 FD"]
    assert logged == pytest.approx(space["score_of"](generator, space["scorer"]).value, rel=1e-5)
    # The metric starts anew, and has what a scorer has.
    metric = space["metric"]
    metric.reset()
    images = generator(torch.randn(5, 4)).detach()
    metric.update(images)
    space["scorer"].update(images)
    assert metric.compute() == pytest.approx(space["scorer"].compute().value)
    # Images of all ranks, here of one, come to the scorer.
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        space["update_from_all_ranks"](space["scorer"], images)
    finally:
        dist.destroy_process_group()
    assert space["scorer"].n == 10 and isinstance(space["scorer"], facegen.Scorer)
