"""Try the pages of a graded class in a browser: 300 rows, real clicks and keys, at two widths, light and dark.

The script makes up a class: values, intervals, points, flags with their pairs, each kind of rejection, attempts and
names of all sorts. The generator that ships with facegen draws its images. The pages are written as 'facegen grade'
writes them. Then Chromium sorts, searches, opens rows and contact sheets by mouse and keyboard, and prints. Each check
is a line. Look at the screenshots yourself.

    python scripts/bench/page.py OUT [--rows 300] [--images 1000] [--chromium /usr/bin/chromium]

Playwright for Python drives the browser: pip install playwright. Without it the pages are written and not tried.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from facegen.files import write_text
from facegen.gan.generators import draw_images
from facegen.gan.latents import normal_latents
from facegen.grading.anonymous import write_for_class
from facegen.grading.evidence import Album
from facegen.grading.feedback import write_feedback
from facegen.grading.fingerprints import Fingerprints
from facegen.grading.flags import Flag
from facegen.grading.known_pictures import KnownPictures
from facegen.grading.leaderboard import Leaderboard
from facegen.grading.outcome import GradedSubmission, Outcome, pictures_jpeg, sheet_jpeg
from facegen.grading.rows import Attempt, LeaderboardRow
from facegen.pretrained import generator_path
from facegen.scoring.score import Score
from facegen.submission.rules import Code, Rejection
from facegen.training.saved_generator import load_generator

TARGET, FLOOR = 20.0, 9.37
NAMES = (
    "Ana Lima", "Jonas Weber", "Priya Raghunathan", "김철수", "王小明", "محمد عبد الرحمن", "שרה כהן",
    "Nguyễn Thị Hồng", "Łukasz Żółć",
    "Wolfeschlegelsteinhausenbergerdorff-Vandenberghe, Hubert Blaine", "Zoë O’Connor", "Siobhán Ní Bhriain",
    "<b>Bobby</b> \"Tables\" <img src=x onerror=alert(1)>", "Ivan Petrov", "Mbali Nkosi", "José Ñúñez", "Li",
    "Åsa Öberg",
)  # fmt: skip
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}


def faces(path: Path, count: int) -> npt.NDArray[np.uint8]:
    """Return the shipped generator's images of seed 0, uint8 [count, 64, 64, 3]. They are kept at ``path``."""
    if not path.is_file() or len(np.load(path)) < count:
        generator = load_generator(generator_path())
        np.save(path, draw_images(generator.network, normal_latents(0, 0, count, generator.recipe.latent_dim)))
    drawn: npt.NDArray[np.uint8] = np.load(path)[:count]
    return drawn


def made_up(rows: int, pool: npt.NDArray[np.uint8]) -> Leaderboard:
    """Return a class of ``rows`` students, the same every time."""
    random = np.random.default_rng(7)
    names = tuple(f"{i:04d}.png" for i in range(1, len(pool) + 1))
    rejected, missing = (len(Code), 9)
    values = np.sort(
        np.concatenate([random.lognormal(3.05, 0.38, rows - rejected - missing - 3), [88.0, 143.0, 212.0]])
    )
    numbers = [f"s{n}" for n in random.permutation(np.arange(2_140_000, 2_140_000 + rows))]
    opened = datetime(2026, 5, 4, 9, tzinfo=timezone(timedelta(hours=2)))
    board = []
    for place, value in enumerate(values):
        graded = submission(round(float(value), 4), pool, names, random)
        at = opened + timedelta(minutes=int(random.integers(0, 14 * 24 * 60)))
        outcome = Outcome(f"{numbers[place]}.tar.gz", numbers[place], f"{place:064x}", graded, submitted_at=at)
        late = max(0, (at - opened).days - 11)
        points = round(max(0.0, min(10.0, 10 - (value - 14) / 4)) * (1 - 0.1 * late), 1)
        sentences = (f"{points / (1 - 0.1 * late):.1f} for a value of {value:.2f}, between two bands.",)
        if late:
            sentences += (f"{late} begun days late: {10 * late}% less.",)
        row = LeaderboardRow(outcome, rank=place + 1, notes=("2 files of macOS were passed over.",) * (place % 9 == 4))
        row = replace(row, points=points, points_for=sentences, student_name=NAMES[place % len(NAMES)])
        board.append(replace(row, attempts=attempts(row, late) if place % 6 == 2 else ()))
    flag(board, names)
    board = tie(board)
    for code, number in zip(list(Code)[:rejected], numbers[len(values) :], strict=False):
        file = "final_FINAL (2).zip" if code is Code.BAD_NAME else f"{number}.tar.gz"
        message = f"The member 'faces/{'very-' * 12}long name.png' is what is wrong: {code.meaning()}"
        owner = None if code is Code.BAD_NAME else number
        board.append(LeaderboardRow(Outcome(file, owner, "f" * 64, rejection=Rejection(code, message)), points=0.0))
    for place, number in enumerate(numbers[-missing:]):
        board.append(LeaderboardRow(Outcome("", number, None), student_name=NAMES[place], points=0.0))
    baselines = tuple(
        LeaderboardRow(Outcome(name, None, "b" * 64, submission(value, pool, names, random)))
        for name, value in (("DCGAN of the lab sheet", 27.4), ("Mean face", 190.2), ("Tuned by the staff", 13.9))
    )
    reference = {"name": "celeba", "n": 19962, "sha256": "1" * 64}
    private = {"name": "celeba-held-out", "n": 19867, "sha256": "2" * 64, "measure": "FID against 19,867 images"}
    measure = "FID against 19,962 images"
    by_value = tuple(sorted(baselines, key=lambda row: row.score.value if row.score else 0))
    return Leaderboard(tuple(board), reference, measure, TARGET, baselines=by_value, private=private)


def submission(
    value: float, pool: npt.NDArray[np.uint8], names: tuple[str, ...], random: np.random.Generator
) -> GradedSubmission:
    """Return the pool's images in an order of their own, tinted."""
    tint = random.uniform(0.75, 1.1, 3)
    images = np.clip(pool[random.permutation(len(pool))] * tint, 0, 255).astype(np.uint8)
    low, high = value * random.uniform(0.94, 0.97), value * random.uniform(1.03, 1.07)
    metrics = {
        "kid": {"value": value / 1400, "standard_error": 0.0006},
        "precision": float(np.clip(0.9 - value / 150, 0.02, 1)),
        "recall": float(np.clip(0.55 - value / 120, 0.0, 1)),
        "coverage": float(np.clip(1 - value / 90, 0.02, 1)),
    }
    score = Score("fid", value, 1000, 2048, "inception-2015-12-05", "0" * 64, 19962, "1" * 64, TARGET, value < TARGET)
    score = replace(score, floor=FLOOR, interval95=(low, high), metrics=metrics)
    private = replace(score, value=round(value * float(random.uniform(0.99, 1.06)), 4), metrics={})
    nothing = Fingerprints(*(np.empty(shape, dtype=np.uint64) for shape in (0, (0, 4), (0, 4))))
    return GradedSubmission(score, (), nothing, names, (), sheet_jpeg(images), pictures_jpeg(images), private=private)


def attempts(row: LeaderboardRow, late: int) -> tuple[Attempt, ...]:
    first = Rejection(Code.WRONG_COUNT, "There are 998 images.")
    when = row.outcome.submitted_at - timedelta(days=2) if row.outcome.submitted_at else None
    before = Outcome(row.outcome.file.replace(".", "_1."), row.outcome.student_number, "e" * 64, None, first, when)
    return Attempt(before, False, 0.0, 0), Attempt(row.outcome, True, row.points, late)


def flag(board: list[LeaderboardRow], names: tuple[str, ...]) -> None:
    """Add flags with evidence to about a tenth of the rows."""

    def pairs(matches: list[str], most: int = 20) -> list[dict[str, Any]]:
        made = zip(names[3:], matches, range(most), strict=False)
        return [{"image": a, "match": b, "distance": i, "mirrored": i % 5 == 4} for a, b, i in made]

    copies = {"images": 31, "exact": 2, "mirrored": 4}
    for place, row in enumerate(board):
        flags: list[Flag] = []
        other = place ^ 1
        if place % 38 in (6, 7) and other < len(board):
            number = str(board[other].outcome.student_number)
            words = f"31 of 1,000 images look the same as an image of {number} (2 pixel for pixel, 4 mirrored)."
            flags.append(Flag(f"shared_with:{number}", words, {**copies, "examples": pairs(list(names[100:]))}))
        if place % 31 == 3:
            words = "12 of 1,000 images look the same as another image of the submission (3 exact repeats)."
            flags.append(
                Flag("duplicate_images", words, {"images": 12, "exact": 3, "examples": pairs(list(names[50:]), 9)})
            )
        if place % 47 == 11:
            words = "31 of 1,000 images look the same as an image that facegen's own generator draws."
            shipped = [f"seed {i % 3}, image {40 + i}" for i in range(20)]
            flags.append(Flag("pretrained_generator", words, {**copies, "examples": pairs(shipped, 8)}))
        if place % 61 == 20:
            words = "31 of 1,000 images look the same as an image of the training set."
            flags.append(
                Flag("copied_from_training", words, {**copies, "examples": pairs([f"{i:06d}.jpg" for i in range(9)])})
            )
        if place % 71 == 30:
            flags.append(Flag("wrong_colours", "Red and blue are swapped: that explains 93% of the difference.", {}))
        if flags:
            board[place] = replace(row, flags=tuple(flags))


def tie(board: list[LeaderboardRow]) -> list[LeaderboardRow]:
    """Give two rows one value, and mark neighbours that cannot be told from each other."""
    tied = list(board)
    for place in range(20, 24):
        others = tuple(board[other].name for other in range(20, 24) if other != place)
        tied[place] = replace(board[place], tied_with=others)
    tied[31] = replace(board[31], rank=board[30].rank)
    return tied


class Checks:
    """The lines of all checks, and whether any failed."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def note(self, where: str, what: str, is_right: bool, found: Any = None) -> None:
        self.lines.append({"where": where, "what": what, "right": bool(is_right), "found": found})
        print(f"{'ok  ' if is_right else 'FAIL'} {where}: {what}{'' if found is None else f' ({found})'}")


def try_board(page: Any, where: str, checks: Checks, shot: Callable[[str], None], has_pictures: bool) -> None:
    """Sort, search, filter, open and close, by mouse and keyboard."""

    def shown() -> list[str]:
        names: list[str] = page.eval_on_selector_all(
            "tbody.entry:not(.away)", "entries => entries.map(e => e.dataset.student)"
        )
        return names

    is_phone = "phone" in where
    before = shown()
    shot("top")
    if is_phone:
        page.select_option("#order", "student")
    else:
        page.click("th[data-key=student] button")
    checks.note(where, "sorting by student changes the order", shown() != before and sorted(shown()) != before)
    page.click("#turn") if is_phone else page.click("th[data-key=student] button")
    sort = page.get_attribute("th[data-key=student]", "aria-sort")
    checks.note(where, "once more turns it round, and aria-sort says so", sort == "descending", sort)
    if is_phone:
        page.select_option("#order", "value")
    else:
        page.click("th[data-key=value] button")
    values = page.eval_on_selector_all("tbody[data-value]", "all => all.map(e => +e.dataset.value)")
    checks.note(where, "by value they rise", values == sorted(values))
    if is_phone:
        page.select_option("#order", "rank")
    else:
        page.click("th[data-key=rank] button")
    checks.note(where, "by rank the first order is back", shown() == before)
    sideways(page, where, checks, "closed")
    page.click(".chips button[data-state=rejected]")
    checks.note(where, "the chip leaves the rejected", len(shown()) < len(before) and len(shown()) > 0, len(shown()))
    shot("rejected")
    page.click(".chips button[data-state='']")
    page.fill("#search", before[5][:9].lower())
    checks.note(where, "the search finds one by its name", before[5] in shown() and len(shown()) < 5, shown())
    page.fill("#search", "nobody is called that")
    checks.note(where, "what finds nothing says so", page.is_visible("#none"))
    page.click("#reset")
    checks.note(where, "and all are back", len(shown()) == len(before))
    page.keyboard.press("/") if page.evaluate("document.activeElement.id") != "search" else None
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    opened = page.eval_on_selector_all("tbody.open", "all => all.map(e => e.dataset.student)")
    checks.note(where, "arrows and Enter open the second row", opened == [before[1]], opened)
    page.keyboard.press("Escape")
    checks.note(where, "Escape closes it", page.eval_on_selector_all("tbody.open", "all => all.length") == 0)
    if has_pictures:
        sheets(page, where, checks, shot)
        with_pairs = page.locator("tbody.entry", has=page.locator(".pairs")).first
        with_pairs.locator(".opener").click()
        with_pairs.scroll_into_view_if_needed()
        page.wait_for_timeout(400)
        broken = with_pairs.evaluate(
            "e => [...e.querySelectorAll('.pairs img')].filter(i => i.complete && !i.naturalWidth).length"
        )
        checks.note(where, "evidence is pictured", broken == 0 and with_pairs.locator(".pairs img").count() > 1)
        shot("evidence")
    sideways(page, where, checks, "a row open")


def sheets(page: Any, where: str, checks: Checks, shot: Callable[[str], None]) -> None:
    button = page.locator("td.faces .open-sheet").nth(3)
    button.click()
    checks.note(where, "a click opens the contact sheet", page.is_visible("dialog#sheet"))
    page.wait_for_timeout(300)
    shot("sheet")
    first = page.inner_text("#sheet-name")
    page.keyboard.press("ArrowRight")
    checks.note(where, "an arrow shows the next one's", page.inner_text("#sheet-name") != first)
    page.keyboard.press("Escape")
    checks.note(where, "Escape closes it", not page.is_visible("dialog#sheet"))
    is_back = button.evaluate("e => e === document.activeElement")
    checks.note(where, "and the focus is where it was", is_back)


def sideways(page: Any, where: str, checks: Checks, when: str) -> None:
    wide = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    checks.note(where, f"nothing scrolls sideways, {when}", wide[0] <= wide[1], wide)


def try_pages(out: Path, chromium: str, checks: Checks) -> None:
    from playwright.sync_api import sync_playwright

    feedback = sorted((out / "feedback").iterdir())
    flagged = next(path for path in feedback if b"shared with" in path.read_bytes())
    rejected = next(path for path in feedback if b"could not be graded" in path.read_bytes())
    pages = {"board": out / "leaderboard.html", "class": out / "class.html"}
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for size, (width, height) in SIZES.items():
            for scheme in ("light", "dark"):
                context = browser.new_context(
                    viewport={"width": width, "height": height}, color_scheme=scheme, has_touch=size == "phone"
                )
                page = context.new_page()
                said: list[str] = []
                page.on("console", lambda message, said=said: said.append(message.text))
                page.on("pageerror", lambda problem, said=said: said.append(str(problem)))
                for name, path in pages.items():
                    where = f"{name}-{size}-{scheme}"
                    began = time.perf_counter()
                    page.goto(path.resolve().as_uri())
                    page.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done)))")
                    seconds = time.perf_counter() - began
                    checks.note(where, "opens within 5 s", seconds < 5, f"{seconds:.2f} s")
                    shot = screenshots(page, out / "shots", where)
                    try_board(page, where, checks, shot, name == "board")
                    if name == "board" and scheme == "light":
                        page.emulate_media(media="print")
                        shot("print")
                        page.emulate_media(media="screen")
                for name, path in (("feedback", flagged), ("feedback-rejected", rejected)):
                    page.goto(path.resolve().as_uri())
                    sideways(page, f"{name}-{size}-{scheme}", checks, "one page")
                    page.screenshot(path=out / "shots" / f"{name}-{size}-{scheme}.png", full_page=True)
                checks.note(f"{size}-{scheme}", "the console is silent", not said, said or None)
                context.close()
        without_script(browser, out, checks)
        browser.close()


def without_script(browser: Any, out: Path, checks: Checks) -> None:
    """Check that all rows are open without JavaScript, and that the print has all rows."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, java_script_enabled=False)
    page = context.new_page()
    page.goto((out / "leaderboard.html").resolve().as_uri())
    checks.note("no script", "details are there", page.is_visible("tbody.entry .details"))
    page.screenshot(path=out / "shots" / "no-script.png")
    context.close()
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto((out / "leaderboard.html").resolve().as_uri())
    page.click(".chips button[data-state=flagged]")
    began = time.perf_counter()
    page.pdf(path=out / "shots" / "print.pdf", format="A4")
    size = (out / "shots" / "print.pdf").stat().st_size
    checks.note("print", "a PDF is made", size > 10_000, f"{size / 1e6:.1f} MB in {time.perf_counter() - began:.1f} s")
    context.close()


def screenshots(page: Any, folder: Path, where: str) -> Callable[[str], None]:
    def shot(what: str) -> None:
        page.screenshot(path=folder / f"{where}-{what}.png")

    return shot


def written(out: Path, board: Leaderboard) -> Iterator[tuple[str, float, int]]:
    """Write all pages, and yield the name, seconds of processor time and size in bytes of each."""
    began = time.process_time()
    album = Album(KnownPictures(None, None, 64))
    write_text(out / "leaderboard.html", board.to_html(album))
    yield "leaderboard.html", time.process_time() - began, (out / "leaderboard.html").stat().st_size
    write_text(out / "leaderboard.csv", board.to_csv())
    began = time.process_time()
    called = write_for_class(board, out, b"a salt for the bench alone")
    yield "class.html", time.process_time() - began, (out / "class.html").stat().st_size
    began = time.process_time()
    write_feedback(board, out / "feedback", album, called)
    size = sum(path.stat().st_size for path in (out / "feedback").iterdir())
    yield "feedback", time.process_time() - began, size


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rows", type=int, default=300, help="number of rows, at least 60 (300)")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    arguments = parser.parse_args()
    (arguments.out / "shots").mkdir(parents=True, exist_ok=True)
    board = made_up(arguments.rows, faces(arguments.out / "faces.npy", arguments.images))
    for what, seconds, size in written(arguments.out, board):
        print(f"wrote {what}: {seconds:.1f} s of processor time, {size / 1e6:.2f} MB")
    checks = Checks()
    try:
        try_pages(arguments.out, arguments.chromium, checks)
    except ModuleNotFoundError:
        print("There is no playwright here, so no browser tried the pages: pip install playwright")
        return 2
    (arguments.out / "checks.json").write_text(json.dumps(checks.lines, indent=1, ensure_ascii=False))
    return int(not all(line["right"] for line in checks.lines))


if __name__ == "__main__":
    sys.exit(main())
