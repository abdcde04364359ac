"""CelebA's partition file: which image belongs to train, valid and test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from facegen.data.dataset import SPLITS
from facegen.errors import InputError

#: CelebA's own file, and the table the Kaggle mirror made of it.
FILE_NAMES = ("list_eval_partition.txt", "list_eval_partition.csv")


def read_partition(path: Path) -> dict[str, str]:
    """Read ``000001.jpg 0`` lines (or ``000001.jpg,0`` under a header) as file name → split name.

    0 is train, 1 valid, 2 test. InputError names the line that says something else.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as problem:
        raise InputError(f"Cannot read the partition {path}: {problem.strerror}.") from problem
    except UnicodeDecodeError:
        raise InputError(f"The partition {path} is not a text file.", "It should be list_eval_partition.txt.") from None
    codes = {str(code): split for code, split in enumerate(SPLITS)}
    partition: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        words = line.rsplit("," if path.suffix.lower() == ".csv" else None, 1)
        if not words or (number == 1 and words[-1].strip() == "partition"):
            continue
        if len(words) != 2 or words[1].strip() not in codes:
            raise InputError(
                f"Line {number} of the partition {path} is {line.strip()[:60]!r}, not an image name and 0, 1 or 2.",
                "It should be CelebA's list_eval_partition.txt.",
            )
        partition[words[0].strip()] = codes[words[1].strip()]
    if not partition:
        raise InputError(f"The partition {path} is empty.", "It should be CelebA's list_eval_partition.txt.")
    return partition


def find_partition(images: Path) -> Path | None:
    """The partition file that lies beside the images' folder or archive, or in the folder itself."""
    folders = (images, images.parent) if images.is_dir() else (images.parent,)
    candidates = (folder / name for folder in folders for name in FILE_NAMES)
    return next((path for path in candidates if path.is_file()), None)


def knows_any(partition: dict[str, str], names: Sequence[str]) -> bool:
    """Whether the partition speaks of these images at all."""
    return any(_file_name(name) in partition for name in names)


def splits_of(names: Sequence[str], partition: dict[str, str], path: Path) -> list[str]:
    """The split of each image, looked up by file name; InputError when ``path`` does not know one of them."""
    unknown = [name for name in names if _file_name(name) not in partition]
    if unknown:
        raise InputError(
            f"{len(unknown):,} of {len(names):,} images are not in the partition {path}, {unknown[0]} for one.",
            "Name the partition file of these images, or leave --partition away.",
        )
    return [partition[_file_name(name)] for name in names]


def _file_name(name: str) -> str:
    return name.rpartition("/")[2]
