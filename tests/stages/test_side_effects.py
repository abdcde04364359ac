"""What commands do beside their work: where they write, and whom they talk to, as Python's audit hooks tell it."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

from facegen.stages import grade as grade_stage
from facegen.stages import pack as pack_stage
from facegen.submission.rules import Limits

Run = Callable[..., Result]

#: Audit events after which a path is there, gone or another; the number of their arguments that are paths.
CHANGES = {"os.mkdir": 1, "os.rename": 2, "os.remove": 1, "os.rmdir": 1, "os.link": 2, "os.symlink": 2}
CHANGES |= {"os.truncate": 1, "os.chmod": 1, "os.chown": 1, "os.utime": 1, "tempfile.mkstemp": 1, "tempfile.mkdtemp": 1}
CHANGES |= {"shutil.rmtree": 1}
#: Those that reach another machine, run another program, or build an object from a pickle.
NEVER = {"socket.connect", "socket.bind", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"}
NEVER |= {"os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "pickle.find_class", "urllib.Request"}
NEVER |= {"ftplib.connect", "http.client.connect", "smtplib.connect", "webbrowser.open"}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Watch:
    """While it is on, keeps every path that is written to, and everything that is never to happen."""

    def __init__(self) -> None:
        self.on = False
        self.written: set[Path] = set()
        self.never: list[str] = []

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event in NEVER:
            self.never.append(f"{event} {args[:2]}")
        if event in ("os.remove", "os.rmdir") and args[1] != -1:  # within shutil.rmtree, which told its folder
            return
        paths = args[: CHANGES.get(event, 0)]
        if event == "open" and isinstance(args[0], str | bytes | os.PathLike) and args[2] & WRITING:
            paths = args[:1]
        for path in paths:
            if isinstance(path, str | bytes | os.PathLike) and not (
                event == "os.mkdir" and Path(os.fsdecode(path)).is_dir()
            ):
                self.written.add(Path(os.path.abspath(os.fsdecode(path))))  # noqa: PTH100 - links are not followed


#: An audit hook stays for as long as Python runs, so there is one, which is off between tests.
WATCH = Watch()


@pytest.fixture
def watch() -> Iterator[Watch]:
    if not hasattr(WATCH, "hooked"):
        sys.addaudithook(WATCH)
        WATCH.hooked = True  # type: ignore[attr-defined]
    WATCH.written, WATCH.never = set(), []
    yield WATCH
    WATCH.on = False


@pytest.fixture
def working(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with 50 photographs and an extractor; home, cache and temporary folder lie beside it."""
    for variable in ("HOME", "TMPDIR", "FACEGEN_CACHE"):
        (tmp_path / variable).mkdir()
        monkeypatch.setenv(variable, str(tmp_path / variable))
    monkeypatch.setattr(tempfile, "tempdir", None)
    for stage in (pack_stage, grade_stage):
        monkeypatch.setattr(stage, "limits_for", lambda size: Limits(count=50, size=size))
    folder = tmp_path / "working"
    (folder / "photographs").mkdir(parents=True)
    for number in range(50):
        noise = np.random.default_rng(number).integers(0, 256, (40, 32, 3), np.uint8)
        Image.fromarray(noise).save(folder / "photographs" / f"{number}.png")
    (folder / "colours_of_images.py").write_text("def means(images):\n    return images.mean((1, 2)) / 255\n")
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    return folder


def test_commands_write_what_they_name_and_talk_to_nobody(
    facegen: Run, working: Path, recipe: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All but ``doctor``, which asks the graphics driver, and ``run``, which is the others in a row."""
    monkeypatch.delenv("FACEGEN_OFFLINE")
    by = ("--extractor", "colours_of_images:means")
    commands: dict[str, tuple[object, ...]] = {
        "data": ("prepare", "photographs", "data", "--size", 32, "--preview", "preview.png", "--workers", 1),
        "trained": ("train", "data", "trained", "--recipe", recipe, "--device", "cpu"),
        "images": ("sample", "trained", "images", "-n", 50, "--device", "cpu"),
        "walk.png": ("interpolate", "trained", "walk.png", "--device", "cpu"),
        "statistics.npz": ("fid", "images", "--reference", "data", *by, "--save-stats", "statistics.npz"),
        "report": ("fid", "images", "--reference", "data", *by, "--report", "report"),
        "submissions": ("pack", "images", "s1", "--size", 32),
        "grades": ("grade", "submissions", "--reference", "data", "--size", 32, *by),
        "maps.png": ("inspect", "blur", "--image", "photographs/0.png", "--out", "maps.png"),
    }
    grid = "grid.png"  # sample's preview, beside its folder
    for name, words in commands.items():
        watch.written.clear()
        watch.on = True
        done = facegen(*words)
        watch.on = False
        assert done.exit_code == 0 and (working / name).exists(), done.stderr
        named = {name, *(["preview.png"] if name == "data" else []), *([grid] if name == "images" else [])}
        elsewhere = [path for path in watch.written if not allowed(path, working, named)]
        assert (elsewhere, watch.never) == ([], [])
    # What C and Rust write no hook sees.
    made = {path.name for path in working.iterdir()} - {"__pycache__", "photographs", "colours_of_images.py"}
    assert made == {*commands, "preview.png", grid}
    left = [*(working.parent / "HOME").rglob("*"), *(working.parent / "TMPDIR").iterdir()]
    assert [path for path in left if not path.name.startswith("torchinductor_")] == []  # torch's compiler's cache


def allowed(path: Path, working: Path, named: set[str]) -> bool:
    """Whether one of the named is written to, what is hidden beside it, the cache or the temporary folder."""
    top = working.parent
    if any(path.is_relative_to(top / variable) for variable in ("TMPDIR", "FACEGEN_CACHE")):
        return True
    if "__pycache__" in path.parts or path == Path(os.devnull):  # Python's own
        return True
    if not path.is_relative_to(working) or path == working:
        return False
    first = path.relative_to(working).parts[0]
    return any(first == name or first.startswith(f".{name}.") for name in named)


@pytest.mark.parametrize(
    "do",
    [
        lambda path: path.write_text("x"),
        lambda path: path.mkdir(),
        lambda path: path.with_name("working").rename(path),
        lambda path: os.close(os.open(path, os.O_CREAT | os.O_WRONLY)),
        lambda path: path.symlink_to("x"),
    ],
)
def test_what_is_written_elsewhere_is_seen(do: Callable[[Path], object], working: Path, watch: Watch) -> None:
    watch.on = True
    do(working.parent / "elsewhere")
    watch.on = False
    assert [path for path in watch.written if not allowed(path, working, {"data"})] != []
