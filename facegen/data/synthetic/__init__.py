"""Procedural faces: a dataset that needs no download.

The portraits have 178×218 pixels (width × height) and are aligned as CelebA's are, with eyes at about (69, 111) and
(108, 111). Each is drawn from some sixty sampled parameters. Face ``i`` depends on ``(seed, i)`` alone, so any worker
can draw any part.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from facegen.data.synthetic.attributes import FacialHair, Glasses, HairColour, HairStyle, sample_face
from facegen.data.synthetic.canvas import HEIGHT, WIDTH
from facegen.data.synthetic.portrait import draw

__all__ = ["HEIGHT", "WIDTH", "HairColour", "HairStyle", "face_attributes", "render_faces"]


def render_faces(seed: int, indices: Sequence[int]) -> npt.NDArray[np.uint8]:
    """Draw faces, uint8 [n, 218, 178, 3] RGB. Face ``i`` is the same whatever else is in ``indices``.

    Args:
        seed: An integer in [0, 2⁶⁴).
        indices: Integers in [0, 2⁶⁴), one per face.

    Raises:
        ValueError: The seed or an index is outside that range.
    """
    images = np.empty((len(indices), HEIGHT, WIDTH, 3), np.uint8)
    for image, index in zip(images, indices, strict=True):
        image[:] = draw(sample_face(seed, int(index)))
    return images


def face_attributes(seed: int, indices: Sequence[int]) -> dict[str, npt.NDArray[np.generic]]:
    """Return the labels of the faces that ``render_faces`` draws, one array [n] per attribute, without drawing them.

    bool: ``glasses`` (sunglasses too), ``sunglasses``, ``beard`` (goatee or full), ``moustache``, ``smile``,
    ``mouth_open``, ``bangs``, ``lipstick``. int8: ``hair_colour`` (``HairColour``), ``hair_style`` (``HairStyle``).
    float32: ``skin_tone`` (0 light, 1 dark), ``age`` (0 young, 1 old), ``yaw`` (degrees, > 0 towards the right
    of the picture).
    """
    faces = [sample_face(seed, int(index)) for index in indices]
    return {
        "glasses": np.array([face.glasses != Glasses.NONE for face in faces], dtype=np.bool_),
        "sunglasses": np.array([face.glasses == Glasses.SUN for face in faces], dtype=np.bool_),
        "beard": np.array([face.bearded for face in faces], dtype=np.bool_),
        "moustache": np.array(
            [face.bearded or face.facial_hair == FacialHair.MOUSTACHE for face in faces], dtype=np.bool_
        ),
        "smile": np.array([face.smiling for face in faces], dtype=np.bool_),
        "mouth_open": np.array([face.mouth_open > 0 for face in faces], dtype=np.bool_),
        "bangs": np.array([face.bangs for face in faces], dtype=np.bool_),
        "lipstick": np.array([face.makeup > 0.5 for face in faces], dtype=np.bool_),
        "hair_colour": np.array([face.hair_colour for face in faces], dtype=np.int8),
        "hair_style": np.array([face.hair_style for face in faces], dtype=np.int8),
        "skin_tone": np.array([face.skin_tone for face in faces], dtype=np.float32),
        "age": np.array([face.age for face in faces], dtype=np.float32),
        "yaw": np.array([np.degrees(face.yaw) for face in faces], dtype=np.float32),
    }
