"""The sentences of the report: the verdict, how to read each number, and what does not follow from it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from facegen.metrics.floor import Floor
from facegen.scoring.evaluation import Evaluation
from facegen.scoring.metric import Row
from facegen.scoring.metric_table import MEMORIZATION, report_rows

#: A number of flagged images is worth a look, though not yet red, if its p-value is below this.
_UNUSUAL = 0.01


@dataclass(frozen=True)
class Badge:
    """An answer in a few words.

    Attributes:
        text: The words.
        tone: ``"good"``, ``"bad"`` or ``"note"``.
    """

    text: str
    tone: str


def badges(evaluation: Evaluation) -> list[Badge]:
    """Return short answers on the target, on the extractor's part in training, and on copies."""
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
            answers.append(Badge(f"{words}, but within the margin of error", "note"))
        else:
            answers.append(Badge(words, "good" if score.passed else "bad"))
        if floor is not None and floor.value >= score.target:
            answers.append(Badge("real images miss this target too", "note"))
    if score.flattery is not None:
        answers.append(Badge(f"trained against {score.extractor}: the value flatters", "note"))
    if found.p_value is None:
        answers.append(Badge("copies: cannot be judged", "note"))
    elif found.red:
        answers.append(Badge("copies suspected", "bad"))
    elif found.p_value < _UNUSUAL or _exact(evaluation):
        answers.append(Badge("a few images may be copies", "note"))
    else:
        answers.append(Badge("no sign of copies", "good"))
    return answers


def verdict(evaluation: Evaluation) -> list[str]:
    """Return sentences on what the value means compared with the floor and with chance."""
    score, floor, interval = evaluation.score, evaluation.floor, evaluation.interval
    sentences = []
    if floor is None:
        sentences.append(
            f"The floor, the score of {score.n:,} real images, could not be measured. Even real images do not score 0, "
            "so without a floor nobody knows how much of the value comes from flaws of these images."
        )
    else:
        above = score.value - floor.value
        error = 2 * math.hypot(floor.spread, interval.standard_error if interval else 0.0)
        if above > error:
            meaning = f"The other {above:.2f} of the value come from how these images differ from real ones"
        elif above >= -error:
            meaning = "By this measure, this set cannot be told from real images"
        else:
            meaning = "This set is nearer to the reference than new real images are, as copies of it would be"
        sentences.append(
            f"{score.n:,} real images that are not in the reference score {floor_value(floor)} (the floor). {meaning}."
        )
    if interval is not None:
        sentences.append(
            f"Over many sets of {score.n:,} images from the same generator, the mean value would lie between "
            f"{interval.low:.2f} and {interval.high:.2f} (95% confidence interval)."
        )
    if score.sampling is not None:
        sentences.append(f"The image files say that the images were not plainly sampled: {score.sampling}.")
    if score.trained_against is not None:
        sentences.append(
            f"The image files say that the generator was trained against a network: {score.trained_against}."
        )
    if score.metric != "fid":
        sentences.append(f"The value is {score.label}, not FID. Compare it only with values of the same network.")
    return sentences


def copies(evaluation: Evaluation) -> list[str]:
    """Return sentences on what the memorization metric found."""
    found, n = evaluation.result(MEMORIZATION), len(evaluation.generated)
    if found.uncalibrated is not None or found.expected is None or found.p_value is None:
        return [f"No image is flagged, because it is unknown how near is too near: {found.uncalibrated}."]
    if found.red:
        meaning = "That is far more than chance explains. Look at them below"
    elif found.p_value < _UNUSUAL:
        meaning = "That is more than chance explains, but too few to call the set copied. Look at them below"
    else:
        meaning = "That is no more than chance explains"
    exact = _exact(evaluation)
    same = (
        f" {exact:,} of them {'has' if exact == 1 else 'have'} exactly the features of a training or reference image."
        if exact
        else ""
    )
    return [
        "An image is flagged if one training or reference image is much nearer to it than the tenth nearest one is. "
        "The ratio of the two distances is then smaller than for almost all held-out real images.",
        f"{len(found.flagged):,} of {n:,} images are flagged. Of as many real images, {found.expected:.1f} would be "
        f"({'p < 0.001' if found.p_value < 0.001 else f'p = {found.p_value:.2g}'}). {meaning}.{same}",
    ]


def _exact(evaluation: Evaluation) -> int:
    """Return how many flagged images have the features of a training image, which does not happen by chance."""
    found = evaluation.result(MEMORIZATION)
    return int((found.distances[found.flagged] == 0).sum())


def rows(evaluation: Evaluation) -> list[Row]:
    """Return the rows of the table of metrics: first the score, then every other metric."""
    score, floor = evaluation.score, evaluation.floor
    of_score = Row(
        f"{score.value:.2f}",
        "unknown" if floor is None else floor_value(floor),
        "How far apart the means and covariances of the two sets' features are. It is larger for fewer images.",
        name=score.label,
    )
    return [of_score, *report_rows(evaluation.results, evaluation.compared)]


def facts(evaluation: Evaluation) -> list[tuple[str, str]]:
    """Return what was measured and with what, in enough detail to repeat the measurement."""
    score, floor, images = evaluation.score, evaluation.floor, evaluation.generated.images
    size = "statistics of unknown size" if score.reference_n is None else f"{score.reference_n:,} images"
    searched = " and ".join(f"{len(known):,} of {known.images.path.name}" for known in evaluation.training)
    rows = [
        ("Images", f"{score.n:,} of {images.path.name}"),
        ("Reference", f"{size} of {evaluation.real.images.path.name}, sha256 {score.reference_sha256}"),
        ("Extractor", f"{score.extractor}, {score.dims:,} dims, weights sha256 {score.weights_sha256}"),
        ("Copies searched for in", searched),
        (
            "Held-out images",
            "none: training images take their place" if evaluation.heldout is None else f"{len(evaluation.heldout):,}",
        ),
    ]
    if floor is not None:
        against = f" against {floor.reference_n:,}" if floor.reference_n else ""
        rows.append(("Floor", f"mean of {len(floor.draws)} draws of {floor.n:,} real images{against}"))
    return rows


def limits(evaluation: Evaluation) -> list[str]:
    """Return sentences on what does not follow from the numbers."""
    score = evaluation.score
    sentences = [
        f"Compare the value only with others at N = {score.n:,} that have the same reference, extractor and resizer. "
        "Most published values are of 10,000 to 50,000 images.",
        "The interval is about other images of the same generator. Another training run, even with the same recipe, "
        "differs by more.",
        "No number says what is wrong with the images, or whether people would take them for real. Look at them.",
        "Copies are searched for by their features, and only among the images named above. Recombined parts and copies "
        "that were changed beyond recognition are not found. A near match may be chance, or the same photograph twice. "
        "No number can tell memorisation from underfitting for certain.",
    ]
    if evaluation.floor is None:
        sentences.append("Without a floor, nobody knows how low the value could get here.")
    if score.n is not None and score.n < score.dims:
        sentences.append(
            f"{score.n:,} images are too few for the covariance of {score.dims:,} features. Much of the value comes "
            "from that, for real images too."
        )
    return sentences


def floor_value(floor: Floor) -> str:
    """Return a floor and its spread, such as ``"8.84 ± 0.02"``."""
    return f"{floor.value:.2f} ± {floor.spread:.2f}"
