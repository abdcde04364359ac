"""A board that sends a run's figures and grids to Weights & Biases (https://wandb.ai).

Offline, they go into the folder ``wandb`` in the run. W&B's library sends what it gets here, and of the machine only
its load. Its records of the host, the user, paths, the command line, the code, git and the installed packages are
off.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # Reports go elsewhere. The library reads this when imported.
import wandb

from facegen import console
from facegen.errors import EnvironmentProblem
from facegen.training.posted_board import PATIENCE, PostedBoard, remember, remembered
from facegen.training.recipe import Recipe

#: The file in a run that holds the id of its W&B run. It holds no key.
RUN_FILE = "wandb.json"
#: The axis of all figures. W&B's own steps cannot go back, but the steps of a resumed run can.
STEP = "images_shown"


def open_wandb(run: Path, recipe: Recipe, seen: int) -> PostedBoard:
    """Return a board that sends the run to W&B."""
    return PostedBoard("W&B", lambda: Wandb(run, recipe))


class Wandb:
    """A run of W&B. Its config is the recipe, and its figures have the names of the log.

    Raises:
        EnvironmentProblem: The user is not logged in.
        Exception: W&B's library raises it.
    """

    def __init__(self, run: Path, recipe: Recipe) -> None:
        # Both calls come before wandb.init, which would ask for a key in the terminal and print too much.
        mode = wandb.setup(wandb.Settings(silent=True)).settings.mode
        if mode == "online" and not wandb.login(prompt=False, verify=False):
            raise EnvironmentProblem("You are not logged in.", "Run 'wandb login', or set WANDB_MODE=offline.")
        known = remembered(run / RUN_FILE)
        self._run = wandb.init(
            id=known.get("id", secrets.token_hex(4)),
            project=known.get("project", os.environ.get("WANDB_PROJECT", "facegen")),
            entity=known.get("entity"),
            name=run.resolve().name,
            dir=os.environ.get("WANDB_DIR", str(run)),
            config=recipe.to_dict(),
            allow_val_change=True,
            resume="allow",
            settings=wandb.Settings(
                init_timeout=PATIENCE / 2,
                console="off",
                silent=True,
                disable_code=True,
                disable_git=True,
                save_code=False,
                host="",
                username="",
                x_disable_meta=True,
                x_save_requirements=False,
                finish_timeout=PATIENCE,
            ),
        )
        self._run.define_metric(STEP, hidden=True)
        self._run.define_metric("*", step_metric=STEP)
        if self._run.disabled:
            return
        told = {"id": self._run.id, "project": self._run.project, "entity": self._run.entity}
        remember(run / RUN_FILE, {key: value for key, value in told.items() if value})
        if self._run.offline:
            console.info(f"W&B is offline. To send the run later, use 'wandb sync' on {Path(self._run.dir).parent}.")
        else:
            console.info(f"W&B shows the run at {self._run.url}.")

    def add(self, step: int, values: Mapping[str, float | str]) -> None:
        self._run.log({STEP: step, **values})

    def picture(self, step: int, path: Path) -> None:
        self._run.log({STEP: step, "samples": wandb.Image(str(path))})

    def close(self) -> None:
        self._run.finish()
