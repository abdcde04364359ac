"""Whether a target leaves a generator room above what real images score, and which reference would leave it."""

from __future__ import annotations

from facegen.metrics.floor import Floor, expected_floor, floors_by_reference_size, reference_size_for
from facegen.scoring.reference import Reference

#: The part of the target that the floor should leave for a generator's own error.
ROOM = 0.1


def no_room(reference: Reference, floor: Floor | None, n: int, target: float) -> str | None:
    """What to know where n real images score above 1 − ``ROOM`` of the target, in words; None where they do not.

    ``floor`` is the measured one. Where there are too few real images to measure it against the whole reference, as
    with n references for n images, it is estimated if that can be, which the words say.
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
    if value <= (1 - ROOM) * target:
        return None
    against = "" if size is None else f" against {size:,}"
    verdict = "fail" if value >= target else "leave a generator hardly any room under"
    sentence = f"{n:,} real images {score}{against} and so {verdict} the target of {target:g}"
    floors = floors_by_reference_size(pool, n)
    if size is not None:
        floors[size] = value
    if len(floors) < 2:
        return sentence
    enough = reference_size_for(target, floors, margin=ROOM * target)
    if enough is None:
        return f"{sentence}; no reference is large enough for that few images: judge more of them"
    return f"{sentence}; against about {round(enough, 2 - len(str(enough))):,} they would leave {ROOM:.0%} of it"
