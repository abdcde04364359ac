"""Which images of a source become the dataset, and in which split each goes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from facegen import console
from facegen.data.containers import splits_told
from facegen.data.partition import find_partition, knows_any, read_partition, splits_of
from facegen.data.sources import Source, StoredImages
from facegen.errors import InputError
from facegen.files import sha256_file


@dataclass(frozen=True)
class Selection:
    """The images to prepare.

    Attributes:
        names: in natural order.
        splits: of each name, ``"train"``, ``"valid"`` or ``"test"``.
        partition_sha256: of the partition file; None when there is none.
    """

    names: list[str]
    splits: dict[str, str]
    partition_sha256: str | None


def select(source: Source, partition: Path | None, split: str, limit: int | None) -> Selection:
    """The first ``limit`` images of ``split`` (``"all"``: of any) by ``partition``, or by the one beside the images.

    Without a partition the container's own splits count, and where it has none every image is train. InputError when
    the partition does not fit or the split is empty.
    """
    names = list(source.names)
    table: dict[str, str] | None = None
    if partition is not None:
        table = read_partition(partition)
    elif isinstance(source, StoredImages) and (partition := find_partition(source.container.path)):
        table = read_partition(partition)
        if knows_any(table, names):
            console.info(f"Splits from {partition.name}, found beside the images.")
        else:
            console.info(f"{partition.name} beside the images does not name them: it is left aside.")
            table = None
    if table is None and isinstance(source, StoredImages) and (told := splits_told(source.container)):
        chosen = [name for name in names if split in ("all", told[name])]
        if not chosen:
            raise InputError(f"None of the {len(names):,} images of {source.label} is in the {split} split.")
        return Selection(chosen[:limit], told, None)
    if table is None or partition is None:
        if split not in ("all", "train"):
            raise InputError(
                f"Without a partition every image of {source.label} is train: there is no {split} split.",
                "Name CelebA's list_eval_partition.txt with --partition.",
            )
        return Selection(names[:limit], dict.fromkeys(names[:limit], "train"), None)
    splits = dict(zip(names, splits_of(names, table, partition), strict=True))
    chosen = [name for name in names if split in ("all", splits[name])]
    if not chosen:
        raise InputError(f"None of the {len(names):,} images of {source.label} is in the {split} split of {partition}.")
    return Selection(chosen[:limit], splits, sha256_file(partition))
