"""The page as one file: it stands alone, escapes, and is no larger than it must be."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from facegen.errors import InputError
from facegen.training.run_view import read_run
from facegen.watching import report as report_module
from facegen.watching.page import page, policy
from facegen.watching.report import require_report_place, write_watch_report
from facegen.watching.shown_runs import names_of

MakeRun = Callable[..., Path]


def written(*runs: Path, to: Path) -> tuple[str, dict[str, Any]]:
    write_watch_report([read_run(run) for run in runs], to)
    text = to.read_text(encoding="utf-8")
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    return text, json.loads(data)


def test_it_holds_its_runs_and_their_pictures(make_run: MakeRun, tmp_path: Path) -> None:
    _, data = written(make_run("one"), make_run("two", ticks=30), to=tmp_path / "r.html")
    assert [(run["name"], run["kimg"], len(run["grids"])) for run in data["runs"]] == [("one", 20, 2), ("two", 30, 3)]
    kimg, address = data["runs"][0]["grids"][0]
    head, _, picture = address.partition(",")
    assert (kimg, head) == (10.0, "data:image/jpeg;base64") and base64.b64decode(picture)[:2] == b"\xff\xd8"
    assert data["written"]


def test_it_stands_alone_and_escapes_names(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run("</script><img src=x onerror=alert(1)>\u202e", name="<b>&'\"")
    text, data = written(run, to=tmp_path / "r.html")
    assert "onerror=alert(1)>" not in text.replace("\\u003cimg src=x onerror=alert(1)>", "")
    assert "<b>" not in text and "\u202e" not in text
    assert data["runs"][0]["recipe"] == "<b>&'\"" and "\\u202e" in data["runs"][0]["name"]
    assert "connect-src" not in text and not re.search(r'(src|href)="(?!data:)', text)


@pytest.mark.parametrize("is_served", [True, False])
def test_only_its_own_scripts_and_style_may_run(is_served: bool) -> None:
    text = page(None if is_served else {"runs": []})
    hashes = {
        f"'sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}'"
        for code in re.findall(r"<(?:script|style)>(.*?)</", text, re.DOTALL)
    }
    allowed = policy(is_served=is_served)
    assert len(hashes) == 3 and set(re.findall(r"'sha256-[^']+'", allowed)) == hashes and "unsafe" not in allowed


def test_no_script_makes_markup_of_text() -> None:
    text = page(None)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text)
    assert not re.search(r'\son\w+="|style="', text)


def test_a_damaged_grid_is_left_out_and_said(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run()
    path = run / "samples" / "kimg-000010.000.png"
    path.write_bytes(path.read_bytes()[:60])
    report = write_watch_report([read_run(run)], tmp_path / "r.html")
    assert (report.grids, report.all_grids, report.damaged) == (1, 2, (str(path),))


def test_grids_are_thinned_to_a_number_and_to_bytes(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = read_run(make_run(ticks=200))
    monkeypatch.setattr(report_module, "MOST_GRIDS", 9)
    assert write_watch_report([view], tmp_path / "r.html").grids == 9
    monkeypatch.setattr(report_module, "MOST_BYTES", 5 * 1024)
    assert 2 <= write_watch_report([view], tmp_path / "r.html").grids < 9


class TestPlace:
    def test_another_suffix(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"r\.pdf is not a name for a page. End it in \.html"):
            require_report_place(tmp_path / "r.pdf")

    def test_a_page_of_somebody_else(self, tmp_path: Path) -> None:
        (tmp_path / "r.html").write_text("<html>")
        with pytest.raises(InputError, match="was not made by facegen"):
            require_report_place(tmp_path / "r.html")

    def test_an_earlier_report_is_replaced(self, make_run: MakeRun, tmp_path: Path) -> None:
        written(make_run(), to=tmp_path / "r.html")
        require_report_place(tmp_path / "r.html")


def test_names_are_as_short_as_tells_them_apart() -> None:
    assert names_of([Path("/a/run"), Path("/b/run"), Path("/b/other")]) == ["a/run", "b/run", "other"]


def test_the_marks_of_a_saved_grid_survive(make_run: MakeRun, tmp_path: Path) -> None:
    """A grid's pixels are those of the run: grey of value 10, up to JPEG."""
    _, data = written(make_run(), to=tmp_path / "r.html")
    (tmp_path / "g.jpg").write_bytes(base64.b64decode(data["runs"][0]["grids"][0][1].partition(",")[2]))
    with Image.open(tmp_path / "g.jpg") as image:
        assert image.size == (82, 82) and abs(image.getpixel((6, 6))[0] - 10) < 12
