"""In what part of the reference's images a face is found: a submission's is compared with it."""

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
    """The share of the first thousand images at ``path`` in which a face is found, 0 to 1; cached in ``cache_folder``.

    None without a detector, which is said: then the flag is not looked for.

    Args:
        path: a folder, archive or dataset of real images.
        sha256: the hash of its content.
        size: the side to which its images are brought.
        cache_folder: where it is kept.
    """
    name = detector()
    if name is None:
        console.info("Images without a face are not looked for: pip install 'facegen[faces]' adds what finds faces.")
        return None
    key = hashlib.sha256(f"{code_hash(__name__)} {name} {sha256} {size}".encode()).hexdigest()
    kept = cache_folder / f"face-share-{key[:32]}.json"
    try:
        return float(read_sealed_json(kept)["share"])
    except (OSError, ValueError, KeyError):  # it is only a cache
        _, images = next(prepared_batches(path, size))
        share = float(np.mean([has_face(image) for image in images]))
        write_sealed_json(kept, {"share": share})
        return share
