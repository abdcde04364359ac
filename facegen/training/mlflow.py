"""A run's figures and grids for MLflow (https://mlflow.org): the server that ``MLFLOW_TRACKING_URI`` names.

MLflow's library sends its server what it is told here, and nothing of the machine. Its reports of its own use to its
makers are off.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # which is read as the library is loaded
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from facegen.training.posted_board import PostedBoard, remember, remembered
from facegen.training.recipe import Recipe

#: In the run: which of MLflow's runs it is. No address is in it, which may hold a password.
RUN_FILE = "mlflow.json"


def open_mlflow(run: Path, recipe: Recipe, seen: int) -> PostedBoard:
    """A board that tells MLflow."""
    return PostedBoard("MLflow", lambda: MLflow(run, recipe))


class MLflow:
    """A run of MLflow's: its params are the recipe, its metrics have the names of the log; words are tags.

    Raises:
        Exception: whatever the library raises.
    """

    def __init__(self, run: Path, recipe: Recipe) -> None:
        self._client = MlflowClient()
        self._id = self._going_on(run) or self._begun(run)
        before = self._client.get_run(self._id).data.params
        fields = {name: str(value) for name, value in recipe.to_dict().items()}
        params = [Param(name, value) for name, value in fields.items() if name not in before]
        # A param stays as it was first. What a run that goes on does otherwise, its length, is a tag.
        tags = [RunTag(name, value) for name, value in fields.items() if before.get(name, value) != value]
        self._client.log_batch(self._id, params=params, tags=tags)

    def _going_on(self, run: Path) -> str | None:
        """The id that an earlier part of the run wrote down, where the server knows it."""
        known = remembered(run / RUN_FILE).get("run_id")
        try:
            if known is not None:
                self._client.update_run(known, status="RUNNING")
        except MlflowException as problem:
            if problem.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None
        return known

    def _begun(self, run: Path) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "facegen")
        experiment = self._client.get_experiment_by_name(name)
        number = self._client.create_experiment(name) if experiment is None else experiment.experiment_id
        begun: str = self._client.create_run(number, run_name=run.resolve().name).info.run_id
        remember(run / RUN_FILE, {"run_id": begun})
        return begun

    def add(self, step: int, values: Mapping[str, float | str]) -> None:
        now = int(time.time() * 1000)
        words = [RunTag(name, value) for name, value in values.items() if isinstance(value, str)]
        numbers = [Metric(name, value, now, step) for name, value in values.items() if not isinstance(value, str)]
        self._client.log_batch(self._id, metrics=numbers, tags=words)

    def picture(self, step: int, path: Path) -> None:
        with Image.open(path, formats=["PNG"]) as grid:
            self._client.log_image(self._id, grid, key="samples", step=step)

    def close(self) -> None:
        self._client.set_terminated(self._id)
