"""Every command line, block of Python and printed output of the pages is run; CONTRIBUTING.md has the rules."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

from facegen.data.dataset import FaceDataset

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts" / "docs"))
try:
    from blocks import difference, pages, read_page
    from execute import Worlds, run_line, run_page
    from outputs import rewritten
    from world import write_photographs
finally:
    sys.path.pop(0)

PAGES = {name: read_page(name) for name in pages()}


def different_pages() -> dict[str, list[str]]:
    """The pages that do something, without those that do the same as one before, as a translation does."""
    found: dict[str, list[str]] = {}
    for name, page in PAGES.items():
        if page.blocks:
            found.setdefault(page.key, []).append(name)
    return {names[0]: names for names in found.values()}


@pytest.fixture(scope="session")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Worlds:
    return Worlds(tmp_path_factory.mktemp("docs"))


@pytest.mark.parametrize("name", different_pages())
def test_the_blocks_of_a_page_do_what_it_says(name: str, worlds: Worlds) -> None:
    assert run_page(PAGES[name], worlds).faults == []


def test_a_translation_runs_once() -> None:
    english = read_page("a.md", "# A\n\n```sh\nls  # what is there\n```\n\n```python\nx = 1  # one\n```\n")
    korean = read_page("b.md", "# 가\n\n```sh\nls    # 무엇이 있는지\n```\n\n```python\nx = 1  # 하나\n```\n")
    other = read_page("c.md", "```sh\nls -l\n```\n")
    assert english.key == korean.key != other.key


@pytest.mark.parametrize("name", PAGES)
def test_a_page_keeps_the_rules(name: str) -> None:
    page = PAGES[name]
    assert page.faults == []
    if page.elsewhere is not None:
        assert Path(name).name in (ROOT / page.elsewhere).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("```\n$ facegen doctor\n```", "names no language"),
        ("```\nfacegen doctor\n```", "names no language"),
        ("<!-- not run: -->\n```sh\nls\n```", "with a reason"),
        ("<!-- not run -->\n```sh\nls\n```", "with a reason"),
        ("```python\nx = = 1\n```", "cannot be read"),
        ("```sh\necho 'x\n```", "cannot be read"),
    ],
)
def test_what_breaks_a_rule_is_seen(text: str, fault: str) -> None:
    (found,) = read_page("page.md", text).faults
    assert fault in found and found.startswith("page.md:")


def test_marked_blocks_and_lines_are_left_out() -> None:
    marked = "<!-- not run: needs Docker -->\n```sh\ndocker build .\n```\n"
    lines = "<!-- not run, pip and uv: changes the installation -->\n```sh\npip install x\nls\nuv pip install x\n```\n"
    (block,) = read_page("page.md", marked + lines + "```bat\nfacegen doctor\n```\n").blocks
    assert [command.line for command in block.commands()] == ["ls"]


def test_a_console_has_commands_with_outputs_and_exit_codes() -> None:
    text = "```console\n$ facegen fid a \\\n    b\nerror: No.\nMore.\n$ ls  # exit 1\n```\n"
    (block,) = read_page("page.md", text).blocks
    first, second = block.commands()
    assert (first.line, first.exit_code, first.output) == ("facegen fid a b", 2, "error: No.\nMore.\n")
    assert (second.program, second.exit_code, second.output) == ("ls", 1, "")
    assert first.place is not None and text[slice(*first.place)] == first.output


@pytest.mark.parametrize(
    ("said", "printed", "any_number", "agree"),
    [
        ("1,000 images\nin 2.5 s", "24 images in 0.1 s\n", True, True),
        ("1,000 images", "24 images", False, False),
        ("1,000 images", "24 faces", True, False),
        ("…\nlast", "first\nsecond\nlast", False, True),
        ("first\n…", "first", False, True),
        ("from … to …", "from 1 to 2 and on", False, True),
        ("a", "a b", False, False),
        ("3 × 3.5e-06 of 7", "1 × 2.0 of 9", True, True),
    ],
)
def test_an_output_is_compared(said: str, printed: str, any_number: bool, agree: bool) -> None:
    assert (difference(said, printed, any_number=any_number) is None) == agree


def run_text(text: str, worlds: Worlds) -> list[str]:
    return run_page(read_page("page.md", text), worlds).faults


def test_python_output_and_a_file_go_together(worlds: Worlds) -> None:
    text = (
        "```python\n# a.py\nprint('file')\n```\n\n<!-- setup\nx = 4\n-->\n\n```python\nprint(x, 'of', 5)\n```\n\n"
        "<!-- output -->\n```text\n4 of 5\n```\n\n```pycon\n>>> x + 1\n5\n```\n\n"
        "```console\n$ python a.py > out.txt\n$ cat out.txt | tail -1 && echo done\nfile\ndone\n```\n"
    )
    assert run_text(text, worlds) == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("```sh\nwget x\n```", "'wget' is not run"),
        ("```sh\nls absent\n```", "exit code 2, not 0"),
        ("```sh\nfacegen fid absent --reference celeba\n```", "exit code 2, not 0"),
        ("```console\n$ echo a\nb\n```", "'b' where 'a' was printed"),
        ("```python\nprint(1)\n```\n\n<!-- output -->\n```text\n2\n```", "'2' where '1' was printed"),
        ("```python\n1 / 0\n```", "ZeroDivisionError"),
        ("```pycon\n>>> 1\n2\n```", "Expected:"),
    ],
)
def test_what_a_page_has_wrong_is_said(text: str, fault: str, worlds: Worlds) -> None:
    (found,) = run_text(text, worlds)
    assert fault in found


def test_exact_outputs_are_written_into_the_page(worlds: Worlds) -> None:
    text = "```console\n$ facegen --version\nfacegen 7\n$ facegen pack absent s1\nerror: 7\n```\n"
    ran = run_page(read_page("page.md", text), worlds, go_on=True)
    assert rewritten(text, ran.outputs) == text.replace("facegen 7", run_line("facegen --version")[1].strip())


def test_a_picture_that_lay_on_its_side_is_shown_upright(
    facegen: Callable[..., Result], tmp_path: Path, drawn: tuple[np.ndarray, np.ndarray]
) -> None:
    """docs/examples.md: the preview shows the images as they are prepared, however the camera was held."""
    write_photographs(tmp_path / "photographs", np.repeat(drawn[1][:1], 2, axis=0))
    words = ("prepare", tmp_path / "photographs", tmp_path / "faces", "--upright", "--preview", tmp_path / "faces.png")
    assert facegen(*words, "--workers", 1).exit_code == 0
    on_its_side, upright = FaceDataset.open(tmp_path / "faces").images.astype(float)
    assert np.abs(on_its_side - upright).mean() < 5 < np.abs(np.rot90(on_its_side) - upright).mean()
    preview = np.asarray(Image.open(tmp_path / "faces.png"), float)
    first = preview[: preview.shape[0], : preview.shape[1] // 2]
    assert min(np.abs(first[y : y + 64, x : x + 64] - on_its_side).mean() for y in range(4) for x in range(4)) == 0
