from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from click.testing import Result

from facegen.data.dataset import new_dataset
from facegen.locks import claim, sole_use
from facegen.stages.train import train
from facegen.training import boards
from facegen.training.checkpoint import checkpoint_files, load_checkpoint
from facegen.training.log import LOG, Tick, describe_tick, read_log
from facegen.training.loop import LoopResult
from facegen.training.recipe import Recipe, load_recipe
from facegen.training.saved_generator import load_generator
from facegen.training.stopping import Stopped

Run = Callable[..., Result]
#: What torch.compile raises has other classes from version to version, all of them RuntimeErrors of these packages.
COMPILER_FAILED = type("BackendCompilerFailed", (RuntimeError,), {"__module__": "torch._dynamo.exc"})


def test_trains_and_then_goes_on_by_itself(facegen: Run, dataset: Path, recipe: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    first = facegen("train", dataset, run, "--recipe", recipe, "--device", "cpu")
    assert first.exit_code == 0 and first.stdout.strip() == str(run / "last.safetensors")
    assert (run / "recipe.toml").is_file()
    assert [json.loads(line)["kimg"] for line in (run / "log.jsonl").read_text().splitlines()] == [0.016, 0.032]

    again = facegen("train", dataset, run)
    assert again.exit_code == 0 and "Already trained" in again.stderr

    longer = facegen("train", dataset, run, "--kimg", "0.064", "--resume")
    assert longer.exit_code == 0 and "from kimg 0.032" in longer.stderr
    assert read_log(run)[-1]["kimg"] == 0.064


def as_before_schema_4(run: Path) -> None:
    """Rewrite a run as it was written before: its recipe, its log and its checkpoint by their former names."""
    text = (run / "recipe.toml").read_text(encoding="utf-8")
    former = text.replace("score_every", "fid_every").replace("score_images", "fid_images")
    (run / "recipe.toml").write_text(former, encoding="utf-8")
    path = checkpoint_files(run)[0]
    state = torch.load(path, weights_only=True)
    state["recipe"] = {{"score_every": "fid_every"}.get(key, key): value for key, value in state["recipe"].items()}
    torch.save({**state, "game": state.pop("trainer"), "schema": 3}, path)


def test_a_run_from_before_the_names_changed_goes_on(facegen: Run, dataset: Path, recipe: Path, tmp_path: Path) -> None:
    former, whole = tmp_path / "former", tmp_path / "whole"
    train(dataset, former, recipe=recipe, device="cpu")
    as_before_schema_4(former)
    assert facegen("train", dataset, former, "--kimg", "0.064", "--device", "cpu").exit_code == 0
    train(dataset, whole, recipe=recipe, overrides={"kimg": 0.064}, device="cpu")
    ours, theirs = (load_checkpoint(checkpoint_files(run)[0])["trainer"] for run in (former, whole))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    assert "score_every" in (former / "recipe.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("spelling", ["--score-every", "--fid-every"])
@pytest.mark.parametrize("source", ["command line", "environment", "configuration"])
def test_both_spellings_say_how_often_to_score(
    spelling: str,
    source: str,
    facegen: Run,
    dataset: Path,
    recipe: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: list[Recipe] = []

    def told(chosen: Recipe, *words: object, **options: object) -> LoopResult:
        given.append(chosen)
        return LoopResult(0, None)

    monkeypatch.setattr("facegen.stages.train.training_loop", told)
    monkeypatch.setattr("facegen.stages.train._open_scorer", lambda *words: None)
    words: list[object] = ["train", dataset, tmp_path / "run", "--recipe", recipe]
    if source == "command line":
        words += [spelling, "7"]
    elif source == "environment":
        monkeypatch.setenv(f"FACEGEN_TRAIN_{spelling[2:].replace('-', '_').upper()}", "7")
    else:
        (tmp_path / "mine.toml").write_text(f"[train]\n{spelling[2:]} = 7\n", encoding="utf-8")
        words = ["--config", tmp_path / "mine.toml", *words]
    assert facegen(*words).exit_code == 0
    assert [chosen.score_every for chosen in given] == [7.0]


def test_a_recipe_file_of_ones_own_takes_every_option(
    facegen: Run, dataset: Path, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Recipe] = []
    monkeypatch.setattr(
        "facegen.stages.train.training_loop", lambda chosen, *_, **__: given.append(chosen) or LoopResult(0, None)
    )
    monkeypatch.setattr("facegen.stages.train._open_scorer", lambda *words: None)
    changes = {"batch": 4, "seed": 3, "precision": "bf16", "score_every": 2.0, "checkpoint_every": 5.0}
    options = [word for name, value in changes.items() for word in (f"--{name.replace('_', '-')}", value)]
    words = ("train", dataset, tmp_path / "run", "--recipe", recipe, "--device", "cpu", "--compile", *options)
    for length in ("--kimg", "--minutes"):
        assert facegen(*words, length, "0.5").exit_code == 0
    by_kimg, by_minutes = ({**changes, "compile": True, name: 0.5} for name in ("kimg", "minutes"))
    apart = {"score_minutes": 0.0, "checkpoint_minutes": 0.0}
    base = load_recipe(recipe).with_overrides(apart)
    assert given == [base.with_overrides({**by_kimg, "minutes": 0.0}), base.with_overrides(by_minutes)]


def test_another_recipe_or_dataset_is_refused_and_nothing_lost(
    facegen: Run, dataset: Path, recipe: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    facegen("train", dataset, run, "--recipe", recipe)
    before = (run / "last.safetensors").read_bytes()
    other = facegen("train", dataset, run, "--recipe", recipe, "--seed", "1", "--kimg", "1")
    assert other.exit_code == 2 and "seed 0 (now 1)" in other.stderr
    assert (run / "last.safetensors").read_bytes() == before


def test_resume_without_a_checkpoint_is_an_error(facegen: Run, dataset: Path, tmp_path: Path) -> None:
    outcome = facegen("train", dataset, tmp_path / "run", "--resume")
    assert outcome.exit_code == 2 and "no checkpoint" in outcome.stderr


def test_a_folder_that_is_no_run_is_left_alone(facegen: Run, dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    outcome = facegen("train", dataset, tmp_path / "mine")
    assert outcome.exit_code == 2 and "is not a run" in outcome.stderr
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--recipe", "dcgam"], "Did you mean 'dcgan'"),
        (["--batch", "1"], "batch = 1"),
        (["--kimg", "-3"], "-3.0 is not in the range 0<x"),
    ],
)
def test_bad_options_are_one_sentence(facegen: Run, dataset: Path, tmp_path: Path, words: list[str], says: str) -> None:
    outcome = facegen("train", dataset, tmp_path / "run", *words)
    assert outcome.exit_code == 2 and says in outcome.stderr
    assert not (tmp_path / "run").exists()


def test_a_missing_dataset_says_how_to_make_one(facegen: Run, tmp_path: Path) -> None:
    outcome = facegen("train", tmp_path / "nothing", tmp_path / "run")
    assert outcome.exit_code == 2 and "facegen prepare" in outcome.stderr


def test_a_size_that_dcgan_cannot_make_is_said(facegen: Run, tmp_path: Path) -> None:
    with new_dataset(tmp_path / "odd", 12) as writer:
        writer.append(np.zeros((4, 12, 12, 3), np.uint8), list("abcd"), ["train"] * 4)
        writer.finish({})
    outcome = facegen("train", tmp_path / "odd", tmp_path / "run", "--recipe", "quick")
    assert outcome.exit_code == 2 and "12×12" in outcome.stderr and "64" in outcome.stderr


def test_trains_by_the_clock_and_is_done_when_the_time_is_up(
    facegen: Run, dataset: Path, recipe: Path, tmp_path: Path
) -> None:
    """The schedule is stretched in the run alone: the recipe that the same command names again still has its own."""
    run, falling = tmp_path / "run", tmp_path / "falling.toml"
    changes = {"generator_lr": [1e-3, 1e-4], "schedule_kimg": 1.0}
    falling.write_text(load_recipe(recipe).with_overrides(changes).to_toml(), encoding="utf-8")
    words = ("train", dataset, run, "--recipe", falling, "--minutes", "0.02", "--device", "cpu")
    first = facegen(*words)
    assert first.exit_code == 0 and "for 0.02 minutes on 20 images" in first.stderr
    reached = read_log(run)[-1]["kimg"]
    assert f"Trained for 0.02 minutes: {reached:g} kimg." in first.stderr
    again = facegen(*words)
    assert again.exit_code == 0 and f"stands at {reached:g} kimg" in again.stderr
    longer = facegen("train", dataset, run, "--kimg", str(reached + 0.016))
    assert longer.exit_code == 0 and read_log(run)[-1]["kimg"] == pytest.approx(reached + 0.016)


def test_a_length_is_said_once(facegen: Run, dataset: Path, recipe: Path, tmp_path: Path) -> None:
    outcome = facegen("train", dataset, tmp_path / "run", "--recipe", recipe, "--minutes", "1", "--kimg", "1")
    assert outcome.exit_code == 2 and "given twice, as --kimg and as --minutes" in outcome.stderr


def test_an_interval_that_is_said_by_hand_counts_whatever_the_clock_says(
    facegen: Run, dataset: Path, recipe: Path, tmp_path: Path
) -> None:
    patient = tmp_path / "patient.toml"
    patient.write_text(load_recipe(recipe).with_overrides({"checkpoint_minutes": 60.0}).to_toml(), encoding="utf-8")
    facegen("train", dataset, tmp_path / "waits", "--recipe", patient)
    facegen("train", dataset, tmp_path / "run", "--recipe", patient, "--checkpoint-every", "0.016")
    assert [len(checkpoint_files(tmp_path / run)) for run in ("waits", "run")] == [1, 2]


@pytest.mark.parametrize(
    ("gpus", "capability", "recipe", "says"),
    [
        (
            2,
            (8, 0),
            "dcgan",
            "has 2 GPUs, but only one of them trains. To use all, run torchrun --nproc-per-node 2 -m facegen",
        ),
        (
            1,
            (7, 5),
            "quick",
            "uses float32, because this GPU has no bfloat16 and gradient penalties overflow in float16",
        ),
        (1, (7, 5), "dcgan", None),
        (1, (8, 0), "quick", None),
    ],
)
def test_what_a_gpu_is_used_for_is_told(
    gpus: int,
    capability: tuple[int, int],
    recipe: str,
    says: str | None,
    dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("facegen.stages.train.choose_device", lambda name: torch.device("cuda", 0))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr("facegen.stages.train.training_loop", lambda *words, **options: LoopResult(0, None))
    train(dataset, tmp_path / "run", recipe=recipe, overrides={"score_every": 0.0})
    told = capsys.readouterr().err.replace("\n", " ").splitlines()[0].partition(". ")[2].strip()
    assert says in told if says else not told


@pytest.mark.parametrize(
    ("failure", "remedy"),
    [
        (torch.cuda.OutOfMemoryError("CUDA out of memory"), "--batch 4"),
        (RuntimeError("GET was unable to find an engine to execute this computation"), "--batch 4"),
        (RuntimeError("MPS backend out of memory (MPS allocated: 9.05 GB)"), "--batch 4"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), "--batch 4"),
        (COMPILER_FAILED("no C++ compiler"), "--no-compile"),
    ],
)
def test_what_the_machine_lacks_is_said_with_the_remedy(
    facegen: Run,
    dataset: Path,
    recipe: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    failure: Exception,
    remedy: str,
) -> None:
    def fail(*words: object, **options: object) -> None:
        raise failure

    monkeypatch.setattr("facegen.stages.train.training_loop", fail)
    outcome = facegen("train", dataset, tmp_path / "run", "--recipe", recipe)
    assert outcome.exit_code == 2 and remedy in outcome.stderr


@pytest.mark.parametrize("damage", [b"", b"\0" * 100, None], ids=["empty", "zeros", "a bit"])
def test_a_damaged_newest_checkpoint_is_said_and_the_one_before_it_taken(
    damage: bytes | None, facegen: Run, dataset: Path, recipe: Path, tmp_path: Path
) -> None:
    run, words = tmp_path / "run", ("--recipe", recipe, "--checkpoint-every", "0.016", "--device", "cpu")
    facegen("train", dataset, run, *words)
    newest, before = checkpoint_files(run)
    expected = load_checkpoint(newest)["trainer"]
    data = newest.read_bytes()
    newest.write_bytes(data[:5000] + bytes([data[5000] ^ 1]) + data[5001:] if damage is None else damage)
    outcome = facegen("train", dataset, run, *words)
    assert outcome.exit_code == 0 and "warning: The checkpoint" in outcome.stderr
    assert f"continues from the previous checkpoint, {before.name}" in outcome.stderr.replace("\n", " ")
    assert newest.with_name(f"{newest.name}.damaged").is_file()
    torch.testing.assert_close(load_checkpoint(newest)["trainer"], expected, rtol=0, atol=0)
    assert [tick["kimg"] for tick in read_log(run)] == [0.016, 0.032]


def test_damaged_checkpoints_alone_are_one_sentence(facegen: Run, dataset: Path, recipe: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    facegen("train", dataset, run, "--recipe", recipe)
    checkpoint_files(run)[0].write_bytes(b"\0" * 100)
    outcome = facegen("train", dataset, run, "--kimg", "1")
    assert outcome.exit_code == 2 and "is damaged" in outcome.stderr and "Delete all" in outcome.stderr


def stop(*words: object, **options: object) -> None:
    raise Stopped


def test_a_network_to_score_with_is_said_to_be_of_no_use_where_nothing_is_scored(
    facegen: Run, dataset: Path, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facegen.stages.train.training_loop", stop)
    outcome = facegen("train", dataset, tmp_path / "run", "--recipe", recipe, "--extractor", "effnet-lite0")
    assert "never scores, so --extractor has no effect. Add --score-every" in outcome.stderr


def test_the_command_to_go_on_has_the_options_that_no_recipe_holds(
    facegen: Run, dataset: Path, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facegen.stages.train.training_loop", stop)
    run = tmp_path / "my run"
    outcome = facegen("train", dataset, run, "--recipe", recipe, "--extractor", "effnet-lite0", "--score-every", "0")
    assert outcome.exit_code == 130
    assert f"To continue: facegen train {dataset} '{run}' --resume --extractor effnet-lite0\n" in outcome.stderr
    outcome = facegen("train", dataset, run, "--recipe", recipe, "--board", "mlflow", "--board", "tensorboard")
    assert f"'{run}' --resume --board mlflow --board tensorboard\n" in outcome.stderr


def test_one_process_trains_into_a_folder_by_whatever_name(
    facegen: Run, dataset: Path, recipe: Path, tmp_path: Path
) -> None:
    run, link = tmp_path / "run", tmp_path / "link"
    run.mkdir()
    link.symlink_to(run)
    with sole_use(run, "trains"):
        outcome = facegen("train", dataset, link, "--recipe", recipe)
    assert outcome.exit_code == 2 and f"Another process (number {os.getpid()}) trains into" in outcome.stderr
    assert not list(run.iterdir())


def full(*words: object, **options: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("where", ["facegen.training.checkpoint.torch.save", "facegen.training.outputs.save_png"])
def test_a_full_disk_at_a_checkpoint_ends_in_words_with_the_one_before_kept(
    where: str, facegen: Run, dataset: Path, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    facegen("train", dataset, run, "--recipe", recipe, "--kimg", "0.016")
    monkeypatch.setattr(where, full)
    outcome = facegen("train", dataset, run, "--recipe", recipe)
    said = outcome.stderr.replace("\n", " ")
    assert outcome.exit_code == 2 and "No space left on device" in said and "The last checkpoint is" in said
    assert load_checkpoint(checkpoint_files(run)[-1])["images_seen"] == 16


def moving(path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the path will be once the first tick of a run is told, by another hand."""
    elsewhere = path.with_name(f"{path.name} elsewhere")

    def told(tick: Tick) -> str:
        if path.exists() and not elsewhere.exists():
            path.rename(elsewhere)
        return describe_tick(tick)

    monkeypatch.setattr("facegen.training.loop.describe_tick", told)
    return elsewhere


def test_a_run_that_is_moved_while_it_trains_ends_in_words_and_goes_on_where_it_is(
    facegen: Run, dataset: Path, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    facegen("train", dataset, run, "--recipe", recipe, "--kimg", "0.016")
    elsewhere = moving(run, monkeypatch)
    outcome = facegen("train", dataset, run, "--kimg", "0.064")
    assert outcome.exit_code == 2 and f"The run {run} was moved or deleted" in outcome.stderr.replace("\n", " ")
    assert not (run / "last.safetensors").exists() and not checkpoint_files(run)
    assert facegen("train", dataset, elsewhere, "--kimg", "0.064").exit_code == 0
    assert [tick["kimg"] for tick in read_log(elsewhere)] == [0.016, 0.032, 0.048, 0.064]


def test_a_log_that_is_moved_while_the_run_trains_is_begun_anew_and_said(
    facegen: Run, dataset: Path, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    elsewhere = moving(run / LOG, monkeypatch)
    outcome = facegen("train", dataset, run, "--recipe", recipe)
    assert outcome.exit_code == 0 and "was moved, replaced or deleted" in outcome.stderr.replace("\n", " ")
    assert [json.loads(path.read_text())["kimg"] for path in (elsewhere, run / LOG)] == [0.016, 0.032]


def test_a_stop_before_the_first_checkpoint_says_that_none_was_saved(
    facegen: Run, dataset: Path, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken_off(*words: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("facegen.stages.train.training_loop", broken_off)
    outcome = facegen("train", dataset, tmp_path / "run", "--recipe", recipe)
    assert outcome.exit_code == 130 and "No checkpoint was saved yet" in outcome.stderr
    assert "A checkpoint was saved" not in outcome.stderr and not (tmp_path / "run").exists()


def test_checkpoints_that_cannot_be_read_are_not_trained_over(
    facegen: Run, dataset: Path, recipe: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "recipe.toml").write_bytes(recipe.read_bytes())
    (run / "checkpoints").write_text("no folder")
    outcome = facegen("train", dataset, run)
    assert outcome.exit_code == 2 and "checkpoints" in outcome.stderr and not (run / "log.jsonl").exists()


def test_what_a_killed_process_left_is_cleaned_up(facegen: Run, dataset: Path, recipe: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    (run / "recipe.toml").write_bytes(recipe.read_bytes())
    (run / ".recipe.toml.ab.part").touch()
    (run / "checkpoints" / ".kimg-000000.016.pt.ab.part").touch()
    in_use = run / ".grid.png.ab.part"
    with in_use.open("wb") as file:
        assert claim(file, in_use)  # as 'facegen sample run run/images' does meanwhile
        assert facegen("train", dataset, run).exit_code == 0
    assert list(run.rglob("*.part")) == [in_use]


def test_a_finished_run_whose_last_generator_is_of_before_is_not_done(
    facegen: Run, dataset: Path, recipe: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    train(dataset, run, recipe=recipe, device="cpu")
    (run / "last.safetensors").unlink()  # as where a process was killed after the checkpoint
    again = facegen("train", dataset, run, "--device", "cpu")
    assert again.exit_code == 0 and "Already trained" not in again.stderr
    assert load_generator(run / "last.safetensors").kimg == 0.032


def test_a_run_without_its_recipe_goes_on_by_its_checkpoints(
    facegen: Run, dataset: Path, recipe: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    train(dataset, run, recipe=recipe, device="cpu")
    written = (run / "recipe.toml").read_text(encoding="utf-8")
    (run / "recipe.toml").unlink()
    again = facegen("train", dataset, run, "--kimg", "0.048", "--device", "cpu")
    assert again.exit_code == 0 and "recipe.toml no longer exists" in again.stderr
    assert (run / "recipe.toml").read_text(encoding="utf-8") == written.replace("kimg = 0.032", "kimg = 0.048", 1)


class Told:
    """A board that keeps what it is told."""

    opened: list[Told] = []  # noqa: RUF012 - of one test

    def __init__(self, run: Path, recipe: Recipe, seen: int) -> None:
        self.steps: list[int] = []
        self.grids: list[str] = []
        Told.opened.append(self)

    def add(self, step: int, values: dict[str, float | str]) -> None:
        self.steps.append(step)

    def picture(self, step: int, path: Path) -> None:
        self.grids.append(path.name)

    def close(self) -> None:
        self.steps.append(-1)


def test_each_board_that_is_named_is_told(
    facegen: Run, dataset: Path, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(boards.BOARDS, "told", "told_board:Told")
    monkeypatch.setitem(sys.modules, "told_board", SimpleNamespace(Told=Told))
    monkeypatch.setattr(Told, "opened", [])
    words = ("train", dataset, tmp_path / "run", "--recipe", recipe, "--device", "cpu")
    assert facegen(*words, "--board", "told", "--board", "tensorboard").exit_code == 0
    (told,) = Told.opened
    assert (told.steps, told.grids[-1]) == ([16, 32, -1], "kimg-000000.032.png")
    assert list((tmp_path / "run").glob("events.*"))
    refused = facegen(*words, "--board", "tensorbord")
    assert refused.exit_code == 2 and "There is no board 'tensorbord'" in refused.stderr
