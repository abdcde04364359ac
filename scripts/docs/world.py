"""Make the folder in which a page's commands run. It has everything that pages name, tiny and of drawn faces.

:func:`make_world` makes it once. :func:`shrunk` makes every command small: a command line is parsed and carried out
as written, but a training has two steps, a network a few thousand weights, and a submission eight images.
"""

from __future__ import annotations

import contextlib
import csv
import functools
import io
import os
import re
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import facegen
from facegen import console, notebook
from facegen.cnn.registry import ARCHITECTURES
from facegen.data.synthetic import render_faces
from facegen.extractors import opening
from facegen.extractors import table as extractor_table
from facegen.grading.flags.table import FLAGS
from facegen.metrics import extrapolation
from facegen.metrics.denormalisation import PixelValues
from facegen.scoring import evaluation, metric_table, scorer
from facegen.stages import autograder, grade, pack, plan, prepare, run, sample, timelapse, train
from facegen.submission import rules
from facegen.training import outputs, starting
from facegen.training import recipe as recipes
from facegen.watching.server import WatchServer

#: Number of images in a submission, and the most in a sample.
IMAGES = 8
#: Length of a training, in thousands of images: two steps.
KIMG = 0.016
_open = opening._open
#: Values of options that a command line does not set.
VARIABLES = {
    "FACEGEN_OFFLINE": "1",
    "FACEGEN_SAMPLE_N": str(IMAGES),
    "FACEGEN_RUN_KIMG": str(KIMG),
    "FACEGEN_RUN_DEVICE": "cpu",
    "FACEGEN_PREPARE_WORKERS": "1",
    "FACEGEN_GRADE_WORKERS": "1",
    "FACEGEN_TRAIN_DEVICE": "cpu",
    "FACEGEN_INTERPOLATE_ROWS": "2",
    "FACEGEN_INTERPOLATE_STEPS": "3",
    "FACEGEN_TIMELAPSE_SECONDS": "0.2",
    "FACEGEN_DOCTOR_QUICK": "1",
}
_SMALL = {
    "generator": "dcgan_generator",
    "generator_width": 2,
    "discriminator": "dcgan_discriminator",
    "discriminator_width": 2,
    "discriminator_norm": "none",
    "features": "",
    "moments_weight": 0.0,
    "batch": 8,
    "precision": "fp32",
    "compile": False,
    "score_every": 0.0,
    "score_images": IMAGES,
}
#: Contents of the world, in the words of the pages.
_ROSTER = ["s1234567", "20230001", "20230002", "20230003", "20230004"]
_RUBRIC = """\
timezone = "Asia/Seoul"
[[bands]]
below = 20.0
points = 100
[[bands]]
points = 20
[late]
deadline = 2026-11-20T23:59:00
per_day = 10
"""


@contextlib.contextmanager
def shrunk(provided: set[Path]) -> Iterator[pytest.MonkeyPatch]:
    """Make facegen's commands and functions small until the block ends, and undo what a page registers.

    Args:
        provided: The outputs that the world provides. A stage that writes to one finds it absent, because the
            page did not make it.
    """
    tables: tuple[dict[str, Any], ...] = (ARCHITECTURES, extractor_table._TABLE, FLAGS, metric_table._TABLE)
    before, modules, path = [dict(table) for table in tables], set(sys.modules), list(sys.path)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**VARIABLES, "FACEGEN_CACHE": str(Path.cwd() / ".cache")}.items():
            patch.setenv(name, value)
        for module in (starting, run):
            patch.setattr(module, "load_recipe", _small_recipe)
        for module in (autograder, grade, pack, run):
            patch.setattr(module, "limits_for", _small_limits)
        patch.setattr(run, "LIMITS", replace(rules.LIMITS, count=IMAGES))
        patch.setattr(run, "seconds_of_training", lambda recipe, size, device: 600.0)  # else it trains for five seconds
        patch.setattr(WatchServer, "serve_forever", _serve_once)
        patch.setattr(outputs, "STANDING_LATENTS", 64)
        patch.setattr(opening, "_open", _open_once)
        for module, fewest in ((evaluation, "FEWEST"), (scorer, "FEWEST"), (extrapolation, "_FEWEST")):
            patch.setattr(module, fewest, IMAGES)
        # The images of an untrained generator would raise these warnings.
        patch.setattr(PixelValues, "sign", lambda values: None)
        shrinks: dict[Any, tuple[str, Callable[[dict[str, Any]], object]]] = {
            prepare: ("dataset", _few_drawn),
            train: ("run", _short),
            plan: ("run", lambda given: given.update(seconds=0.2)),
            timelapse: ("", lambda given: given.update(seconds=0.2)),
            sample: ("images", lambda given: given.update(n=min(given.get("n", IMAGES), IMAGES))),
            grade: ("out", lambda given: None),
        }
        for stage, (output, shrink) in shrinks.items():
            name = stage.__name__.rpartition(".")[2]
            smaller = _smaller(getattr(stage, name), output, shrink, provided)
            patch.setattr(stage, name, smaller)
            patch.setattr(facegen, name, smaller, raising=False)
        patch.setattr(run, "prepare", prepare.prepare)
        try:
            yield patch
        finally:
            for table, entries in zip(tables, before, strict=True):
                table.clear()
                table.update(entries)
            for name in set(sys.modules) - modules:
                if str(getattr(sys.modules[name], "__file__", None)).startswith(str(Path.cwd())):
                    del sys.modules[name]
            sys.path[:] = path
            console.set_verbosity(console.NORMAL)
            notebook.on()


def forget_downloads() -> None:
    """Let the next command report a failed download again, as the first command of a process does."""
    opening._failed_download = None


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Work in ``folder`` until the block ends."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def make_world(folder: Path, facegen: Callable[..., object]) -> None:
    """Fill ``folder``, which is the working folder, with everything that pages name.

    Args:
        folder: An empty folder.
        facegen: Runs a command: ``facegen("prepare", "a.zip", "b")``.
    """
    faces = render_faces(0, range(40))
    with zipfile.ZipFile("img_align_celeba.zip", "w") as archive:
        for number, face in enumerate(faces, 1):
            archive.writestr(f"img_align_celeba/{number:06d}.jpg", _encoded(face, "JPEG"))
    splits = [f"{number:06d}.jpg {0 if number <= 24 else 1}" for number in range(1, 51)]  # ten are not in the zip
    Path("list_eval_partition.txt").write_text("\n".join(splits) + "\n", encoding="utf-8")
    write_photographs(folder / "photographs", faces[:12])
    (folder / "face.png").write_bytes(_encoded(faces[0], "PNG"))
    facegen("prepare", "img_align_celeba.zip", "celeba")
    facegen("prepare", "img_align_celeba.zip", "celeba128", "--size", "128", "--limit", "12")
    facegen("prepare", "synthetic:16", "dataset", "--seed", "1")
    facegen("prepare", "synthetic:12", "heldout", "--seed", "2")
    shutil.copytree("dataset", "faces")
    facegen("train", "celeba", "run", "--recipe", "dcgan")
    (grid,) = Path("run/samples").glob("*.png")
    shutil.copy(grid, grid.with_name("kimg-000004.000.png"))  # a timelapse needs two
    facegen("sample", "run", "images")
    for copy, name in (("run", "other-run"), ("images", "mine")):
        shutil.copytree(copy, name)
    for name in ("generator", "dcgan"):
        shutil.copy("run/last.safetensors", f"{name}.safetensors")
    with zipfile.ZipFile("images.zip", "w") as archive:
        for path in sorted(Path("images").iterdir()):
            archive.write(path)
    facegen("pack", "images", "20230001")
    facegen("sample", "run", "drawn", "--seed", "5")
    facegen("pack", "drawn", "20230002")
    Path("submissions/20230003.tar.gz").write_bytes(b"PK\3\4 not a tarball")
    _moodle(Path("Project 1-submissions.zip"))
    for name, rows in (
        ("roster.csv", [["student_number"], *([number] for number in _ROSTER)]),
        ("times.csv", [["file", "submitted_at"], ["20230001.tar.gz", "2026-11-20 23:58"]]),
    ):
        with Path(name).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)
    Path("rubric.toml").write_text(_RUBRIC, encoding="utf-8")
    (folder / "narrow.toml").write_text(_small_recipe("dcgan").to_toml(), encoding="utf-8")


def write_ffhq(count: int) -> None:
    """Write FFHQ's tree with the images around number 60,000."""
    for number, face in enumerate(render_faces(4, range(count)), 60_000 - count // 2):
        path = Path(f"thumbnails128x128/{number // 1000 * 1000:05d}/{number:05d}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(face).resize((128, 128)).save(path)


def _encoded(pixels: np.ndarray, format: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format)
    return stream.getvalue()


def write_photographs(folder: Path, faces: np.ndarray) -> None:
    """Write a phone's photographs: several sizes, every fourth rotated with a tag, and one that cannot be read."""
    folder.mkdir()
    for number, face in enumerate(faces):
        picture, exif = Image.fromarray(face).resize((200 + 2 * number, 320)), Image.Exif()
        if number % 4 == 0:
            picture, exif[0x0112] = picture.rotate(90, expand=True), 6
        picture.save(folder / f"IMG_{number:04d}.jpg", exif=exif)
    (folder / "IMG_0100.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))


def _moodle(path: Path) -> None:
    """Write a download of all submissions, with folders named as Moodle names them."""
    with zipfile.ZipFile(path, "w") as archive:
        for tarball in sorted(Path("submissions").glob("*.tar.gz")):
            archive.write(tarball, f"Kim_{tarball.name[:8]}_assignsubmission_file/{tarball.name}")


def _small_recipe(name: str | Path) -> recipes.Recipe:
    """Return the named recipe with networks of a few thousand weights and a length of two steps."""
    return recipes.load_recipe(name).with_overrides({**_SMALL, "kimg": KIMG, "minutes": 0.0})


@functools.cache
def _open_once(*given: Any) -> Any:
    return _open(*given)


def _small_limits(size: int) -> rules.Limits:
    return replace(rules.limits_for(size), count=IMAGES)


def _serve_once(server: WatchServer, poll_interval: float = 0.5) -> None:
    """Serve nothing, because no browser asks for the page here."""


def _few_drawn(given: dict[str, Any]) -> None:
    if isinstance(given["source"], str) and re.fullmatch(r"synthetic(:\d+)?", given["source"]):
        given["source"] = "synthetic:24"


def _short(given: dict[str, Any]) -> None:
    """Shorten a training and shrink its networks, whatever the page asks for."""
    said: Mapping[str, Any] = given.get("overrides") or {}
    cut = {"kimg": None, "minutes": None, "batch": None, "score_every": None, "compile": None, "precision": None}
    given["overrides"] = {**said, **{key: value for key, value in cut.items() if key in said}}


def _smaller(
    stage: Callable[..., Any], output: str, shrink: Callable[[dict[str, Any]], object], provided: set[Path]
) -> Callable[..., Any]:
    """Return a stage with smaller arguments that finds its output absent if the world provided it."""
    names = list(stage.__code__.co_varnames[: stage.__code__.co_argcount])

    @functools.wraps(stage)
    def smaller(*words: Any, **given: Any) -> Any:
        given |= dict(zip(names, words, strict=False))
        place = Path(given[output]).resolve() if given.get(output) else None
        shrink(given)
        if place is None or place not in provided or not place.is_dir():
            return stage(**given)
        aside = place.with_name(f".{place.name}.provided")
        place.rename(aside)
        try:
            done = stage(**given)
        except BaseException:
            if not place.exists():  # the stage wrote nothing
                aside.rename(place)
            raise
        provided.remove(place)
        shutil.rmtree(aside)
        return done

    return smaller
