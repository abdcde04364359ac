"""Write the page of a GPU machine's results: its checks, speeds, the curve of its training run and its faces."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from facegen.errors import InputError
from facegen.files import atomic_path, write_text
from facegen.training.log import with_score

Line = dict[str, Any]
#: Keys of a check's line that have a column of the table.
PLAIN = ("check", "ok", "seconds", "error")
DEVICE = "device"
#: The extractor that scores runs of gpu_train.py.
METRIC = "effnet-lite0 FD"


def write_report(out: Path, page: Path) -> None:
    """Write ``page`` and its pictures beside it, from the results in ``out``.

    A part that is absent is reported as missing. Raise InputError if all are.
    """
    checks, speeds = read_lines(out / "check.jsonl"), read_lines(out / "speed.jsonl")
    path = out / "train.json"
    training = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    if not checks and not speeds and training is None:
        raise InputError(f"{out} holds no results of gpu.py.", "Name the folder that it wrote to.")
    parts = ["# On a GPU", machine(checks), *check_part(checks), *speed_part(speeds)]
    parts += ["## Training", *training_part(training)]
    if training is not None and "error" not in training:
        stem = page.parent / page.stem
        draw_curve(training["log"], stem.with_name(f"{stem.name}-curve.png"))
        parts.append(f"![Score and losses by minutes]({page.stem}-curve.png)")
        if (out / "grid.png").is_file():
            with atomic_path(stem.with_name(f"{stem.name}-grid.png")) as temporary:
                temporary.write_bytes((out / "grid.png").read_bytes())
            parts.append(f"![64 faces, unpicked]({page.stem}-grid.png)")
    parts.append("All of it was measured by `scripts/bench/gpu.py all`, and this page written by its `report`.")
    write_text(page, "\n\n".join(parts) + "\n")


def read_lines(path: Path) -> list[Line]:
    """Return the lines of JSON in a file, without a last one that was cut short; none if there is no file."""
    if not path.is_file():
        return []
    whole, _, _ = path.read_text(encoding="utf-8").rpartition("\n")
    return [json.loads(line) for line in whole.splitlines() if line]


def machine(checks: list[Line]) -> str:
    for line in checks:
        if line["check"] == DEVICE and line["ok"]:
            told = {key: value for key, value in line.items() if key not in PLAIN}
            return "; ".join(f"{key} {_shown(value)}" for key, value in told.items()) + "."
    return "The machine did not say what it is."


def check_part(checks: list[Line]) -> list[str]:
    if not checks:
        return ["## Checks", "None came back."]
    words = {True: "good", False: "**bad**", None: "not made"}
    rows = []
    for line in checks:
        figures = {key: value for key, value in line.items() if key not in PLAIN}
        told = [f"{key} {_shown(value)}" for key, value in figures.items()] if line["check"] != DEVICE else []
        told += [str(line["error"])] if line.get("error") else []
        rows.append([line["check"], words[line["ok"]], "; ".join(told)])
    count = sum(line["ok"] is True for line in checks)
    return [
        "## Checks",
        f"{count} of {len(checks)} are good. `scripts/bench/gpu_check.py` says how each is made.",
        table(["check", "", "figures"], rows),
    ]


def speed_part(speeds: list[Line]) -> list[str]:
    if not speeds:
        return ["## Speeds", "None came back."]
    columns = {
        "images_per_sec": "images/s",
        "ms_per_step": "ms a step",
        "memory_gib": "GiB",
    }
    rows, others = [], []
    for line in speeds:
        recipe, batch, form = line["case"].split(":")
        if "images_per_sec" in line:
            rows.append([recipe, batch, form, *(_shown(line.get(key)) for key in columns)])
        else:
            told = [f"{key} {_shown(value)}" for key, value in line.items() if key not in ("case", "seconds")]
            others.append(f"- `{line['case']}`: {', '.join(told)}.")
    parts = ["## Speeds", "In a profile, busy is the share of the time in which one of the GPU's kernels was running."]
    parts.append(table(["recipe", "batch", "form", *columns.values()], rows))
    return parts + (["\n".join(others)] if others else [])


def training_part(training: Line | None) -> list[str]:
    if training is None:
        return ["No run came back."]
    if "error" in training:
        return [f"The run failed: {training['error']}"]
    recipe, log = training["recipe"], training["log"]
    last = log[-1]
    told = [
        f"`{recipe['name']}` for {recipe['minutes']:.1f} minutes: {training['kimg']:,.0f} kimg",
        f"{last['images_per_sec']:,.0f} images a second in the end",
        f"{last['aside_seconds']:.0f} s of {last['seconds'] + last['aside_seconds']:.0f} beside training (compiler, "
        "capture, scores and files)",
    ]
    scored = [tick for tick in map(with_score, log) if "score" in tick]
    rows = [[f"{_minutes(tick):.1f}", f"{tick['kimg']:,.0f}", f"{tick['score']:.1f}"] for tick in scored]
    said = [f"- {line}" for line in training.get("said") or []]
    return [
        "; ".join(told) + ".",
        table(["minutes", "kimg", METRIC], rows),
        *(["What it said:", "\n".join(said)] if said else []),
    ]


def _minutes(tick: Line) -> float:
    """Return the minutes of the run until the tick."""
    minutes: float = (tick["seconds"] + tick["aside_seconds"]) / 60
    return minutes


def table(heads: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""

    def line(cells: list[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    return "\n".join(map(line, [heads, ["---"] * len(heads), *rows]))


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 100 else f"{value:,.0f}"
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    return str(value)


def draw_curve(log: list[Line], path: Path) -> None:
    """Draw the averaged generator's score and the losses over the minutes of the run."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    minutes = [_minutes(tick) for tick in log]
    figure, (above, below) = plt.subplots(2, 1, figsize=(7, 6), sharex=True)
    scored = [(_minutes(tick), tick["score"]) for tick in map(with_score, log) if "score" in tick]
    above.plot(*zip(*scored, strict=True) if scored else ([], []), marker="o")
    above.set_ylabel(METRIC)
    above.set_yscale("log")
    for name, label in (("loss_d", "D"), ("loss_g", "G")):
        below.plot(minutes, [tick[name] for tick in log], label=label)
    below.set_ylabel("loss")
    below.set_xlabel("minutes")
    below.legend()
    for axes in (above, below):
        axes.grid(alpha=0.3)
    figure.tight_layout()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)
    plt.close(figure)
