from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from facegen.pictures.contact_sheet import contact_sheet, save_png
from facegen.training.recipe import load_recipe

MakeRun = Callable[..., Path]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Makes a run of a name, with so many ticks of one kimg each and a grid of 8×8 images at each tenth."""

    def make(folder: str = "run", ticks: int = 20, **overrides: object) -> Path:
        run = tmp_path / folder
        (run / "samples").mkdir(parents=True)
        (run / "recipe.toml").write_text(load_recipe("quick").with_overrides({"kimg": 40.0, **overrides}).to_toml())
        with (run / "log.jsonl").open("w") as file:
            for kimg in range(1, ticks + 1):
                tick = {"kimg": float(kimg), "loss_d": 1.0, "loss_g": float(kimg), "seconds": 2.0 * kimg}
                scored = {"score": 100.0 / kimg, "metric": "FID", "fid": 100.0 / kimg} if kimg % 5 == 0 else {}
                file.write(json.dumps({**tick, **scored}) + "\n")
        for kimg in range(10, ticks + 1, 10):
            images = np.full((64, 8, 8, 3), kimg, np.uint8)
            save_png(run / "samples" / f"kimg-{kimg:010.3f}.png", contact_sheet(images))
        return run

    return make
