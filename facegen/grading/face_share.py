"""The share of the reference's images in which a face is found. The share in a submission is compared with it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from facegen import console
from facegen.code_hash import code_hash
from facegen.files import read_sealed_json, write_sealed_json
from facegen.grading.faces import detector, has_face
from facegen.grading.fingerprints import prepared_batches


def face_share(path: Path, sha256: str, size: int, cache_folder: Path) -> float | None:
    """Return the share of the first thousand images at ``path`` in which a face is found, 0 to 1.

    Return None if no detector is installed, and print a message: the flag ``no_faces`` is then not raised.

    Args:
        path: A folder, archive or dataset of real images.
        sha256: The hash of its content.
        size: The side length to which the images are resized, in pixels.
        cache_folder: The folder in which the share is cached.
    """
    name = detector()
    if name is None:
        console.info("Images are not searched for faces. For this check, run: pip install 'facegen[faces]'")
        return None
    key = hashlib.sha256(f"{code_hash(__name__)} {name} {sha256} {size}".encode()).hexdigest()
    kept = cache_folder / f"face-share-{key[:32]}.json"
    try:
        return float(read_sealed_json(kept)["share"])
    except (OSError, ValueError, KeyError):  # the cached file is missing or damaged, so measure again
        _, images = next(prepared_batches(path, size))
        share = float(np.mean([has_face(image) for image in images]))
        write_sealed_json(kept, {"share": share})
        return share
