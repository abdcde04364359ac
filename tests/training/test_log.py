from __future__ import annotations

import json
from pathlib import Path

import pytest

from facegen.training.log import LOG, TrainingLog, describe_tick, read_log


def test_a_tick_tells_the_figures_of_the_interface() -> None:
    tick: dict[str, float | str | None] = {
        "kimg": 12.0,
        "sec_per_kimg": 3.5,
        "images_per_sec": 285.7,
        "loss_d": 1.2,
        "loss_g": 0.9,
        "d_real": 0.61,
        "d_fake": 0.42,
        "memory_gib": None,
        "score": 123.456,
        "metric": "effnet-lite0 FD",
    }
    line = describe_tick(tick)
    for part in ("kimg 12.0", "sec/kimg 3.50", "286 images/s", "loss D 1.200 G 0.900", "D(x) 0.61", "D(G(z)) 0.42"):
        assert part in line
    assert line.endswith("effnet-lite0 FD 123.46") and "memory" not in line


#: As a run wrote its ticks before there was ``score``: in whatever network's features, the value was under ``fid``.
FORMER = [{"kimg": 1.0, "loss_d": 1.3}, {"kimg": 2.0, "loss_d": 1.2, "fid": 45.6}]


def write_log(run: Path, ticks: list[dict[str, float]]) -> None:
    run.mkdir()
    (run / LOG).write_text("".join(json.dumps(tick) + "\n" for tick in ticks), encoding="utf-8")


def test_a_former_logs_scores_are_read_by_their_present_name(tmp_path: Path) -> None:
    write_log(tmp_path / "run", FORMER)
    assert read_log(tmp_path / "run") == [FORMER[0], {"kimg": 2.0, "loss_d": 1.2, "score": 45.6, "metric": None}]


def test_a_run_that_goes_on_leaves_the_lines_of_a_former_log_as_they_are(tmp_path: Path) -> None:
    write_log(tmp_path / "run", FORMER)
    new = {"kimg": 3.0, "loss_d": 1.1, "score": 40.0, "metric": "FID", "fid": 40.0}
    with TrainingLog(tmp_path / "run", 2.0) as log:
        log.tick(new)
    lines = (tmp_path / "run" / LOG).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [*FORMER, new]
    assert read_log(tmp_path / "run")[-1] == new


def test_a_line_that_is_no_tick_is_left_out_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_log(tmp_path / "run", FORMER)
    path = tmp_path / "run" / LOG
    odd = (b'{"kimg": 0.5\xff}', b"[]", b'{"loss_d": 1}', b"[" * 100_000, b'{"kimg": 1' + b"0" * 400 + b"}")
    path.write_bytes(b"\n".join(odd) + b"\n\n" + path.read_bytes() + b'{"kimg": 3')
    assert [tick["kimg"] for tick in read_log(tmp_path / "run")] == [1.0, 2.0]
    assert "log.jsonl is damaged: lines 1, 2, 3, 4, 5 are left out." in capsys.readouterr().err


@pytest.mark.parametrize(("kimg", "said"), [(2.0, False), (3.0, True)])
def test_a_log_that_was_cut_is_said_when_the_run_goes_on(
    kimg: float, said: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_log(tmp_path / "run", FORMER)
    with TrainingLog(tmp_path / "run", kimg):
        pass
    assert ("log.jsonl has no tick of kimg 3, from which the run continues" in capsys.readouterr().err) is said


def test_what_is_not_finite_is_null_and_a_dash(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with TrainingLog(tmp_path / "run", 0) as log:
        log.tick({"kimg": 1.0, "loss_d": float("nan"), "penalty": float("inf"), "spread": None})
    (line,) = (tmp_path / "run" / LOG).read_text(encoding="utf-8").splitlines()
    assert line == '{"kimg": 1.0, "loss_d": null, "penalty": null, "spread": null}'
    assert "loss D - G -" in describe_tick(json.loads(line))


def test_a_line_that_a_killed_process_cut_off_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_log(tmp_path / "run", FORMER)
    with (tmp_path / "run" / LOG).open("a") as file:
        file.write('{"kimg": 3.0, "lo')
    with TrainingLog(tmp_path / "run", 2.0):
        pass
    assert "is cut off, as when a process is killed" in capsys.readouterr().err.replace("\n", " ")
