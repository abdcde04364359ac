"""A warning for targets that leave a generator no margin above the score of real images.

The warning also says which size of the reference would leave a margin.
"""

from __future__ import annotations

from facegen.metrics.floor import Floor, expected_floor, floors_by_reference_size, reference_size_for
from facegen.scoring.reference import Reference

#: Fraction of the target that the floor should leave for a generator's own error.
MARGIN = 0.1


def margin_warning(reference: Reference, floor: Floor | None, n: int, target: float) -> str | None:
    """Return a warning if n real images score above 1 − ``MARGIN`` of the target, otherwise None.

    Args:
        reference: The reference.
        floor: The measured floor. If there are too few real images to measure it against the whole reference, as with n
            reference images for n images, an estimate is used where one is possible. The warning then says "about".
        n: Number of images in the measured set.
        target: The value to stay below.
    """
    if not reference.pools:
        return None
    pool = max((pool.features for pool in reference.pools), key=len)
    size = reference.statistics.n
    whole = floor is not None and floor.reference_n == size
    if not whole and size is not None and (estimate := expected_floor(pool, n, size)) is not None:
        value, score = estimate, f"would score about {estimate:.1f}"
    elif floor is not None:
        value, score, size = floor.value, f"score {floor.value:.2f}", floor.reference_n
    else:
        return None
    if value <= (1 - MARGIN) * target:
        return None
    against = "" if size is None else f" against {size:,} reference images"
    verdict = "so even they miss" if value >= target else "so a generator has almost no margin below"
    sentence = f"{n:,} real images {score}{against}, {verdict} the target of {target:g}"
    floors = floors_by_reference_size(pool, n)
    if size is not None:
        floors[size] = value
    if len(floors) < 2:
        return f"{sentence}."
    enough = reference_size_for(target, floors, margin=MARGIN * target)
    if enough is None:
        return f"{sentence}. No reference is large enough for so few images. Score more images."
    return (
        f"{sentence}. With a reference of about {round(enough, 2 - len(str(enough))):,} images they would score "
        f"{MARGIN:.0%} below it."
    )
