from __future__ import annotations

from pathlib import Path

import pytest

from facegen.training.log import TrainingLog, read_log
from facegen.training.recipe import Recipe
from facegen.training.tensorboard import PREFIX, TensorBoard


def test_training_goes_on_without_tensorboard_and_says_so_once(
    tmp_path: Path, tiny_recipe: Recipe, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: object, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tensorboard.summary.writer.record_writer.RecordWriter.write", full)
    with TrainingLog(tmp_path, 0, [TensorBoard(tmp_path, tiny_recipe, 0)]) as log:
        for kimg in (1.0, 2.0):
            log.tick({"kimg": kimg, "loss_d": 1.0})
    assert [tick["kimg"] for tick in read_log(tmp_path)] == [1.0, 2.0]
    assert capsys.readouterr().err.count("TensorBoard's file") == 1


def test_a_clock_that_went_back_names_no_file_before_the_last(tmp_path: Path, tiny_recipe: Recipe) -> None:
    (tmp_path / f"{PREFIX}9999999998.host.1").touch()
    TensorBoard(tmp_path, tiny_recipe, 0).close()
    assert list(tmp_path.glob(f"{PREFIX}9999999999.*"))
