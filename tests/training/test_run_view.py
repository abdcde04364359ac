"""A run as who watches it sees it: its figures, its state, what is damaged, and that nothing is printed."""

from __future__ import annotations

import itertools
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegen.errors import InputError
from facegen.locks import sole_use
from facegen.training import run_view
from facegen.training.grids import Grid, log_places, spread_grids
from facegen.training.recipe import load_recipe
from facegen.training.run_view import RunReader, RunScore, read_run


def tick(kimg: float, **more: Any) -> dict[str, Any]:
    return {"kimg": kimg, "images_per_sec": 100.0, "seconds": 10 * kimg, "aside_seconds": kimg, **more}


def write_log(run: Path, *ticks: dict[str, Any], mode: str = "w") -> None:
    with (run / "log.jsonl").open(mode) as file:
        file.write("".join(json.dumps(each) + "\n" for each in ticks))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run to 10 kimg with three ticks and two scores."""
    run = tmp_path / "run"
    (run / "samples").mkdir(parents=True)
    (run / "recipe.toml").write_text(load_recipe("quick").with_overrides({"kimg": 10.0}).to_toml())
    scores = ({"score": 50.0, "metric": "FID"}, {}, {"score": 40.0, "metric": "FID"})
    write_log(run, *(tick(kimg, **score) for kimg, score in zip((1.0, 2.0, 3.0), scores, strict=True)))
    for kimg in (2.0, 1.0):
        (run / "samples" / f"kimg-{kimg:010.3f}.png").touch()
    (run / "samples" / "other.png").touch()
    return run


def test_what_its_files_say(run: Path) -> None:
    view = read_run(str(run))
    assert view.recipe is not None and (view.recipe.name, view.total_kimg) == ("quick", 10.0)
    assert (view.kimg, view.progress, view.images_per_sec) == (3.0, 0.3, 100.0)
    assert (view.seconds, view.aside_seconds) == (30.0, 3.0)
    assert (view.metric, view.scores) == ("FID", (RunScore(1.0, 50.0), RunScore(3.0, 40.0)))
    assert view.best == RunScore(3.0, 40.0)
    assert [grid.kimg for grid in view.grids] == [1.0, 2.0]
    assert (view.rollback, view.remarks) == (None, ())


class TestState:
    def test_nobody_trains_it(self, run: Path) -> None:
        view = read_run(run)
        assert (view.state, view.seconds_left) == ("stopped", None)

    def test_a_process_trains_it(self, run: Path) -> None:
        with sole_use(run, "trains"):
            view = read_run(run)
        # 7 kimg are left, of 11 seconds each.
        assert (view.state, view.seconds_left) == ("training", pytest.approx(77.0))

    def test_its_length_is_reached(self, run: Path) -> None:
        write_log(run, tick(10.0))
        assert read_run(run).state == "finished"

    def test_by_the_clock(self, run: Path) -> None:
        recipe = load_recipe("quick").with_overrides({"minutes": 1.1})
        (run / "recipe.toml").write_text(recipe.to_toml())
        with sole_use(run, "trains"):
            view = read_run(run)
        assert (view.progress, view.seconds_left) == (pytest.approx(0.5), pytest.approx(33.0))
        write_log(run, tick(6.0))
        assert read_run(run).state == "finished"

    def test_it_is_just_beginning(self, tmp_path: Path) -> None:
        (tmp_path / "run").mkdir()
        with sole_use(tmp_path / "run", "trains"):
            view = read_run(tmp_path / "run")
        assert (view.state, view.recipe, view.ticks, view.kimg, view.last_tick) == ("beginning", None, (), 0.0, None)

    @pytest.mark.parametrize(("age", "state"), [(60, "training"), (3600, "stopped")])
    def test_without_locks_the_age_of_the_last_tick_tells(
        self, run: Path, monkeypatch: pytest.MonkeyPatch, age: float, state: str
    ) -> None:
        monkeypatch.setattr(run_view, "is_held", lambda path: None)
        os.utime(run / "log.jsonl", (time.time() - age,) * 2)
        assert read_run(run).state == state


class TestDamage:
    def test_lines_that_are_no_ticks_are_said_and_not_printed(
        self, run: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with (run / "log.jsonl").open("a") as file:
            file.write('nonsense\n{"kimg": null}\n{"kimg": 4.0}\n')
        view = read_run(run)
        assert view.kimg == 4.0 and view.remarks == (f"{run / 'log.jsonl'} is damaged: lines 4, 5 are left out.",)
        assert capsys.readouterr() == ("", "")

    def test_a_last_line_that_is_being_written_is_left_for_later(self, run: Path) -> None:
        reader = RunReader(run)
        with (run / "log.jsonl").open("a") as file:
            file.write('{"kimg": 4')
            file.flush()
            half = reader.read()
            file.write(".0}\n")
        assert (half.kimg, half.remarks, reader.read().kimg) == (3.0, (), 4.0)

    def test_figures_that_are_none_are_none(self, run: Path) -> None:
        write_log(run, tick(1.0, score=True, metric=3), tick(2.0, score="x"), {"kimg": 3.0, "images_per_sec": None})
        view = read_run(run)
        assert (view.scores, view.images_per_sec) == ((), 100.0)

    @pytest.mark.parametrize("text", ["kimg = ", 'name = "x"\n'])
    def test_a_damaged_recipe_is_one_sentence(self, run: Path, text: str) -> None:
        (run / "recipe.toml").write_text(text)
        view = read_run(run)
        assert view.recipe is None and view.kimg == 3.0 and view.state == "stopped"
        (remark,) = view.remarks
        assert str(run / "recipe.toml") in remark

    @pytest.mark.parametrize("text", ["", "[]", '{"from_kimg": 1}', '{"from_kimg": 3, "to_kimg": 1, "ticks": 3}'])
    def test_a_damaged_rollback_is_one_sentence(self, run: Path, text: str) -> None:
        (run / "rollback.json").write_text(text)
        view = read_run(run)
        assert view.rollback is None and view.remarks == (
            f"{run / 'rollback.json'} is damaged, so the rollback of the run is not shown.",
        )


def test_a_rollback(run: Path) -> None:
    told = {"from_kimg": 3, "to_kimg": 1.0, "reason": "It had collapsed.", "rate_factor": 0.5, "ticks": [tick(2.0), 7]}
    (run / "rollback.json").write_text(json.dumps({**told, "ticks": [tick(2.0), {}]}))
    rollback = read_run(run).rollback
    assert rollback is not None and (rollback.from_kimg, rollback.to_kimg, rollback.rate_factor) == (3.0, 1.0, 0.5)
    assert rollback.reason == "It had collapsed." and [each["kimg"] for each in rollback.ticks] == [2.0]


def test_scores_of_another_network_are_left_out_and_said(run: Path) -> None:
    write_log(run, tick(4.0, score=9.0, metric="effnet-lite0 FD"), mode="a")
    view = read_run(run)
    assert (view.metric, view.scores) == ("effnet-lite0 FD", (RunScore(4.0, 9.0),))
    assert view.remarks == ("2 earlier scores are by another network and left out.",)


class TestReader:
    def test_what_was_read_is_not_parsed_again(self, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        reader = RunReader(run)
        first = reader.read()
        write_log(run, tick(4.0), mode="a")
        parsed: list[int] = []
        real = run_view.parse_lines
        monkeypatch.setattr(run_view, "parse_lines", lambda lines, n: parsed.append(len(lines)) or real(lines, n))
        assert [each["kimg"] for each in reader.read().ticks] == [1.0, 2.0, 3.0, 4.0] and parsed == [1]
        assert len(first.ticks) == 3

    def test_a_log_that_was_cut_is_read_anew(self, run: Path) -> None:
        reader = RunReader(run)
        reader.read()
        write_log(run, tick(1.0), tick(1.5))
        assert [each["kimg"] for each in reader.read().ticks] == [1.0, 1.5]

    def test_a_log_that_was_replaced_by_a_longer_one_is_read_anew(self, run: Path) -> None:
        reader = RunReader(run)
        reader.read()
        (run / "log.jsonl").rename(run / "old")
        write_log(run, *(tick(kimg / 2) for kimg in range(1, 9)))
        assert [each["kimg"] for each in reader.read().ticks] == [kimg / 2 for kimg in range(1, 9)]


class TestNoRun:
    def test_nothing(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"There is no run .*nowhere"):
            read_run(tmp_path / "nowhere")

    def test_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(InputError, match="is a file, not a run"):
            read_run(tmp_path / "file")

    def test_a_folder_of_something_else(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"is not a run: it has neither recipe\.toml nor log\.jsonl"):
            read_run(tmp_path)

    def test_a_folder_of_runs_names_them(self, run: Path) -> None:
        with pytest.raises(InputError, match=f"Name the runs in it instead: {run}"):
            read_run(run.parent)


class TestSpread:
    GRIDS = tuple(Grid(10.0 * place, Path(str(place))) for place in range(1, 101))

    def test_early_grids_are_denser(self) -> None:
        kimgs = [grid.kimg for grid in spread_grids(self.GRIDS, 10)]
        gaps = [b - a for a, b in itertools.pairwise(kimgs)]
        assert kimgs[0] == 10 and kimgs[-1] == 1000 and gaps == sorted(gaps)

    def test_few_stay(self) -> None:
        assert spread_grids(self.GRIDS[:5], 5) == list(self.GRIDS[:5])

    @given(st.lists(st.floats(0, 1e6, allow_nan=False), unique=True, max_size=30), st.integers(2, 12))
    def test_as_many_as_asked_in_order_with_both_ends(self, kimgs: list[float], most: int) -> None:
        grids = [Grid(kimg, Path("x")) for kimg in sorted(kimgs)]
        chosen = spread_grids(grids, most)
        assert len(chosen) == min(most, len(grids)) and sorted(set(chosen), key=lambda grid: grid.kimg) == chosen
        if grids:
            assert (chosen[0], chosen[-1]) == (grids[0], grids[-1])

    def test_places(self) -> None:
        # log(1 + (kimg - 10) / 10) of 10, 20, 40 and 80 is 0, 1, 2 and 3 times log 2.
        assert log_places([10, 20, 40, 80]) == pytest.approx([0, 1 / 3, 2 / 3, 1])
