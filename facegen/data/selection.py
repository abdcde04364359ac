"""Choose the images of a source for the dataset, and the split of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from facegen import console
from facegen.data.opening import splits_told
from facegen.data.partition import Matched, Partition, read_partition
from facegen.data.partition_search import find_partitions
from facegen.data.sources import Source, StoredImages
from facegen.errors import InputError
from facegen.printable import printable

_SHOWN_NAMES = 3


@dataclass(frozen=True)
class Selection:
    """The images to prepare.

    Attributes:
        names: Their names, in natural order.
        splits: The split of each name: ``"train"``, ``"valid"`` or ``"test"``.
        partition_sha256: Hash of the partition file; None if there is none.
        left_out: The images that the partition does not name, in natural order.
    """

    names: list[str]
    splits: dict[str, str]
    partition_sha256: str | None
    left_out: list[str] = field(default_factory=list)


def select(source: Source, partition: Path | None, split: str, limit: int | None) -> Selection:
    """Choose the first ``limit`` images of ``split``, or of any split for ``"all"``.

    The splits come from ``partition`` if it is given, else from the container itself, else from a partition found in or
    around the source. Without any of them, every image is train and only ``"all"`` can be asked for. An image that the
    partition does not name is left out.

    Raises:
        InputError: The partition belongs to other images, or the split is empty or unknown.
    """
    names = list(source.names)
    if partition is None and isinstance(source, StoredImages) and (told := splits_told(source.container)):
        chosen = [name for name in names if split in ("all", told[name])]
        if not chosen:
            raise InputError(
                f"None of the {len(names):,} images of {source.label} is in the {split} split.", "Use another --split."
            )
        return Selection(chosen[:limit], told, None)
    if partition is not None:
        table = read_partition(partition)
        matched = table.match(names)
        if not matched.fits:
            raise InputError(
                f"{_unnamed(names, matched, source, table)}: it belongs to other images.",
                "Name the partition of these images, or omit --partition.",
            )
    else:
        found = _found(source, names, split)
        if found is None:
            return Selection(names[:limit], dict.fromkeys(names[:limit], "train"), None)
        table, matched = found
    splits = {name: known for name, known in zip(names, matched.splits, strict=True) if known is not None}
    left_out = [name for name in names if name not in splits]
    if matched.unused:
        are = "is" if matched.unused == 1 else "are"
        named = f"The partition names {len(table.splits):,} images, of which {matched.unused:,}"
        console.info(f"{named} {are} not in {source.label}.")
    if matched.again:
        images = "1 image has a name" if matched.again == 1 else f"{matched.again:,} images have names"
        console.warn(f"{images} that others in {source.label} have, in another folder or format. All are used.")
    if left_out:
        they = "it is" if len(left_out) == 1 else "they are"
        console.warn(f"{_unnamed(names, matched, source, table)}: {they} left out.")
    chosen = [name for name in splits if split in ("all", splits[name])]
    if not chosen:
        raise InputError(
            f"None of the {len(names):,} images of {source.label} is in the {split} split of {table.label}.",
            "Use another --split, or name another partition with --partition.",
        )
    return Selection(chosen[:limit], splits, table.sha256, left_out)


def _found(source: Source, names: Sequence[str], split: str) -> tuple[Partition, Matched] | None:
    """Return the nearest partition of these images and what it says of them; None if there is none.

    Raises:
        InputError: A split was asked for that cannot be known without a partition.
    """
    if not isinstance(source, StoredImages):
        if split != "all":
            raise InputError(f"Drawn faces have no splits, so {source.label} has no {split} split.", "Use --split all.")
        return None
    tables = [(table, table.match(names)) for table in find_partitions(source.container)]
    fitting = next(((table, matched) for table, matched in tables if matched.fits), None)
    if fitting is not None:
        table, matched = fitting
        console.info(f"The splits come from {table.label}, found beside the images.")
        for other, said in tables:
            unlike = sum(one != another for one, another in zip(matched.splits, said.splits, strict=True))
            if said.known and unlike:
                images = "image" if unlike == 1 else "images"
                console.warn(
                    f"{other.label} puts {unlike:,} {images} into other splits than {table.label}, which is used."
                )
        return fitting
    if not tables:
        if split != "all":
            raise InputError(
                f"The {split} split of {source.label} is not known without a partition. facegen looked for "
                "list_eval_partition.txt or .csv in it, beside it and in the folders around it.",
                "Name CelebA's list_eval_partition.txt with --partition.",
            )
        return None
    table, matched = tables[0]
    known = f"{matched.known:,}" if matched.known else "none"
    what = f"{table.label}, found beside the images, names {known} of the {len(names):,} images of {source.label}"
    if split != "all":
        raise InputError(f"{what}, so the {split} split is not known.", "Name their partition with --partition.")
    say = console.warn if matched.known else console.info
    say(f"{what}: it is not used, and every image goes to the train split.")
    return None


def _unnamed(names: Sequence[str], matched: Matched, source: Source, table: Partition) -> str:
    """Return a clause that counts the images that the partition does not name and shows a few of them."""
    left_out = [printable(name) for name, split in zip(names, matched.splits, strict=True) if split is None]
    shown = ", ".join([*left_out[:_SHOWN_NAMES], "…"] if len(left_out) > _SHOWN_NAMES else left_out)
    return (
        f"{len(left_out):,} of {len(names):,} images of {source.label} {'is' if len(left_out) == 1 else 'are'} "
        f"not in the partition {table.label} ({shown})"
    )
