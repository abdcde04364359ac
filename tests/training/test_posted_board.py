"""Boards that are services: that they keep nothing up, and what W&B's and MLflow's own libraries wrote."""

from __future__ import annotations

import getpass
import json
import os
import platform
import re
import struct
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from facegen.errors import EnvironmentProblem, InputError
from facegen.training import boards, posted_board
from facegen.training.boards import BOARDS, find_board
from facegen.training.posted_board import PostedBoard
from facegen.training.recipe import Recipe


class Noted:
    """A service that notes what it is told, and raises ``problem`` at a picture."""

    def __init__(self, problem: Exception | None = None) -> None:
        self.told: list[Any] = []
        self._problem = problem

    def add(self, step: int, values: Mapping[str, float | str]) -> None:
        self.told.append((step, dict(values)))

    def picture(self, step: int, path: Path) -> None:
        if self._problem is not None:
            raise self._problem
        self.told.append((step, path))

    def close(self) -> None:
        self.told.append("closed")


class TestPosting:
    def test_all_is_told_in_order_by_the_end(self) -> None:
        service = Noted()
        board = PostedBoard("A service", lambda: service)
        board.add(1, {"loss_d": 1.0})
        board.picture(2, Path("grid.png"))
        board.close()
        assert service.told == [(1, {"loss_d": 1.0}), (2, Path("grid.png")), "closed"]

    def test_what_fails_is_said_once_and_what_follows_is_told(self, capsys: pytest.CaptureFixture[str]) -> None:
        service = Noted(ConnectionError("http://me:secret@host is away"))
        board = PostedBoard("A service", lambda: service)
        board.picture(1, Path("grid.png"))
        board.picture(2, Path("grid.png"))
        board.add(3, {"loss_d": 1.0})
        board.close()
        said = capsys.readouterr().err
        assert service.told == [(3, {"loss_d": 1.0}), "closed"]
        assert said.count("A service has not accepted everything: ConnectionError: http://…@host is away.") == 1
        assert "secret" not in said

    def test_one_that_cannot_be_opened_is_said_once_and_told_nothing(self, capsys: pytest.CaptureFixture[str]) -> None:
        def opened() -> Noted:
            raise EnvironmentProblem("Nobody is logged in.", "Log in.")

        board = PostedBoard("A service", opened)
        board.add(1, {"loss_d": 1.0})
        board.close()
        said = " ".join(capsys.readouterr().err.split())
        assert said.count("A service cannot be used: Nobody is logged in. Log in. Training continues") == 1

    def test_one_that_hangs_is_waited_for_only_so_long(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(posted_board, "PATIENCE", 0.01)
        hung = threading.Event()
        service = Noted()

        def opened() -> Noted:
            hung.wait(10)
            return service

        board = PostedBoard("A service", opened)
        board.add(1, {"loss_d": 1.0})  # which does not wait at all
        board.close()
        assert "facegen waits no longer" in " ".join(capsys.readouterr().err.split())
        hung.set()
        board._thread.join(10)


class TestTable:
    def test_another_name_is_refused_with_those_that_there_are(self) -> None:
        with pytest.raises(InputError, match=r"no board 'tensorbord'\. Use one of tensorboard, wandb, mlflow"):
            find_board("tensorbord")

    @pytest.mark.parametrize("name", ["wandb", "mlflow"])
    def test_a_package_that_is_not_installed_is_named(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, name, None)
        monkeypatch.delitem(sys.modules, f"facegen.training.{name}", raising=False)
        with pytest.raises(EnvironmentProblem, match=rf"The board {name} needs .* pip install 'facegen\[{name}\]'"):
            find_board(name)

    def test_each_but_tensorboard_has_an_extra(self) -> None:
        project = (Path(boards.__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
        assert all(f"\n{name} = [" in project for name in BOARDS if name != "tensorboard")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run's folder; what a user's machine says of the two services is out of sight."""
    for variable in [name for name in os.environ if name.startswith(("WANDB_", "MLFLOW_"))]:
        monkeypatch.delenv(variable)
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "a-run"
    folder.mkdir()
    Image.new("RGB", (8, 8), (200, 30, 40)).save(folder / "grid.png")
    return folder


def told_of(name: str, run: Path, recipe: Recipe, steps: Mapping[int, float]) -> None:
    """A part of a run, as training tells a board of it."""
    board = find_board(name)(run, recipe, 0)
    for step, loss in steps.items():
        board.add(step, {"loss_d": loss, "metric": "FID"})
        board.picture(step, run / "grid.png")
    board.close()


def wandb_records(path: Path) -> Iterator[Any]:
    """What is in a file of W&B's: LevelDB's log of messages, in blocks of 32 KiB, behind a header of 7 bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, parts = path.read_bytes(), 7, b""
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:  # too little for a header: the next is in the next block
            at += 32768 - at % 32768
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        parts += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield Record.FromString(parts)
            parts = b""


def test_wandb_has_the_recipe_the_figures_and_the_grids_of_one_run(
    run: Path, tiny_recipe: Recipe, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    try:
        told_of("wandb", run, tiny_recipe, {1000: 0.75})
        told_of("wandb", run, tiny_recipe.with_overrides({"kimg": 2.0}), {2000: 0.5})
    finally:
        wandb.teardown()
    known = json.loads((run / "wandb.json").read_text(encoding="utf-8"))
    files = sorted(run.glob("wandb/offline-run-*/*.wandb"))
    assert {file.stem for file in files} == {f"run-{known['id']}"} and known["project"] == "facegen"
    records = [record for file in files for record in wandb_records(file)]
    begun = [record.run for record in records if record.HasField("run")]
    config = {item.key: json.loads(item.value_json) for item in begun[0].config.update}
    assert {name: config[name] for name in tiny_recipe.to_dict()} == tiny_recipe.to_dict()
    rows = [
        {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
        for record in records
        if record.HasField("history")
    ]
    assert [(row["images_shown"], row["loss_d"], row["metric"]) for row in rows if "loss_d" in row] == [
        (1000, 0.75, "FID"),
        (2000, 0.5, "FID"),
    ]
    assert sum("samples._type" in row or "samples" in row for row in rows) == 2
    assert len(list(run.glob("wandb/offline-run-*/files/media/images/*.png"))) == 2
    written = b"".join(file.read_bytes() for file in files)
    private = (platform.node(), str(run), sys.executable, sys.argv[0], getpass.getuser() + "@")
    assert [word for word in private if word.encode() in written] == []
    assert "W&B is offline" in capsys.readouterr().err


def test_wandb_without_a_login_asks_for_nothing(
    run: Path, tiny_recipe: Recipe, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wandb = pytest.importorskip("wandb")
    monkeypatch.setattr(wandb, "login", lambda **words: False)
    monkeypatch.setattr(wandb, "init", lambda **words: pytest.fail("nobody is logged in"))
    try:
        told_of("wandb", run, tiny_recipe, {1000: 0.75})
    finally:
        wandb.teardown()
    assert "W&B cannot be used: You are not logged in" in capsys.readouterr().err


def test_mlflow_has_the_recipe_the_figures_and_the_grids_of_one_run(
    run: Path, tiny_recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (run.parent / "store").as_uri())
    told_of("mlflow", run, tiny_recipe, {1000: 0.75})
    told_of("mlflow", run, tiny_recipe.with_overrides({"kimg": 2.0}), {2000: 0.5})
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("facegen")
    (found,) = client.search_runs([experiment.experiment_id])
    assert json.loads((run / "mlflow.json").read_text(encoding="utf-8")) == {"run_id": found.info.run_id}
    assert found.data.params == {name: str(value) for name, value in tiny_recipe.to_dict().items()}
    losses = client.get_metric_history(found.info.run_id, "loss_d")
    assert [(metric.step, metric.value) for metric in losses] == [(1000, 0.75), (2000, 0.5)]
    assert (found.data.tags["metric"], found.data.tags["kimg"]) == ("FID", "2.0")
    assert (found.info.run_name, found.info.status) == ("a-run", "FINISHED")
    assert found.info.user_id in ("", "unknown") and "mlflow.user" not in found.data.tags
    grids = [file.path for file in client.list_artifacts(found.info.run_id, "images")]
    steps = set(re.findall(r"samples.step.(\d+).*\.png", "\n".join(grids)))
    assert steps == {"1000", "2000"}
