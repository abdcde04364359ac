"""The report: what it says in words, shows in pictures and draws in charts, harmless whatever the files are called."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from facegen.data.images import open_images
from facegen.data.origin import Origin
from facegen.errors import EnvironmentProblem
from facegen.metrics.extrapolation import Extrapolation
from facegen.metrics.floor import Floor
from facegen.metrics.frechet import frechet_distance, frechet_statistics
from facegen.metrics.interval import Interval
from facegen.metrics.memorization import Memorization, memorization
from facegen.printable import printable
from facegen.scoring.evaluation import Evaluation
from facegen.scoring.features import FeatureSet
from facegen.scoring.metric import MetricInputs
from facegen.scoring.metric_table import MEMORIZATION, measure
from facegen.scoring.report import sentences, write_report
from facegen.scoring.report.charts import Mark, curve_chart, scale_chart
from facegen.scoring.report.embedded import SIDE, read_pictures, sheet
from facegen.scoring.score import Score

EVIL = "<script>alert(1)<img src=x onerror=alert(1)>'\"&\x1b\u202e"  # a file name may be all this
GENERATED, REAL, EXTRA, HELDOUT = 60, 120, 10, 200


def feature_set(folder: Path, count: int, random: np.random.Generator) -> FeatureSet:
    """Images of one colour each, told apart by it, and random features."""
    colours = random.integers(0, 256, (count, 3), dtype=np.uint8)
    folder.mkdir()
    for index, colour in enumerate(colours):
        Image.new("RGB", (8, 8), tuple(colour.tolist())).save(folder / f"{EVIL}{index:03}.png")
    return FeatureSet(open_images(folder), random.normal(size=(count, 8)).astype(np.float32))


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    """60 images against 120, in files and folders with names full of markup. By their features the first four are
    copies of the reference's images 7, 8 and 9 and of the extra training image 5; images 10 and 11 are the same."""
    folder, random = tmp_path_factory.mktemp("report"), np.random.default_rng(0)
    real, extra, heldout, generated = (
        feature_set(folder / name, count, random)
        for name, count in (("real", REAL), ("extra", EXTRA), ("heldout", HELDOUT), (EVIL, GENERATED))
    )
    generated.features[:4] = np.concatenate([real.features[7:10], extra.features[5:6]])
    generated.features[11] = generated.features[10]
    reference = frechet_statistics(real.features)
    value = frechet_distance(frechet_statistics(generated.features), reference)
    warnings = (f"It is {EVIL}.",)
    score = Score("fd", value, GENERATED, 8, "tiny", "0" * 64, REAL, "1" * 64, 20.0, True, warnings=warnings)
    return Evaluation(
        score=score,
        generated=generated,
        real=real,
        training=(real, extra),
        heldout=heldout,
        floor=Floor(0.5, 0.1, (0.4, 0.6), GENERATED, REAL),
        interval=Interval(value - 0.2, value + 0.2, 0.1),
        results=measure(
            MetricInputs(
                generated.features,
                real.features,
                np.concatenate([real.features, extra.features]),
                heldout.features,
                reference,
            )
        ),
    )


def with_memorization(evaluation: Evaluation, found: Memorization) -> Evaluation:
    return replace(evaluation, results={**evaluation.results, MEMORIZATION.key: found})


class Page(HTMLParser):
    """A page's tags with their attributes, its words, and its pictures by their alternative text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_data(self, data: str) -> None:
        if self.tags[-1:] and self.tags[-1][0] != "style":
            self.words += data

    @property
    def pictures(self) -> list[tuple[str, npt.NDArray[np.uint8]]]:
        found = []
        for tag, attributes in self.tags:
            if tag == "img":
                kind, data = str(attributes["src"]).split(",", 1)
                assert kind == "data:image/png;base64"
                pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
                found.append((str(attributes["alt"]), pixels))
        return found


@pytest.fixture
def page_of(tmp_path: Path) -> Callable[[Evaluation], Page]:
    return lambda evaluation: Page(write_report(evaluation, tmp_path / "new" / "report").read_text(encoding="utf-8"))


def pixels_of(known: FeatureSet, row: int) -> npt.NDArray[np.uint8]:
    return next(iter(known.images.take([row])))[1]


class TestPage:
    def test_it_stands_alone_and_escapes_every_name(
        self, page_of: Callable[[Evaluation], Page], evaluation: Evaluation
    ) -> None:
        page = page_of(evaluation)
        assert {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "image", "use"} == set()
        assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
        assert not {name for _, attributes in page.tags for name in attributes} & {"href", "srcset", "action"}
        assert all(alt for alt, _ in page.pictures)  # which asserts that every src is data
        seen = printable(EVIL)
        assert page.words.count(seen) > 20 and f"It is {seen}." in page.words
        assert page.words.replace("\n", "").isprintable() and all(alt.isprintable() for alt, _ in page.pictures)

    def test_a_copy_stands_beside_its_source_in_whichever_training_set(
        self, page_of: Callable[[Evaluation], Page], evaluation: Evaluation
    ) -> None:
        shown = page_of(evaluation).pictures
        copies = [index for index, (alt, _) in enumerate(shown) if alt.startswith("training image")]
        sources = {
            0: (evaluation.real, 7),
            1: (evaluation.real, 8),
            2: (evaluation.real, 9),
            3: (evaluation.training[1], 5),
        }
        assert evaluation.result(MEMORIZATION).flagged[:4].tolist() == [0, 1, 2, 3]
        for (row, (known, source)), index in zip(sources.items(), copies, strict=False):
            np.testing.assert_array_equal(shown[index - 1][1], pixels_of(evaluation.generated, row))
            np.testing.assert_array_equal(shown[index][1], pixels_of(known, source))

    def test_duplicates_stand_side_by_side(self, page_of: Callable[[Evaluation], Page], evaluation: Evaluation) -> None:
        page = page_of(evaluation)
        assert evaluation.result(MEMORIZATION).duplicates[0].tolist() == [10, 11]
        seen = printable(EVIL)
        assert f"{seen}010.png, {seen}011.png\ndistance 0.00" in page.words

    def test_the_contact_sheet_shows_the_first_images_in_order(
        self, page_of: Callable[[Evaluation], Page], evaluation: Evaluation
    ) -> None:
        alt, sheet = page_of(evaluation).pictures[0]
        assert alt == "contact sheet: 60 generated images"
        np.testing.assert_array_equal(sheet[2:10, 12:20], pixels_of(evaluation.generated, 1))

    def test_without_floor_interval_calibration_or_anything_found(
        self, page_of: Callable[[Evaluation], Page], evaluation: Evaluation
    ) -> None:
        found = replace(
            memorization(evaluation.generated.features, evaluation.real.features[:60], None),
            duplicates=np.empty((0, 2), dtype=np.int64),
        )
        score = replace(evaluation.score, target=None, passed=None, reference_n=None, warnings=())
        bare = replace(with_memorization(evaluation, found), score=score, floor=None, interval=None, heldout=None)
        text = page_of(bare).words
        assert "could not be measured" in text and f"{found.uncalibrated}." in text and "None" not in text
        assert "Warnings" not in text and "target" not in text and "Near-duplicates within" not in text

    @pytest.mark.parametrize(("network", "warned"), [("tiny", True), ("other", False)])
    def test_the_network_that_the_generator_was_trained_against_is_named(
        self, page_of: Callable[[Evaluation], Page], evaluation: Evaluation, network: str, warned: bool
    ) -> None:
        text = page_of(replace(evaluation, score=evaluation.score.with_origin(Origin(None, network)))).words
        assert f"generator was trained against a network: {network}." in text
        assert ("trained against tiny: the value flatters" in text) is warned
        assert ("values of other generators are not comparable" in text) is warned

    def test_the_same_evaluation_gives_the_same_bytes(self, tmp_path: Path, evaluation: Evaluation) -> None:
        first, second = (write_report(evaluation, tmp_path / name).read_bytes() for name in ("a", "b"))
        assert first == second

    def test_a_folder_that_cannot_be_made_is_an_input_error(self, tmp_path: Path, evaluation: Evaluation) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(EnvironmentProblem, match=r"Cannot write .*index\.html"):
            write_report(evaluation, tmp_path / "file")


class TestSentences:
    @pytest.mark.parametrize(
        ("value", "low", "high", "expected"),
        [
            (15.0, 14.0, 16.0, ("below the target of 20", "good")),
            (19.5, 18.0, 21.0, ("below the target of 20, but within the margin of error", "note")),
            (20.5, 19.0, 22.0, ("not below the target of 20, but within the margin of error", "note")),
            (25.0, 24.0, 26.0, ("not below the target of 20", "bad")),
        ],
    )
    def test_the_target_is_judged_with_the_error(
        self, evaluation: Evaluation, value: float, low: float, high: float, expected: tuple[str, str]
    ) -> None:
        score = replace(evaluation.score, value=value, passed=value < 20)
        badge = sentences.badges(replace(evaluation, score=score, interval=Interval(low, high, 0.5)))[0]
        assert (badge.text, badge.tone) == expected

    def test_a_floor_above_the_target_is_said(self, evaluation: Evaluation) -> None:
        badges = sentences.badges(replace(evaluation, floor=Floor(21.0, 0.2, (21.0,), GENERATED, REAL)))
        assert "real images miss this target too" in [badge.text for badge in badges]

    @pytest.mark.parametrize(
        ("floor", "expected"),
        [(5.0, "The other 5.00 of the value come from"), (9.9, "cannot be told from real"), (12.0, "copies of it")],
    )
    def test_the_value_is_compared_with_the_floor(self, evaluation: Evaluation, floor: float, expected: str) -> None:
        score = replace(evaluation.score, value=10.0)
        interval, real = Interval(9.8, 10.2, 0.1), Floor(floor, 0.1, (floor,), GENERATED, REAL)
        assert expected in sentences.verdict(replace(evaluation, score=score, interval=interval, floor=real))[0]

    @pytest.mark.parametrize(
        ("red", "p_value", "badge", "sentence"),
        [
            (True, 1e-9, "copies suspected", "p < 0.001"),
            (False, 0.002, "a few images may be copies", "too few to call the set copied"),
            (False, 0.4, "no sign of copies", "That is no more than chance explains."),
        ],
    )
    def test_copies_in_words(
        self, evaluation: Evaluation, red: bool, p_value: float, badge: str, sentence: str
    ) -> None:
        panel = replace(evaluation.result(MEMORIZATION), red=red, p_value=p_value, distances=np.ones(GENERATED))
        changed = with_memorization(evaluation, panel)
        assert sentences.badges(changed)[-1].text == badge
        assert sentence in sentences.copies(changed)[-1]

    def test_exact_copies_are_never_chance(self, evaluation: Evaluation) -> None:
        found = replace(evaluation.result(MEMORIZATION), red=False, p_value=0.4)
        changed = with_memorization(evaluation, found)
        assert sentences.badges(changed)[-1].text == "a few images may be copies"
        assert "4 of them have exactly the features of a training" in sentences.copies(changed)[-1]


class TestCharts:
    def test_marks_lie_to_scale(self) -> None:
        marks = [Mark("a", 0.0, None, "0", "floor"), Mark("b", 5.0, (4.0, 6.0), "5", "value")]
        svg = ElementTree.fromstring(scale_chart([*marks, Mark("c", 10.0, None, "10", "limit")], 7.5))
        first, middle, last = (float(circle.attrib["cx"]) for circle in svg.iter("circle"))
        target = next(float(line.attrib["x1"]) for line in svg.iter("line") if line.attrib["class"] == "target")
        assert middle - first == pytest.approx((last - first) / 2, abs=0.02)
        assert target - first == pytest.approx((last - first) * 0.75, abs=0.02)
        assert svg.attrib["aria-label"] == "a: 0; b: 5; c: 10; target: 7.5"

    def test_points_on_a_line_in_one_over_n_lie_on_a_line(self) -> None:
        sizes = (50, 75, 100)
        line = Extrapolation(3.0, 100.0, sizes, tuple(3.0 + 100.0 / size for size in sizes))
        svg = ElementTree.fromstring(curve_chart(line, (3.9, 4.1), 500.0, "FID"))
        x, y = np.array([[float(circle.attrib[key]) for circle in svg.iter("circle")] for key in ("cx", "cy")])
        assert len(x) == 4 and x[3] < x[2] < x[1] < x[0]  # N = ∞ comes last, and lies furthest left
        np.testing.assert_allclose(np.polyval(np.polyfit(x, y, 1), x), y, atol=0.05)
        assert "target" not in {
            line.attrib["class"] for line in svg.iter("line")
        }  # far away: it would flatten the curve


class TestEmbedded:
    def test_large_images_shrink_and_small_ones_stay(self, tmp_path: Path) -> None:
        Image.new("RGB", (400, 200), "red").save(tmp_path / "0.png")
        Image.new("RGB", (16, 24), "blue").save(tmp_path / "1.png")
        shown = read_pictures(open_images(tmp_path), np.array([1, 0, 1]), "generated image")
        assert {row: picture.pixels.shape for row, picture in shown.items()} == {0: (64, SIDE, 3), 1: (24, 16, 3)}
        assert shown[1].alt == "generated image 1.png"

    def test_a_sheet_of_different_sizes_centres_them(self, tmp_path: Path) -> None:
        Image.new("RGB", (20, 10), "red").save(tmp_path / "0.png")
        Image.new("RGB", (10, 20), "blue").save(tmp_path / "1.png")
        shown = read_pictures(open_images(tmp_path), np.arange(2), "generated image")
        pixels = sheet(list(shown.values())).pixels
        assert pixels.shape == (24, 46, 3)
        assert pixels[12, 12].tolist() == [255, 0, 0] and pixels[4, 12].tolist() == [128, 128, 128]
        assert pixels[12, 34].tolist() == [0, 0, 255]
