"""The checks of scripts/bench/gpu_check.py: how items are run and told, and what they compare. No GPU is needed."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from facegen.data.dataset import new_dataset
from facegen.training.recipe import recipe_names

#: What an item's process does, by the item's name; ``out`` is the folder of the results.
SCRIPTS = {
    "two": """
tell("two a", True, figure=1.5)
print("a library says something", flush=True)
tell("two b", None)
""",
    "reader": """
lines = (out / "check.jsonl").read_text().splitlines()
tell("reader", [json.loads(line)["check"] for line in lines] == ["two a", "two b"])
""",
    "failing": """
tell("failing a", True)
print("what came before\\n\\nthe reason", file=sys.stderr)
sys.exit(3)
""",
    "silent": "",
    "endless": """
tell("endless a", True)
beat = "import time\\nwhile True: open(%r, 'a').write('.'); time.sleep(0.01)" % str(out / "beat")
subprocess.Popen([sys.executable, "-c", beat])
print("still at it", file=sys.stderr, flush=True)
time.sleep(60)
""",
    "endless too": "print('and it too', file=sys.stderr, flush=True); time.sleep(60)",
    "endless again": "time.sleep(60)",
    "alone": """
lines = (out / "check.jsonl").read_text().splitlines()
tell("alone", len(lines) == 2)
""",
}
PRELUDE = """
import json, subprocess, sys, time
from pathlib import Path

out = Path({out!r})
name = sys.argv[sys.argv.index("--item") + 1]

def tell(check, ok, **figures):
    print(json.dumps({{"check": check, "ok": ok, "seconds": 0.1, **figures}}), flush=True)

exec({scripts!r}[name])
"""


@pytest.fixture(scope="module")
def module(bench: Callable[[str], ModuleType]) -> ModuleType:
    return bench("gpu_check")


@pytest.fixture(scope="module")
def compare(bench: Callable[[str], ModuleType]) -> ModuleType:
    return bench("gpu_compare")


@pytest.fixture(scope="module")
def trainers(bench: Callable[[str], ModuleType]) -> ModuleType:
    return bench("gpu_steps")


@pytest.fixture(scope="module", autouse=True)
def _commands(bench: Callable[[str], ModuleType]) -> None:
    bench("gpu_commands")  # so that no other file finds it


@pytest.fixture
def checks(module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[dict[str, Any]]]:
    """Runs pretended items in the order of their names here: ``checks({"two": 5.0})``, each with its limit."""
    fake = tmp_path / "fake.py"
    fake.write_text(PRELUDE.format(out=str(tmp_path), scripts=SCRIPTS), encoding="utf-8")

    def run(limits: dict[str, float], *, seconds: float = 60.0, at_once: int = 1) -> list[dict[str, Any]]:
        items = {name: module.Item(lambda *_: iter(()), limit, None, name == "alone") for name, limit in limits.items()}
        monkeypatch.setattr(module, "__file__", str(fake))
        monkeypatch.setattr(module, "ITEMS", items)
        monkeypatch.setattr(module, "AT_ONCE", {"cpu": at_once})
        results: list[dict[str, Any]] = module.run_checks(tmp_path / "dataset", tmp_path, seconds, device="cpu")
        return results

    return run


def written(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "check.jsonl").read_text(encoding="utf-8").splitlines()]


def without_seconds(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in result.items() if key != "seconds"} for result in results]


def test_results_are_written_told_and_returned_as_they_come(
    checks: Callable[..., list[dict[str, Any]]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second item finds in the file what the first one said."""
    results = checks({"two": 20.0, "reader": 20.0})
    assert without_seconds(results) == [
        {"check": "two a", "ok": True, "figure": 1.5},
        {"check": "two b", "ok": None},
        {"check": "reader", "ok": True},
    ]
    assert written(tmp_path) == results
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == results


def test_a_failing_item_is_told_with_its_last_words(
    checks: Callable[..., list[dict[str, Any]]], tmp_path: Path
) -> None:
    results = checks({"failing": 20.0, "silent": 20.0, "two": 20.0})
    assert without_seconds(results)[:3] == [
        {"check": "failing a", "ok": True},
        {"check": "failing", "ok": False, "error": "what came before\nthe reason"},
        {"check": "silent", "ok": False, "error": "exit code 0"},
    ]
    assert [result["check"] for result in results[3:]] == ["two a", "two b"]
    assert written(tmp_path) == results


def test_what_takes_too_long_ends_with_all_that_it_started_and_the_rest_is_skipped(
    checks: Callable[..., list[dict[str, Any]]], tmp_path: Path
) -> None:
    """One item is past its own limit. The end of the time of all breaks off another, which is not held against it."""
    limits = {"endless": 0.9, "endless too": 50.0, "endless again": 50.0, "two": 50.0}
    by_name = {result["check"]: result for result in checks(limits, seconds=1.3, at_once=2)}
    assert by_name["endless a"]["ok"] is True
    past, broken_off = by_name["endless"], by_name["endless too"]
    assert (past["ok"], past["error"]) == (False, "it ran past its limit of 0.9 s: still at it")
    assert 0.9 <= past["seconds"] < broken_off["seconds"] < 10
    assert broken_off["ok"] is None
    assert broken_off["error"] == "broken off when the time of all was over: and it too"
    assert by_name["endless again"]["error"] == "broken off when the time of all was over"
    assert by_name["two"] == {"check": "two", "ok": None, "seconds": 0.0, "skipped": True}
    size = (tmp_path / "beat").stat().st_size
    time.sleep(0.1)
    assert (tmp_path / "beat").stat().st_size == size > 0


def test_nothing_starts_without_time(checks: Callable[..., list[dict[str, Any]]]) -> None:
    assert checks({"two": 5.0, "alone": 5.0}, seconds=0.0) == [
        {"check": name, "ok": None, "seconds": 0.0, "skipped": True} for name in ("two", "alone")
    ]


def test_what_must_be_alone_waits_for_the_others(checks: Callable[..., list[dict[str, Any]]]) -> None:
    results = checks({"alone": 20.0, "two": 20.0}, at_once=3)
    assert without_seconds(results)[2:] == [{"check": "alone", "ok": True}]


def test_stopped_from_outside_it_ends_what_runs(module: ModuleType, tmp_path: Path) -> None:
    fake = tmp_path / "fake.py"
    fake.write_text(PRELUDE.format(out=str(tmp_path), scripts=SCRIPTS), encoding="utf-8")
    module_items = {"endless": module.Item(lambda *_: iter(()), 60.0)}
    with (tmp_path / "check.jsonl").open("w") as file, pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "ITEMS", module_items)
        deadline = time.monotonic() + 60
        runner = module.Runner([module.sys.executable, str(fake)], file, tmp_path, deadline, 1)
        thread = threading.Thread(target=runner.run, args=("endless",))
        thread.start()
        while not runner.results and time.monotonic() < deadline:
            time.sleep(0.01)
        runner.stop()
        thread.join(20)
    assert not thread.is_alive()
    assert [result["ok"] for result in runner.results] == [True, None]


def test_every_recipe_has_its_step_and_the_hungry_items_are_last(module: ModuleType) -> None:
    names = module.item_names()
    assert len(set(names)) == len(names)
    assert {f"step:{recipe}" for recipe in recipe_names()} <= set(names)
    assert {"captured:best", "captured:dcgan", "captured_compiled:best", "compiled:r3gan"} <= set(names)
    assert "captured:r3gan" not in names and "compiled:dcgan" not in names
    assert names[-1] == "oom"
    assert set(module.item_names(tiny=True)) < set(names)


def test_a_part_that_raises_is_told_and_not_finite_figures_are_words(module: ModuleType) -> None:
    def broken() -> dict[str, Any]:
        raise RuntimeError("there is no such thing")

    told = module.result_of("part", broken, time.perf_counter())
    assert (told["check"], told["ok"]) == ("part", False)
    assert told["error"].endswith("RuntimeError: there is no such thing")
    figures = {"ok": True, "nested": {"a": [math.nan, 1.23456]}, "most": math.inf}
    told = module.result_of("part", lambda: dict(figures), time.perf_counter())
    assert list(told)[:3] == ["check", "ok", "seconds"]
    assert told["nested"] == {"a": ["nan", 1.235]} and told["most"] == "inf"


def test_relative_differences(compare: ModuleType) -> None:
    theirs = torch.tensor([3.0, 4.0]).double()
    assert compare.relative(torch.tensor([3.0, 5.0]).double(), theirs) == pytest.approx(1 / 5)
    assert compare.relative(1.5 * theirs, theirs) == pytest.approx(0.5)
    assert compare.along(1.5 * theirs, theirs) == pytest.approx(0.5)
    assert compare.along(theirs + torch.tensor([-4.0, 3.0]), theirs) == pytest.approx(0.0)
    assert compare.relative(theirs * 0, theirs * 0) == 0 and compare.relative(theirs, theirs * 0) == math.inf
    assert math.isnan(compare.relative(theirs * math.nan, theirs))


@pytest.mark.parametrize(
    ("name", "ours", "theirs", "error"),
    [
        ("loss_d", 1.1, 1.0, 0.1),
        ("loss_g", 0.001, -0.001, 0.2),  # of the floor, 0.01
        ("penalty", 2e-5, 1e-5, 1.0),
        ("penalty 3", 2e-5, 1e-5, 1.0),
        ("penalty", None, None, 0.0),
        ("penalty", None, 1.0, math.inf),
        ("penalty", 1.0, 0.0, math.inf),
    ],
)
def test_figures(compare: ModuleType, name: str, ours: float | None, theirs: float | None, error: float) -> None:
    assert compare.figure_error(name, ours, theirs) == pytest.approx(error)


@pytest.mark.parametrize(
    ("gradient", "part_along", "figure", "by_rounding", "good"),
    [
        (0.01, 0.003, 0.001, 0.0, True),  # the base alone: 0.01, a third of it, 0.001
        (0.011, 0.0, 0.0, 0.0, False),
        (0.01, -0.0034, 0.0, 0.0, False),
        (0.0, 0.0, 0.0011, 0.0, False),
        (0.3, 0.1, 0.3, 0.1, True),  # three times what rounding makes, and once of a factor
        (0.31, 0.0, 0.0, 0.1, False),
        (0.3, 0.11, 0.0, 0.1, False),
        (0.0, 0.0, 0.31, 0.1, False),
        (math.nan, 0.0, 0.0, 0.1, False),
        (0.0, 0.0, math.nan, 0.1, False),
    ],
)
def test_what_is_close_enough(
    compare: ModuleType, gradient: float, part_along: float, figure: float, by_rounding: float, good: bool
) -> None:
    precision = compare.Precision(torch.float32, False, 0.0, gradients=0.01, figures=0.001)
    apart = compare.Difference({"generator": gradient}, {"generator": part_along}, {"loss_d": figure})
    alone = compare.Difference({"generator": by_rounding}, {"generator": 0.0}, {"loss_d": by_rounding})
    assert apart.is_within(alone, precision) is good


def test_adam_is_torchs(compare: ModuleType) -> None:
    parameter = nn.Parameter(torch.tensor([1.0, -2.0, 0.5]))
    optimizer = torch.optim.Adam([parameter], 0.1, (0.5, 0.9))
    state = {name: torch.zeros(shape) for name, shape in (("step", ()), ("exp_avg", 3), ("exp_avg_sq", 3))}
    for gradient in (torch.tensor([1.0, -1.0, 1e-9]), torch.tensor([0.2, 3.0, 0.0])):
        expected = compare.adam(parameter.detach().clone(), gradient, state, 0.1, (0.5, 0.9), 1e-8)
        parameter.grad = gradient
        optimizer.step()
        torch.testing.assert_close(parameter.detach().double(), expected, rtol=1e-6, atol=1e-6)
        state = optimizer.state_dict()["state"][0]


def test_layouts(compare: ModuleType) -> None:
    square, point = (torch.empty(4, 3, side, side) for side in (2, 1))
    assert not compare.same_layout(square, square.contiguous(memory_format=torch.channels_last))
    assert compare.same_layout(point, torch.empty(4, 3, 1, 1, memory_format=torch.channels_last))
    assert not compare.same_layout(torch.empty(4, 3), torch.empty(3, 4))


@pytest.fixture
def setting(compare: ModuleType, tmp_path: Path) -> Any:
    """A CPU, networks in small, and a dataset of 20 images of 16×16."""
    pixels = np.random.default_rng(0).integers(0, 256, (20, 16, 16, 3), np.uint8)
    with new_dataset(tmp_path / "dataset", 16) as writer:
        writer.append(pixels, [f"{index}.png" for index in range(20)], ["train"] * 20)
        writer.finish({})
    return compare.Setting(tmp_path / "dataset", torch.device("cpu"), True)


def results_of(module: ModuleType, kind: str, recipe: str, setting: Any) -> dict[str, dict[str, Any]]:
    return {
        name: module.result_of(name, work, time.perf_counter())
        for name, work in module.ITEMS[kind].parts(setting, recipe)
    }


def test_steps_against_the_cpus(
    module: ModuleType, compare: ModuleType, trainers: ModuleType, setting: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = results_of(module, "step", "quick", setting)
    assert results.pop("step:quick tf32")["needs"] == "cuda"
    assert all(result["ok"] for result in results.values()), results
    assert set(results["step:quick fp32"]["gradients"].values()) == {0.0}
    assert results["step:quick bf16"]["gradients"]["generator"] > 0.001

    # A device that takes gradients to be a tenth larger, and rates to be twice as high.
    right, adam = compare.gradients_of, compare.adam
    of_cpu = trainers.Step(setting, "quick")
    monkeypatch.setattr(compare, "gradients_of", lambda network: [1.1 * gradient for gradient in right(network)])
    result = of_cpu.part("fp32")
    assert not result["ok"]
    assert result["along"]["generator"] == pytest.approx(0.1)
    monkeypatch.setattr(compare, "gradients_of", right)
    monkeypatch.setattr(
        compare, "adam", lambda weight, gradient, state, lr, *more: adam(weight, gradient, state, lr / 2, *more)
    )
    assert of_cpu.update("fp32")["updates"]["generator"] == pytest.approx(1.0, abs=0.01)


def test_a_capture_is_seen_to_change_the_trainer_or_to_stand_still(
    trainers: ModuleType, setting: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, dtype = trainers._to_capture(setting, "dcgan")
    good = trainers._captured(setting, recipe, dtype, first=2, steps=3)
    assert good["ok"] and good["changed_by_capture"] == [] and good["graphs"] == 1

    def careless(trainer: Any, first: int, record: Any) -> Any:
        record(lambda: trainer(first))
        return trainer

    monkeypatch.setattr(trainers, "capture", careless)
    changed = trainers._captured(setting, recipe, dtype, first=0, steps=3)
    assert not changed["ok"]
    assert {"generator", "discriminator", "optimizer_g", "optimizer_d"} <= set(changed["changed_by_capture"])

    def stuck(trainer: Any, first: int, record: Any) -> Any:
        with trainer.trial_run():
            record(lambda: trainer(first))
        return lambda number: trainer(first)

    monkeypatch.setattr(trainers, "capture", stuck)
    still = trainers._captured(setting, recipe, dtype, first=0, steps=3)
    assert not still["ok"] and still["changed_by_capture"] == []
    assert still["weights"]["generator"] > 0.05


def test_real_images_and_what_needs_a_gpu(module: ModuleType, setting: Any) -> None:
    results = results_of(module, "two_formats", "", setting)
    assert results["two_formats positions"]["needs"] == "cuda"
    assert results["two_formats pixels"]["ok"] and results["two_formats pixels"]["to_the_bit"]
    for kind in ("memory", "no_sync", "oom", "oom_capped"):
        for result in results_of(module, kind, "dcgan", setting).values():
            assert (result["ok"], result["needs"]) == (None, "cuda")
