"""The report's sentences: the verdict, how to read each number, and what does not follow from it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from facegen.metrics.floor import Floor
from facegen.scoring.evaluation import Evaluation
from facegen.scoring.metric import Row
from facegen.scoring.metric_table import MEMORIZATION, report_rows

#: A count of flagged images that chance gives so seldom is worth a look, though not yet red.
_UNUSUAL = 0.01


@dataclass(frozen=True)
class Badge:
    """An answer in a few words, and its ``tone``: ``"good"``, ``"bad"`` or ``"note"``."""

    text: str
    tone: str


def badges(evaluation: Evaluation) -> list[Badge]:
    """Is the target met, was the measure in the training, and are there copies?"""
    score, interval, floor, found = (
        evaluation.score,
        evaluation.interval,
        evaluation.floor,
        evaluation.result(MEMORIZATION),
    )
    answers = []
    if score.target is not None:
        words = f"{'below' if score.passed else 'not below'} the target of {score.target:g}"
        if interval is not None and interval.low < score.target < interval.high:
            answers.append(Badge(f"{words}, but within the error", "note"))
        else:
            answers.append(Badge(words, "good" if score.passed else "bad"))
        if floor is not None and floor.value >= score.target:
            answers.append(Badge("real images miss this target too", "note"))
    if score.flattery is not None:
        answers.append(Badge(f"trained against {score.extractor}: the value flatters", "note"))
    if found.p_value is None:
        answers.append(Badge("copies: not calibrated", "note"))
    elif found.red:
        answers.append(Badge("copies suspected", "bad"))
    elif found.p_value < _UNUSUAL or _exact(evaluation):
        answers.append(Badge("a few images may be copies", "note"))
    else:
        answers.append(Badge("no sign of copies", "good"))
    return answers


def verdict(evaluation: Evaluation) -> list[str]:
    """What the value means: against the floor, and against chance."""
    score, floor, interval = evaluation.score, evaluation.floor, evaluation.interval
    sentences = []
    if floor is None:
        sentences.append(
            f"What {score.n:,} real images score could not be measured, so nobody knows how much of the value is the "
            "images' own: no finite set scores 0."
        )
    else:
        above = score.value - floor.value
        error = 2 * math.hypot(floor.spread, interval.standard_error if interval else 0.0)
        if above > error:
            meaning = f"{above:.2f} of the value is the images' own"
        elif above >= -error:
            meaning = "by this measure the set cannot be told from real images"
        else:
            meaning = "the set is nearer to the reference than new real images are, as copies of it would be"
        sentences.append(
            f"{score.n:,} real images that are not in the reference score {floor_value(floor)}: {meaning}."
        )
    if interval is not None:
        sentences.append(
            f"Many sets of {score.n:,} images from the same generator would have a mean value between "
            f"{interval.low:.2f} and {interval.high:.2f} (95% interval)."
        )
    if score.sampling is not None:
        sentences.append(f"The images are not plainly sampled, as they say: {score.sampling}.")
    if score.trained_against is not None:
        sentences.append(f"The images' generator was trained against a network, as they say: {score.trained_against}.")
    if score.metric != "fid":
        sentences.append(f"The value is {score.label}, not FID: it compares only with values of the same network.")
    return sentences


def copies(evaluation: Evaluation) -> list[str]:
    """What the memorization metric found."""
    found, n = evaluation.result(MEMORIZATION), len(evaluation.generated)
    if found.uncalibrated is not None or found.expected is None or found.p_value is None:
        return [f"No image is flagged, for how near is too near is unknown: {found.uncalibrated}."]
    if found.red:
        meaning = "Far more than chance explains: look at them below"
    elif found.p_value < _UNUSUAL:
        meaning = "More than chance explains, but too few to call the set copied: look at them below"
    else:
        meaning = "So many may be chance"
    exact = _exact(evaluation)
    same = (
        f" {exact:,} of them {'has' if exact == 1 else 'have'} exactly the features of such an image." if exact else ""
    )
    return [
        "An image is flagged when one training or reference image is much nearer to it than the tenth nearest: when "
        "the ratio of the two distances is smaller than nearly all held-out real images have.",
        f"{len(found.flagged):,} of {n:,} images are flagged; {found.expected:.1f} of as many real ones would be "
        f"({'p < 0.001' if found.p_value < 0.001 else f'p = {found.p_value:.2g}'}). {meaning}.{same}",
    ]


def _exact(evaluation: Evaluation) -> int:
    """How many flagged images have the features of a training image: chance does not do that."""
    found = evaluation.result(MEMORIZATION)
    return int((found.distances[found.flagged] == 0).sum())


def rows(evaluation: Evaluation) -> list[Row]:
    """The table of metrics: the score, then every other metric; what each would be for real images, and its meaning."""
    score, floor = evaluation.score, evaluation.floor
    of_score = Row(
        f"{score.value:.2f}",
        "unknown" if floor is None else floor_value(floor),
        "How far the features' means and covariances are apart. It grows as either set shrinks.",
        name=score.label,
    )
    return [of_score, *report_rows(evaluation.results, evaluation.compared)]


def facts(evaluation: Evaluation) -> list[tuple[str, str]]:
    """What was measured with what: enough to measure it again."""
    score, floor, images = evaluation.score, evaluation.floor, evaluation.generated.images
    size = "statistics of unknown size" if score.reference_n is None else f"{score.reference_n:,} images"
    searched = " and ".join(f"{len(known):,} of {known.images.path.name}" for known in evaluation.training)
    rows = [
        ("Images", f"{score.n:,} of {images.path.name}"),
        ("Reference", f"{size} of {evaluation.real.images.path.name}, sha256 {score.reference_sha256}"),
        ("Extractor", f"{score.extractor}, {score.dims:,} dims, weights sha256 {score.weights_sha256}"),
        ("Copies sought in", searched),
        (
            "Held-out images",
            "none: training images stand in" if evaluation.heldout is None else f"{len(evaluation.heldout):,}",
        ),
    ]
    if floor is not None:
        against = f" against {floor.reference_n:,}" if floor.reference_n else ""
        rows.append(("Floor", f"mean of {len(floor.draws)} draws of {floor.n:,} real images{against}"))
    return rows


def limits(evaluation: Evaluation) -> list[str]:
    """What the numbers do not say."""
    score = evaluation.score
    sentences = [
        f"The value compares only with others at N = {score.n:,} with the same reference, extractor and resizer. Most "
        "published ones are of 10,000 to 50,000 images.",
        "The interval is about other images of the same generator. Another training run, even of the same recipe, "
        "differs by more.",
        "No number tells what is wrong with the images, or whether people would take them for real: look at them.",
        "Copies are sought by features, among the images named above and no others. Parts recombined and copies "
        "changed beyond recognition are not seen, and a near match may be chance or the same photograph twice. Nor can "
        "any number tell memorising from underfitting for certain.",
    ]
    if evaluation.floor is None:
        sentences.append("Without a floor nobody knows how low a value could be reached here.")
    if score.n is not None and score.n < score.dims:
        sentences.append(
            f"{score.n:,} images cannot fill {score.dims:,} dims: much of the value is this lack, for real images too."
        )
    return sentences


def floor_value(floor: Floor) -> str:
    """``"8.84 ± 0.02"``"""
    return f"{floor.value:.2f} ± {floor.spread:.2f}"
