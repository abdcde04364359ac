"""A board that sends a run's figures and grids to MLflow (https://mlflow.org).

``MLFLOW_TRACKING_URI`` names the server. MLflow's library sends its server only what it gets here, and nothing about
the machine. Its telemetry is off.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # The library reads it while it is imported.
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from facegen.training.posted_board import PostedBoard, remember, remembered
from facegen.training.recipe import Recipe

#: The file in a run that holds the id of its MLflow run. It holds no address, because that can contain a password.
RUN_FILE = "mlflow.json"


def open_mlflow(run: Path, recipe: Recipe, seen: int) -> PostedBoard:
    """Return a board that sends the run to MLflow."""
    return PostedBoard("MLflow", lambda: MLflow(run, recipe))


class MLflow:
    """A run of MLflow.

    The recipe's fields are its params. Its metrics have the names of the log. Texts become tags.

    Raises:
        Exception: MLflow's library raises it.
    """

    def __init__(self, run: Path, recipe: Recipe) -> None:
        self._client = MlflowClient()
        self._id = self._going_on(run) or self._begun(run)
        before = self._client.get_run(self._id).data.params
        fields = {name: str(value) for name, value in recipe.to_dict().items()}
        params = [Param(name, value) for name, value in fields.items() if name not in before]
        # A param cannot change. Where a continued run differs, as in its length, the new value becomes a tag.
        tags = [RunTag(name, value) for name, value in fields.items() if before.get(name, value) != value]
        self._client.log_batch(self._id, params=params, tags=tags)

    def _going_on(self, run: Path) -> str | None:
        """Return the id that an earlier part of the run wrote, if the server knows it; else None."""
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
