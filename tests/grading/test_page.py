"""The page of a class: what it holds, what it lets run, its pictures, its pseudonymous copy and the students' pages."""

from __future__ import annotations

import base64
import csv
import hashlib
import html
import io
import json
import os
import re
import stat
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from facegen.errors import InputError
from facegen.grading.anonymous import for_class, pseudonyms, read_salt, write_for_class
from facegen.grading.charts import Axis, axis_of, histogram_of, scale_of
from facegen.grading.evidence import MOST_FLAGS, Album
from facegen.grading.feedback import require_feedback_place, write_feedback
from facegen.grading.fingerprints import fingerprint
from facegen.grading.flags import Flag
from facegen.grading.known_pictures import KnownPictures
from facegen.grading.leaderboard import Leaderboard
from facegen.grading.outcome import GradedSubmission, Outcome, pictures_jpeg, sheet_jpeg
from facegen.grading.page import place_of, render, sharing
from facegen.grading.rows import Attempt, LeaderboardRow
from facegen.scoring.score import Score
from facegen.submission.rules import Code, Rejection

Images = npt.NDArray[np.uint8]
SALT = b"sixteen or more characters"


class Page(HTMLParser):
    """Its elements, and the text of each script and style."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.raw: dict[str, list[str]] = {"script": [], "style": []}
        self._in = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._in = tag

    def handle_endtag(self, tag: str) -> None:
        self._in = ""

    def handle_data(self, data: str) -> None:
        if self._in in self.raw:
            self.raw[self._in].append(data)

    def all(self, tag: str, **having: str) -> list[dict[str, str | None]]:
        return [found for name, found in self.tags if name == tag and having.items() <= found.items()]


def submission(value: float, images: Images, flags: tuple[Flag, ...] = (), prefix: str = "own") -> GradedSubmission:
    score = Score("fid", value, len(images), 2048, "inception-2015-12-05", "c" * 64, 9, "d" * 64, 20.0, value < 20.0)
    metrics = {"kid": {"value": 0.0123, "standard_error": 0.001}, "precision": 0.75, "recall": 0.5, "coverage": 0.875}
    score = replace(score, floor=9.5, interval95=(value - 1, value + 1), metrics=metrics)
    names = tuple(f"{prefix}-member-{i}.png" for i in range(len(images)))
    return GradedSubmission(
        score, flags, fingerprint(images), names, (), sheet_jpeg(images), pictures_jpeg(images),
        private=replace(score, value=value + 0.5),
    )  # fmt: skip


def row(number: str, value: float, rank: int, images: Images, flags: tuple[Flag, ...] = ()) -> LeaderboardRow:
    found = submission(value, images, flags, prefix=f"of-{number}")
    at = datetime(2026, 5, 17, 23, 41, tzinfo=timezone.utc)
    sha256 = hashlib.sha256(number.encode()).hexdigest()
    outcome = Outcome(f"{number}.tar.gz", number, sha256, found, submitted_at=at)
    return LeaderboardRow(outcome, flags, rank, points=7.5, points_for=("7.5 for the value.",))


def shared(other: LeaderboardRow, own: LeaderboardRow) -> Flag:
    images, matches = (each.outcome.graded.names for each in (own, other) if each.outcome.graded)
    number = other.outcome.student_number
    pairs = [{"image": images[i], "match": matches[i + 1], "distance": i, "mirrored": False} for i in range(3)]
    return Flag(f"shared_with:{number}", f"3 of 24 images look the same as an image of {number}.", {"examples": pairs})


@pytest.fixture(scope="module")
def board(smooth: Callable[..., Images]) -> Leaderboard:
    """Four graded (two share images, two tie), a rejected one, a missing one and a baseline."""
    alice, bob = row("s7410001", 12.0, 1, smooth(24, 1)), row("Q9920002", 14.0, 2, smooth(24, 2))
    carol, dave = row("s7410003", 25.0, 3, smooth(24, 3)), row("s7410004", 25.0, 3, smooth(24, 4))
    alice = replace(alice, flags=(shared(bob, alice),), student_name="Alice Éxample-Ünger", tied_with=("Q9920002",))
    bob = replace(bob, flags=(shared(alice, bob),), student_name='Bob "<b>" Tables', tied_with=("s7410001",))
    bob = replace(bob, notes=("'Q9920002.tar.gz' and 's7410001.tar.gz' have one student number.",))
    earlier = Outcome("Q9920002_1.tar.gz", "Q9920002", "e" * 64, rejection=Rejection(Code.EMPTY, "There is none."))
    bob = replace(bob, attempts=(Attempt(earlier, False, 0.0, 0), Attempt(bob.outcome, True, 7.5, 1)))
    eve = Rejection(Code.FOREIGN_MEMBER, "The member 'eve-secret-diary.txt' is not an image.")
    rejected = LeaderboardRow(Outcome("s7410005.tar.gz", "s7410005", "5" * 64, rejection=eve))
    unnamed = Rejection(Code.BAD_NAME, "The file name 'frank smith final.zip' is not <student_number>.tar.gz.")
    nobody = LeaderboardRow(Outcome("frank smith final.zip", None, "6" * 64, rejection=unnamed))
    missing = LeaderboardRow(Outcome("", "s7410006", None), student_name="Gina Quexley")
    baseline = LeaderboardRow(Outcome("plain DCGAN", None, "b" * 64, submission(21.0, smooth(24, 9))))
    reference = {"name": "faces-of-the-course", "n": 9, "sha256": "d" * 64}
    private = {"name": "held-out-faces", "n": 9, "sha256": "f" * 64, "measure": "FID against 9 other images"}
    rows = (alice, bob, carol, dave, rejected, nobody, missing)
    return Leaderboard(rows, reference, "FID against 9 images", 20.0, baselines=(baseline,), private=private)


class TestPage:
    def test_only_its_own_script_and_style_may_run(self, board: Leaderboard) -> None:
        page = Page(board.to_html())
        (policy,) = page.all("meta", **{"http-equiv": "Content-Security-Policy"})
        stated = dict(part.split(" ", 1) for part in str(policy["content"]).split("; "))
        for kind in ("script", "style"):
            digest = hashlib.sha256("".join(page.raw[kind]).encode()).digest()
            assert stated[f"{kind}-src"] == f"'sha256-{base64.b64encode(digest).decode()}'"
        assert (stated["default-src"], stated["img-src"]) == ("'none'", "data:")
        assert "unsafe" not in str(policy["content"])
        assert not [key for _, attributes in page.tags for key in attributes if key == "style" or key.startswith("on")]

    def test_a_row_says_all_that_it_has(self, board: Leaderboard) -> None:
        text = html.unescape(board.to_html())
        for words in (
            "95% interval 11.00 to 13.00", "real faces score 9.50", "target 20", "12.50", "0.0123", "0.75", "0.88",
            "7.5 for the value.", "2026-05-17 23:41 +0000", "Leave everything but the images out.", "1 day late",
            "Nothing was handed in.", "Alice Éxample-Ünger", "plain DCGAN", "Q9920002_1.tar.gz", "held-out-faces",
        ):  # fmt: skip
            assert words in text, words

    def test_columns_that_no_row_has_are_left_out(self, board: Leaderboard) -> None:
        graded = board.rows[2].outcome.graded
        assert graded is not None
        bare = replace(graded, score=replace(graded.score, metrics={}, interval95=None, floor=None), private=None)
        plain = LeaderboardRow(replace(board.rows[2].outcome, graded=bare), rank=1)
        keys = [th.get("data-key") for th in Page(replace(board, rows=(plain,), baselines=()).to_html()).all("th")]
        assert [key for key in keys if key] == ["rank", "student", "value"]
        keys = [th.get("data-key") for th in Page(board.to_html()).all("th")]
        metrics = ["kid", "precision", "recall", "coverage"]
        assert [key for key in keys if key] == ["rank", "student", "value", "private", *metrics, "points", "flags"]

    def test_baselines_stand_among_the_rows_by_value_and_are_counted_nowhere(self, board: Leaderboard) -> None:
        page = Page(board.to_html())
        entries = [entry for entry in page.all("tbody") if str(entry.get("class", "")).startswith("entry")]
        assert [entry["data-state"] for entry in entries][:4] == ["graded flagged passed"] * 2 + [
            "baseline",
            "graded failed",
        ]
        assert "All <span>7</span>" in board.to_html()

    def test_evidence_is_pictured_side_by_side(self, board: Leaderboard) -> None:
        page = Page(board.to_html())
        pair = [
            image
            for image in page.all("img")
            if image["alt"] in ("of-s7410001-member-0.png", "of-Q9920002-member-1.png")
        ]
        assert len(pair) == 3  # Bob's own second is the match of Alice's first, and the image of his second pair
        graded = board.rows[0].outcome.graded
        assert graded is not None
        shown = Image.open(io.BytesIO(base64.b64decode(str(pair[0]["src"]).partition(",")[2])))
        all_of_them = np.asarray(Image.open(io.BytesIO(graded.pictures)), dtype=np.float64)
        assert np.abs(np.asarray(shown, dtype=np.float64) - all_of_them[:64, :64]).mean() < 6

    def test_a_class_of_one_set_of_images_stays_small(self, board: Leaderboard) -> None:
        first = board.rows[0]
        flags = tuple(replace(shared(board.rows[1], first), name=f"shared_with:x{i}") for i in range(300))
        (shown,) = Album().shown([replace(first, flags=flags)])
        assert len(shown.flags) == MOST_FLAGS and len(shown.further) == 300 - MOST_FLAGS
        assert sum(len(flag.pictured) for flag in shown.flags) == 40

    def test_pictures_are_optional(self, board: Leaderboard) -> None:
        graded = board.rows[0].outcome.graded
        assert graded is not None
        outcome = replace(board.rows[0].outcome, graded=replace(graded, pictures=b""))
        (shown,) = Album().shown([replace(board.rows[0], outcome=outcome)])
        assert shown.strip == "" and shown.sheet == graded.sheet_uri and len(shown.flags[0].listed) == 3

    def test_the_same_rows_give_the_same_bytes(self, board: Leaderboard) -> None:
        assert render(board, Album()) == render(board, Album())


class TestKnownPictures:
    def test_images_of_a_collection_are_found_by_name_and_brought_to_size(self, tmp_path: Path) -> None:
        Image.new("RGB", (178, 218), (200, 10, 10)).save(tmp_path / "a.png")
        Image.new("RGB", (64, 64), (10, 200, 10)).save(tmp_path / "b.png")
        pictures_of = KnownPictures(tmp_path, None, 64)
        found = pictures_of("copied_from_reference", ["a.png", "absent.png"])
        assert {name: (image.shape, int(image[0, 0, 0])) for name, image in found.items()} == {
            "a.png": ((64, 64, 3), 200)
        }
        assert pictures_of("copied_from_training", ["a.png"]) == {} == pictures_of("of_mine", ["a.png"])

    def test_what_cannot_be_read_is_said_and_left_out(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert KnownPictures(tmp_path / "gone", None, 64)("copied_from_reference", ["a.png"]) == {}
        assert "shows no matching pictures for the flag copied_from_reference" in " ".join(
            capsys.readouterr().err.split()
        )


def test_ranks_are_shown_as_what_is_known_of_them(board: Leaderboard) -> None:
    places = [place_of(row, sharing(board.rows)) for row in board.rows]
    assert places == ["1", "2", "=3", "=3", "", "", ""]


class TestCharts:
    def test_a_scale_has_each_mark_in_its_place(self) -> None:
        scale = scale_of(Axis(50.0), 25.0, (20.0, 30.0), floor=0.0, target=50.0)
        assert (scale.value, scale.low, scale.span, scale.floor, scale.target) == (50.0, 40.4, 19.2, 2.0, 98.0)
        assert not scale.beyond

    def test_a_failed_generator_presses_nobody_together(self) -> None:
        axis = axis_of([12.0, 14.0, *[20.0] * 16, 22.0, 400.0], [9.0, 20.0])
        assert (axis.end, axis.beyond) == (30.0, True)
        assert scale_of(axis, 400.0).beyond and scale_of(axis, 400.0).value > axis.last

    def test_every_value_is_in_one_bar(self) -> None:
        values = np.random.default_rng(0).gamma(4, 6, 200).tolist()
        histogram = histogram_of(axis_of(values, [20.0]), values, 20.0)
        assert histogram is not None
        assert sum(int(bar.words.split()[0]) for bar in histogram.bars) == 200
        below = sum(int(bar.words.split()[0]) for bar in histogram.bars if bar.below)
        assert below == sum(value < 20 for value in values)

    @pytest.mark.parametrize("values", [[], [3.0], [0.0, 0.0]])
    def test_few_and_tiny_values_have_an_axis(self, values: list[float]) -> None:
        assert axis_of(values, []).end > 0
        assert (histogram_of(axis_of(values, []), values) is None) is (len(values) < 2)


def secrets_of(board: Leaderboard) -> set[str]:
    """Whatever names a student or a file: numbers, names, files, members, hashes, also parts and halves of them."""
    words: set[str] = set()
    for each in board.rows:
        outcome = each.outcome
        words |= {outcome.student_number or "", outcome.file, outcome.file.removesuffix(".tar.gz")}
        words |= {each.student_name or "", *(each.student_name or "").split(), *outcome.file.split()}
        for sha256 in (outcome.sha256, hashlib.sha256((outcome.student_number or "").encode()).hexdigest()):
            words |= {(sha256 or "")[:16], (sha256 or "")[-16:]}
        words |= set(outcome.graded.names) if outcome.graded else set()
        words |= {flag.message for flag in each.flags} | set(each.notes)
        words |= {attempt.outcome.file for attempt in each.attempts}
    words |= {"eve-secret-diary", "diary", "2026-05-17", "23:41", "faces-of-the-course", "held-out-faces"}
    return {word for word in words if len(word) > 3 and word != "final.zip"}


def forms_of(word: str) -> set[str]:
    """How a word could stand in a page: escaped for HTML or JSON, in base64 at each alignment, in hex, in any case."""
    forms = {word, html.escape(word), json.dumps(word)[1:-1], word.encode().hex(), word[::-1]}
    for shift in range(3):
        whole = base64.b64encode(b"\0" * shift + word.encode()).decode()
        forms |= {part for part in [whole[4 if shift else 0 : -4]] if len(part) > 5}
    return {form.casefold() for form in forms if len(form) > 3}


class TestClass:
    def test_nothing_in_it_tells_who_is_who(self, board: Leaderboard, tmp_path: Path) -> None:
        write_for_class(board, tmp_path, SALT)
        page = (tmp_path / "class.html").read_text(encoding="utf-8").casefold()
        found = [form for word in secrets_of(board) for form in forms_of(word) if form in page]
        assert found == []
        assert "img" not in [tag for tag, _ in Page(page).tags] and "shared with" not in page

    def test_the_search_for_leaks_finds_one(self, board: Leaderboard) -> None:
        page = render(board).casefold()
        assert [word for word in secrets_of(board) if not any(form in page for form in forms_of(word))] != sorted(
            secrets_of(board)
        )
        assert "s7410001" in page and base64.b64encode(b"s7410001").decode().casefold()[:-4] in forms_of("s7410001")

    def test_pseudonyms_are_those_of_hmac_and_stay(self, board: Leaderboard) -> None:
        called = pseudonyms(board.rows, SALT)
        fewer = pseudonyms(board.rows[::2], SALT)
        assert fewer.items() <= called.items() and len(set(called.values())) == len(board.rows)
        assert all(re.fullmatch(r"[2-9B-Z]{4}-[2-9B-Z]{3}", name) for name in called.values())
        assert not set(pseudonyms(board.rows, SALT + b"!").values()) & set(called.values())

    def test_those_who_would_share_one_have_longer_ones(
        self, board: Leaderboard, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rest = iter("BCDFGHJKMNPQRST")
        monkeypatch.setattr("facegen.grading.anonymous._letters", lambda digest: "2345678" + next(rest) * 30)
        called = pseudonyms(board.rows[:2], SALT)
        assert sorted(called.values()) == ["2345-678BBB", "2345-678CCC"]

    def test_ties_and_rejected_are_in_the_order_of_their_pseudonyms(self, board: Leaderboard) -> None:
        called = pseudonyms(board.rows, SALT)
        for rows in (board.rows, board.rows[::-1]):
            seen = for_class(replace(board, rows=rows), called).rows
            assert [row.rank for row in seen] == [1, 2, 3, 3, None, None]
            assert [row.name for row in seen[2:4]] == sorted(called[name] for name in ("s7410003", "s7410004"))
            assert [row.name for row in seen[4:]] == sorted(
                called[name] for name in ("s7410005", "frank smith final.zip")
            )

    def test_a_private_value_stays_private_unless_ranks_go_by_it(self, board: Leaderboard) -> None:
        called = pseudonyms(board.rows, SALT)
        assert "12.50" not in render(for_class(board, called), for_class=True)
        assert "12.50" in render(for_class(replace(board, ranked_by="private"), called), for_class=True)

    def test_the_salt_is_made_once_and_its_owners_alone(self, tmp_path: Path) -> None:
        first = read_salt(tmp_path / "salt.txt", make=True)
        assert read_salt(tmp_path / "salt.txt", make=True) == first and len(first) == 64
        if os.name != "nt":
            assert stat.S_IMODE((tmp_path / "salt.txt").stat().st_mode) == 0o600

    def test_who_is_who_is_for_the_staff(self, board: Leaderboard, tmp_path: Path) -> None:
        called = write_for_class(board, tmp_path, SALT)
        with (tmp_path / "pseudonyms.csv").open(newline="", encoding="utf-8") as file:
            told = {line["file"]: line["pseudonym"] for line in csv.DictReader(file)}
        assert told["Q9920002.tar.gz"] == called["Q9920002"]
        if os.name != "nt":
            assert stat.S_IMODE((tmp_path / "pseudonyms.csv").stat().st_mode) == 0o600

    @pytest.mark.parametrize(("text", "words"), [(None, "Cannot read the salt"), ("short", "can be guessed")])
    def test_a_salt_that_is_none_is_refused(self, text: str | None, words: str, tmp_path: Path) -> None:
        if text is not None:
            (tmp_path / "salt").write_text(text)
        with pytest.raises(InputError, match=words):
            read_salt(tmp_path / "salt", make=False)


@pytest.fixture(scope="module")
def pages(board: Leaderboard, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Each student's page by its file's name."""
    folder = tmp_path_factory.mktemp("pages") / "feedback"
    write_feedback(board, folder, Album(), pseudonyms(board.rows, SALT))
    return {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}


class TestFeedback:
    def test_each_student_has_a_page(self, pages: dict[str, str]) -> None:
        numbers = ("s7410001", "Q9920002", "s7410003", "s7410004", "s7410005", "s7410006")
        assert sorted(pages) == sorted(f"{number}.html" for number in numbers)

    def test_a_page_names_nobody_else(self, pages: dict[str, str], board: Leaderboard) -> None:
        for name, page in pages.items():
            others = replace(
                board, rows=tuple(row for row in board.rows if f"{row.outcome.student_number}.html" != name)
            )
            mine = replace(board, rows=tuple(row for row in board.rows if f"{row.outcome.student_number}.html" == name))
            words = secrets_of(others) - secrets_of(mine)
            text = re.sub(r"data:image/jpeg;base64,[\w+/=]+", "", page).casefold()
            assert [form for word in words for form in forms_of(word) if form in text] == [], name

    def test_it_says_what_a_value_is_worth(self, pages: dict[str, str]) -> None:
        for words in (
            "12.00",
            "95% interval",
            "11.00 and 13.00",
            "below the target of 20",
            "9.50",
            "Your rank is 1 of 4.",
            "By its value, your submission cannot be told apart from 1 other.",
        ):
            assert words in pages["s7410001.html"], words
        assert "and others share it" in pages["s7410003.html"]
        assert "7.5 for the value." in pages["s7410003.html"] and "Q9920002_1.tar.gz" in pages["Q9920002.html"]

    def test_a_rejected_one_is_told_what_to_do(self, pages: dict[str, str]) -> None:
        page = html.unescape(pages["s7410005.html"])
        assert "'eve-secret-diary.txt' is not an image" in page and "Leave everything but the images out." in page
        assert "Nothing was handed in." in pages["s7410006.html"]

    def test_a_shared_image_is_shown_from_the_own_side(self, pages: dict[str, str]) -> None:
        page = Page(pages["s7410001.html"])
        assert "Some images look the same as images of 1 other submission." in pages["s7410001.html"]
        shown = [str(image["alt"]) for image in page.all("img")]
        assert [alt for alt in shown if alt.endswith(".png")] == [f"of-s7410001-member-{i}.png" for i in range(3)]

    def test_no_script_runs_in_it(self, pages: dict[str, str]) -> None:
        assert "script-src 'none'" in pages["s7410001.html"] and not Page(pages["s7410001.html"]).all("script")

    def test_a_name_is_escaped(self, pages: dict[str, str]) -> None:
        assert "Bob &#34;&lt;b&gt;&#34; Tables" in pages["Q9920002.html"]

    def test_numbers_that_differ_in_case_have_files_of_their_own(self, board: Leaderboard, tmp_path: Path) -> None:
        rows = [
            replace(board.rows[4], outcome=replace(board.rows[4].outcome, student_number=n, file=n)) for n in ("a", "A")
        ]
        write_feedback(replace(board, rows=tuple(rows)), tmp_path / "feedback")
        names = {path.name.casefold() for path in (tmp_path / "feedback").iterdir()}
        assert len(names) == 2 and all(re.fullmatch(r"a\.[0-9a-f]{8}\.html", name) for name in names)

    def test_earlier_feedback_is_replaced_and_nothing_else(self, board: Leaderboard, tmp_path: Path) -> None:
        folder, out = tmp_path / "feedback", tmp_path / "grades"
        write_feedback(board, folder)
        require_feedback_place(folder, out)
        write_feedback(replace(board, rows=board.rows[:1]), folder)
        assert [path.name for path in folder.iterdir()] == ["s7410001.html"]
        (folder / "thesis.html").write_text("<p>not feedback")
        with pytest.raises(InputError, match=r"thesis\.html"):
            require_feedback_place(folder, out)

    @pytest.mark.parametrize("place", [".", "grades"])
    def test_the_grades_are_not_replaced(self, place: str, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="Feedback would replace"):
            require_feedback_place(tmp_path / place, tmp_path / "grades")


class TestTables:
    def test_the_csv_has_what_a_course_asks_for_at_its_end(self, board: Leaderboard) -> None:
        rows = list(csv.DictReader(io.StringIO(board.to_csv(), newline="")))
        keys = ["interval_low", "interval_high", "floor", "private_value", "kid", "precision", "recall", "coverage"]
        keys += ["points", "points_for", "tied_with", "attempts", "student_name", "submitted_at"]
        assert list(rows[0])[13:] == keys
        values = ["13.0000", "15.0000", "9.5000", "14.5000", "0.012300", "0.750000", "0.500000", "0.875000"]
        values += [
            "7.50",
            " ".join(board.rows[1].points_for),
            "s7410001",
            "2",
            'Bob "<b>" Tables',
            "2026-05-17T23:41:00+00:00",
        ]
        assert [rows[1][key] for key in keys] == values
        assert rows[6]["status"] == "missing" and rows[6]["value"] == ""
        assert [row["status"] for row in rows[7:]] == ["baseline"] * len(board.baselines)

    def test_json_has_what_is_asked_for_in_all_rows_or_in_none(self, board: Leaderboard) -> None:
        value = json.loads(json.dumps(board.to_json(), allow_nan=False))
        bob, missing = value["submissions"][1], value["submissions"][6]
        assert bob.keys() == missing.keys() == value["baselines"][0].keys()
        assert (bob["points"], bob["tied_with"], bob["private_score"]["value"]) == (7.5, ["s7410001"], 14.5)
        assert [(each["file"], each["counts"], each["reason"], each["days_late"]) for each in bob["attempts"]] == [
            ("Q9920002_1.tar.gz", False, "empty", 0),
            ("Q9920002.tar.gz", True, None, 1),
        ]
        assert (value["ranked_by"], value["private"]["n"]) == ("public", 9)
        assert (missing["points"], missing["private_score"], missing["student_name"]) == (None, None, "Gina Quexley")

    def test_json_of_a_plain_class_has_none_of_it(self, board: Leaderboard) -> None:
        plain = replace(board, rows=(LeaderboardRow(Outcome("x", None, None)),), baselines=(), private=None)
        value = plain.to_json()
        assert not value.keys() & {"baselines", "private", "ranked_by"}
        assert not value["submissions"][0].keys() & {"points", "attempts", "tied_with", "student_name", "submitted_at"}
