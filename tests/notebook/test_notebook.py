"""What a notebook sees: with a kernel and a page that are made up, as IPython has them."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from facegen import console, notebook
from facegen.data.dataset import new_dataset
from facegen.errors import InputError
from facegen.notebook import live
from facegen.notebook.live import Output
from facegen.stages.train import train
from facegen.training import loop
from facegen.training.log import TrainingLog
from facegen.training.notebook_board import NotebookBoard, _shown, run_parts, training_charts
from facegen.training.recipe import load_recipe
from facegen.training.stopping import Stopped
from facegen.training.trainer import Trainer


class Page:
    """The outputs of a cell, oldest first, each as it was last sent; ``sent`` counts."""

    def __init__(self) -> None:
        self.outputs: list[dict[str, str]] = []
        self.sent = 0
        self.fails: Exception | None = None

    def display(self, bundle: dict[str, str], *, raw: bool, display_id: bool) -> Any:
        assert raw and display_id
        place = len(self.outputs)
        self.outputs.append({})

        def update(bundle: dict[str, str], *, raw: bool) -> None:
            assert raw
            self.sent += 1
            if self.fails is not None:
                raise self.fails
            self.outputs[place] = bundle

        update(bundle, raw=True)
        return SimpleNamespace(update=update)

    @property
    def html(self) -> str:
        return "".join(output["text/html"] for output in self.outputs)


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The shell of a kernel, by which a notebook is known."""
    made = SimpleNamespace(kernel=object(), execution_count=1)
    ipython = ModuleType("IPython")
    ipython.get_ipython = lambda: made  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    return made


@pytest.fixture
def page(shell: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    made = Page()
    display = ModuleType("IPython.display")
    display.display = made.display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    yield made
    notebook.on()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(live, "monotonic", lambda: now[0])
    return now


class TestWhereItIsOn:
    def test_in_a_kernel_until_it_is_switched_off(self, page: Page) -> None:
        assert notebook.is_on()
        notebook.off()
        assert not notebook.is_on()
        notebook.on()
        assert notebook.is_on()

    def test_not_in_a_terminal(self, shell: SimpleNamespace) -> None:
        del shell.kernel
        assert not notebook.is_on()

    def test_not_in_plain_python_which_imports_no_ipython(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delitem(sys.modules, "IPython", raising=False)
        assert not notebook.is_on() and "IPython" not in sys.modules


class TestBar:
    def test_it_is_one_output_that_says_what_is_done_the_rate_and_the_time_left(
        self, page: Page, clock: list[float]
    ) -> None:
        with console.progress("Sampling <b>", 1000) as task:
            for _ in range(6):
                clock[0] += 30
                task.advance(100)
            assert page.outputs[0]["text/plain"] == "Sampling <b>: 600 of 1,000 images · 3 images/s · 2 minutes left"
            assert "Sampling &lt;b&gt;" in page.html and "width:60.0%" in page.html
        assert len(page.outputs) == 1
        assert page.outputs[0]["text/plain"].endswith("done in 3 minutes")

    def test_a_page_is_sent_a_state_a_second_at_most(self, page: Page, clock: list[float]) -> None:
        with console.progress("Sampling", 1000) as task:
            for _ in range(1000):
                clock[0] += 0.01
                task.advance()
        assert 10 <= page.sent <= 12

    def test_what_is_done_at_once_leaves_nothing(self, page: Page, clock: list[float]) -> None:
        with console.progress("Sampling", 2) as task:
            clock[0] += 0.4
            task.advance(2)
        assert page.outputs == []

    def test_what_is_stopped_says_so(self, page: Page, clock: list[float]) -> None:
        with pytest.raises(KeyboardInterrupt), console.progress("Sampling", 10) as task:
            clock[0] += 60
            task.advance()
            raise KeyboardInterrupt
        assert page.outputs[0]["text/plain"] == "Sampling: 1 of 10 images · 0 images/s · stopped after 1 minute"

    def test_one_inside_another_is_silent(self, page: Page, clock: list[float]) -> None:
        with console.progress("Outer", 10) as outer, console.progress("Inner", 10) as inner:
            clock[0] += 5
            inner.advance()
            outer.advance()
        assert len(page.outputs) == 1 and "Inner" not in page.html

    def test_off_means_lines_on_stderr(self, page: Page, capsys: pytest.CaptureFixture[str]) -> None:
        notebook.off()
        with console.progress("Sampling", 10) as task:
            task.advance(10)
        console.info("A line.")
        assert page.outputs == [] and capsys.readouterr() == ("", "A line.\n")


class TestMessages:
    def test_they_are_text_on_stdout_where_nothing_is_live(
        self, page: Page, capsys: pytest.CaptureFixture[str]
    ) -> None:
        console.info("A line.")
        console.warn("Mind this.")
        assert capsys.readouterr() == ("A line.\nwarning: Mind this.\n", "") and page.outputs == []

    def test_a_live_display_has_the_last_of_them_and_every_warning(
        self, page: Page, clock: list[float], capsys: pytest.CaptureFixture[str]
    ) -> None:
        with console.progress("Work", 10) as task:
            clock[0] += 1
            task.advance()
            console.warn("Mind <i>this</i>.")
            for number in range(9):
                console.info(f"Line {number}.")
        assert capsys.readouterr() == ("", "")
        assert "warning: Mind &lt;i&gt;this&lt;/i&gt;." in page.html
        assert "Line 8." in page.html and "Line 4." not in page.html

    def test_those_before_it_shows_anything_are_printed(
        self, page: Page, clock: list[float], capsys: pytest.CaptureFixture[str]
    ) -> None:
        with console.progress("Work", 10):
            console.info("At once.")
        assert capsys.readouterr().out == "At once.\n"


def test_a_page_that_cannot_be_sent_anything_is_said_once_and_the_work_goes_on(
    page: Page, clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    page.fails = RuntimeError("the socket is closed")
    with console.progress("Work", 10) as task:
        for _ in range(5):
            clock[0] += 2
            task.advance()
        console.info("Further.")
    said = capsys.readouterr().out
    assert said.count("the socket is closed") == 1 and said.endswith("Further.\n") and page.sent == 1


def test_an_error_is_its_sentence_in_place_of_a_traceback() -> None:
    assert InputError("There is no a\nb.", "Name another.")._render_traceback_() == [
        "InputError: There is no a\\u000ab. Name another."
    ]


TICKS = [
    {"kimg": 10.0, "loss_d": 1.5, "loss_g": 0.5, "score": 300.0, "metric": "FID"},
    {"kimg": 20.0, "loss_d": 1.0, "loss_g": 0.7},
    {"kimg": 30.0, "loss_d": 0.9, "loss_g": 0.8, "score": 30.0, "metric": "FID"},
]


class TestCharts:
    def test_scores_and_losses_are_lines_and_the_lowest_score_is_named(self) -> None:
        charts = training_charts(TICKS)
        assert charts.count("<svg") == 2 and charts.count("<polyline") == 3
        assert ">FID<" in charts and ">lowest 30 at 30 kimg<" in charts and ">loss of D<" in charts

    def test_scores_of_another_network_are_no_part_of_the_curve(self) -> None:
        other = {"kimg": 40.0, "score": 9.0, "metric": "effnet-lite0 FD"}
        assert "lowest 9 at 40 kimg" in training_charts([*TICKS, other])

    def test_what_there_is_none_of_is_left_out(self) -> None:
        assert training_charts(TICKS[1:2]).count("<svg") == 1 and training_charts([]).count("<svg") == 0

    def test_ten_thousand_ticks_are_a_short_piece_of_a_page(self) -> None:
        ticks = [{"kimg": float(kimg), "loss_d": kimg % 7, "loss_g": kimg % 5} for kimg in range(10_000)]
        assert len(training_charts(ticks)) < 20_000


class TestBoard:
    @pytest.fixture
    def run(self, tmp_path: Path) -> Path:
        (tmp_path / "samples").mkdir()
        return tmp_path

    def board(self, run: Path, seen: int = 0) -> NotebookBoard:
        return NotebookBoard(run, load_recipe("quick"), seen)

    def grid(self, run: Path, name: str = "kimg-000030.000.png") -> Path:
        from facegen.pictures.contact_sheet import save_png

        save_png(run / "samples" / name, np.zeros((8, 8, 3), np.uint8))
        return run / "samples" / name

    def test_bar_curves_and_messages_are_one_output_and_the_grid_another(
        self, page: Page, clock: list[float], run: Path
    ) -> None:
        board = self.board(run)
        with console.progress("Training quick", 40_000) as task:
            for tick in TICKS:
                clock[0] += 2
                task.advance(10_000)
                board.add(int(tick["kimg"] * 1000), {key: tick[key] for key in tick if key != "kimg"})
            board.picture(30_000, self.grid(run))
        board.close()
        assert len(page.outputs) == 2 and page.outputs[0]["text/plain"].startswith("Training quick: 30 of 40 kimg")
        assert page.outputs[0]["text/html"].count("<polyline") == 3
        assert "data:image/png;base64," in page.outputs[1]["text/html"] and "after 30 kimg" in page.html

    def test_a_run_that_goes_on_shows_what_it_was(self, page: Page, clock: list[float], run: Path) -> None:
        with TrainingLog(run, 0) as log:
            for tick in TICKS:
                log.tick(tick)
        self.grid(run)
        self.board(run, 20_000).close()
        assert "lowest 300 at 10 kimg" in page.html and "after 30 kimg" in page.html

    def test_a_run_that_goes_back_loses_what_came_after(self, page: Page, clock: list[float], run: Path) -> None:
        board = self.board(run)
        for step, score in ((10_000, 50.0), (20_000, 9.0), (15_000, 40.0)):
            board.add(step, {"score": score, "metric": "FID"})
        board.close()
        assert "lowest 40 at 15 kimg" in page.html

    def test_a_score_that_comes_late_completes_its_tick(self, page: Page, clock: list[float], run: Path) -> None:
        board = self.board(run)
        board.add(10_000, {"loss_d": 1.0, "loss_g": 1.0})
        board.add(10_000, {"score": 7.0, "metric": "FID"})
        board.close()
        assert "lowest 7 at 10 kimg" in page.html and "loss of D" in page.html

    def test_the_result_does_not_repeat_what_its_own_cell_has_shown(
        self, page: Page, shell: SimpleNamespace, clock: list[float], run: Path
    ) -> None:
        self.board(run).close()
        assert run_parts(run) == ()
        shell.execution_count += 1
        assert len(run_parts(run)) == 2
        _shown.clear()


def test_an_output_holds_its_last_state_alone(page: Page) -> None:
    output = Output()
    for number in range(100):
        output.show(f"<p>{number}</p>", str(number))
    assert page.outputs == [{"text/html": "<p>99</p>", "text/plain": "99"}]
    assert not re.search("<script", page.html)


class TestTraining:
    @pytest.fixture
    def small(self, tmp_path: Path) -> dict[str, Any]:
        """A dataset of noise, and what makes a run of it quick."""
        pixels = np.random.default_rng(0).integers(0, 256, (20, 16, 16, 3), np.uint8)
        with new_dataset(tmp_path / "dataset", 16) as writer:
            writer.append(pixels, [f"{index}.png" for index in range(20)], ["train"] * 20)
            writer.finish({})
        fields = {"generator_width": 2, "discriminator_width": 2, "batch": 8, "precision": "fp32", "score_every": 0.0}
        return {
            "dataset": tmp_path / "dataset",
            "run": tmp_path / "run",
            "recipe": "quick",
            "overrides": fields,
            "boards": (),
        }

    def test_a_run_by_the_clock_that_goes_on_knows_its_end(
        self, small: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        train(**{**small, "overrides": {**small["overrides"], "minutes": 0.002}})
        totals = []

        def progress(description: str, total: float | None, **others: Any) -> None:
            totals.append(total)
            raise KeyboardInterrupt

        monkeypatch.setattr(console, "progress", progress)
        with pytest.raises(KeyboardInterrupt):
            train(**{**small, "overrides": {**small["overrides"], "minutes": 60.0}})
        assert totals[0] is not None

    def test_a_run_that_goes_back_has_a_display_for_each_time(
        self, page: Page, small: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Collapsing(Trainer):
            """Its images are alike from the ninth step on, unless its rates are lower than the recipe's."""

            steps = 0

            def _figures(self, *words: Any) -> dict[str, torch.Tensor]:
                Collapsing.steps += 1
                is_collapse = self._inputs.rate_factor == 1 and Collapsing.steps > 8
                return {**super()._figures(*words), "spread": torch.tensor(0.01 if is_collapse else 0.5)}

        monkeypatch.setattr(loop, "Trainer", Collapsing)
        fields = {**small["overrides"], "kimg": 0.128, "tick_kimg": 0.008, "checkpoint_every": 0.032}
        train(**{**small, "overrides": fields})
        first, second = (each["text/plain"] for each in page.outputs if each["text/plain"].startswith("Training"))
        assert "0.088 of 0.128 kimg" in first and "stopped" in first
        assert "0.128 of 0.128 kimg" in second and "done" in second

    def test_quiet_shows_nothing(self, page: Page, small: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(console, "_verbosity", console.QUIET)
        train(**{**small, "overrides": {**small["overrides"], "kimg": 0.008}})
        assert page.outputs == []

    def test_a_stop_is_a_sentence_in_place_of_a_traceback(self) -> None:
        assert Stopped()._render_traceback_() == ["Stopped and saved. Run the same cell again to continue."]


def test_importing_facegen_and_its_console_imports_no_ipython() -> None:
    source = "import facegen, facegen.console, facegen.notebook, sys; sys.exit('IPython' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", source], check=False).returncode == 0
