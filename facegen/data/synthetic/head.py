"""Draw the head and its skin: the outline, the light on it, ears, freckles and age."""

from __future__ import annotations

import numpy as np

from facegen.data.synthetic.attributes import Face
from facegen.data.synthetic.canvas import (
    Canvas,
    Plane,
    bump,
    coverage,
    ellipse,
    negative,
    positive,
    radius2,
    ramp,
    unit,
)
from facegen.data.synthetic.look import Look
from facegen.data.synthetic.texture import noise


def head_radius2(face: Face, x: Plane, y: Plane, grow: float = 0.0) -> Plane:
    """Return the squared radius of the egg-shaped face at (x, y) from its middle. It is 1 on the outline.

    ``grow`` moves the outline outwards by that many pixels. Above the middle the face is a full, flattened ellipse.
    Below it, the face narrows towards the chin; the squarer the jaw, the later.
    """
    up = negative(y) * (1 / (face.crown + grow))
    up = up * up
    down = positive(y) * (1 / (face.chin + grow))
    down = down * down
    square = 0.25 + 0.45 * face.jaw
    across = x * (1 / (face.width + grow)) * (1 + (0.22 - 0.14 * face.jaw) * down)
    return across * across + up * (0.45 + 0.55 * up) + down * ((1 - square) + square * down)


def head_depth(face: Face, x: Plane, y: Plane, grow: float = 0.0) -> Plane:
    """Return the depth in pixels inside the face's outline.

    ``grow`` moves the outline outwards by that many pixels. x and y are measured from the middle of the head.
    """
    return (1 - head_radius2(face, x, y, grow)) * (face.width / 2)


def _relieve(
    canvas: Canvas, shade: Plane, at: tuple[float, float], size: tuple[float, float], height: float, look: Look
) -> None:
    """Raise a bump with half-axes ``size``. Its slopes turn towards the light or away from it."""
    patch = canvas.patch(*at, *size)
    slope = patch.x * (look.light[0] / size[0]) + patch.y * (look.light[1] / size[1])
    shade[patch.rows, patch.columns] += height * positive(1 - radius2(patch.x, patch.y, *size)) * slope


def _brighten(canvas: Canvas, shade: Plane, at: tuple[float, float], size: tuple[float, float], amount: float) -> None:
    """Lighten a spot with half-axes ``size``, or darken it, like a hollow, if ``amount`` is negative."""
    patch = canvas.patch(*at, *size)
    shade[patch.rows, patch.columns] += amount * bump(patch.x, patch.y, *size)


def draw_ears(canvas: Canvas, face: Face, look: Look) -> None:
    """Draw the ears. When the head turns, the cheek hides one of them."""
    for side in (-1, 1):
        x = look.head_x + side * (face.width + 0.5) - 9 * look.sin_yaw
        y = look.head_y + 1
        ear = canvas.patch(x, y, 8, 15)
        ear.paint(ellipse(ear.x, ear.y, 5.5 * face.ears, 12.5 * face.ears, 1.5), look.skin)
        ear.tint(0.8 * bump(ear.x - side, ear.y, 5, 10), (0.72, 0.52, 0.48))


def draw_head(canvas: Canvas, face: Face, look: Look) -> None:
    """Draw the skin under its light: one plane of shading for the whole head, then one ramp of colour."""
    patch = canvas.patch(look.head_x, look.head_y, face.width + 4, face.crown + 3)
    radius = head_radius2(face, patch.x, patch.y)
    lx, ly, lz = look.light
    shade = np.zeros(canvas.x.shape, np.float32)
    facing = np.sqrt((1 - 0.86 * radius).clip(0.04, 1))
    shade[patch.rows, patch.columns] = (
        lz * facing + patch.x * (0.85 * lx / face.width) + patch.y * (0.5 * ly / face.chin)
    )
    nose_x, tip = 12 * look.sin_yaw, face.nose_length
    mouth_x, mouth_y = 4 * look.sin_yaw, face.mouth_y
    frown = 1 + 0.4 * face.masculine
    for side in (-1, 1):
        _brighten(canvas, shade, (side * 18, -2.5), (15, 11), -0.20 * frown)  # eye socket
        _brighten(canvas, shade, (side * 8.5, -1), (6, 9), -0.12)  # inner corner of the eye socket
        _brighten(canvas, shade, (side * 18, 10), (13, 6.5), -0.02 - 0.12 * face.age * face.age)  # under the eye
        cheek = (side * 21 - 3 * look.sin_yaw, 20 - 3 * max(0.0, face.smile))
        _relieve(canvas, shade, cheek, (18, 15), 0.20 + 0.2 * max(0.0, face.smile), look)
        _brighten(canvas, shade, (cheek[0], cheek[1] - 3), (12, 8), 0.10)
        _brighten(canvas, shade, (side * 29 + look.head_x, 33), (12, 20), -0.10 * (0.5 + face.jaw))
        _relieve(canvas, shade, (nose_x + side * 0.72 * face.nose_width, tip - 1.5), (4.6, 4.8), 0.34, look)
    _relieve(canvas, shade, (nose_x * 0.6, tip * 0.42), (8.0, tip * 0.9), 0.52, look)  # bridge of the nose
    _brighten(canvas, shade, (nose_x * 0.6, tip * 0.42), (3.2, tip * 0.7), 0.13)
    _relieve(canvas, shade, (nose_x, tip - 2.5), (face.nose_width * 0.8, 6.5), 0.85, look)  # tip of the nose
    _brighten(canvas, shade, (nose_x + 1.2 * lx, tip - 4), (3.2, 3.2), 0.20)
    _brighten(canvas, shade, (nose_x, tip + 5), (9, 4.5), -0.26)  # shadow of the nose
    _brighten(canvas, shade, (mouth_x, mouth_y + face.lower_lip + 3.5), (10, 4), -0.24)
    _relieve(canvas, shade, (mouth_x, look.head_y + face.chin - 9), (13, 9), 0.40, look)
    _relieve(canvas, shade, (look.head_x * 0.6, -30), (30, 22), 0.35, look)  # forehead
    local = shade[patch.rows, patch.columns]
    level = positive(0.36 + (local - 0.45) * (0.75 + 0.55 * face.contrast))
    level += 0.012 * noise(*face.texture[:2], 1.2, 1.2)[patch.rows, patch.columns]
    colours = ramp(level, (look.skin_shadow, look.skin, look.skin_light), middle=0.7, end=1.1)
    patch.paint(coverage((1 - radius) * (face.width / 2)), colours)
    _complexion(canvas, face, look)


def _complexion(canvas: Canvas, face: Face, look: Look) -> None:
    rosy = 0.10 + 0.22 * face.blush + 0.25 * face.makeup * face.blush
    for side in (-1, 1):
        cheek = canvas.patch(side * 22 - 3 * look.sin_yaw, 21, 15, 11)
        cheek.tint(rosy * bump(cheek.x, cheek.y, 15, 11), (1.0, 0.76, 0.76))
        if face.freckles:
            dots = noise(*face.texture[2:], 0.9, 0.9)[cheek.rows, cheek.columns]
            cheek.tint(unit(dots - 1.1) * bump(cheek.x, cheek.y, 17, 12) * face.freckles, (0.72, 0.55, 0.45))
        _fold(canvas, face, look, side)
    if face.age > 0.5:
        brow = canvas.patch(look.head_x * 0.6, -30, 24, 9)
        lines = positive(np.sin(brow.y * 0.95 + 0.0018 * brow.x * brow.x))
        brow.tint((face.age - 0.5) * 0.5 * lines * bump(brow.x, brow.y, 24, 9), (0.70, 0.58, 0.54))


def _fold(canvas: Canvas, face: Face, look: Look, side: int) -> None:
    """Draw the nasolabial fold, from the wing of the nose past the corner of the mouth."""
    strength = 0.04 + 0.15 * max(0.0, face.smile) + 0.28 * face.age * face.age
    top, bottom = face.nose_length - 2, face.mouth_y + 1
    start, end = 12 * look.sin_yaw + side * (face.nose_width + 1.5), 4 * look.sin_yaw + side * (face.mouth_width + 4)
    fold = canvas.patch((start + end) / 2, (top + bottom) / 2, 10, (bottom - top) / 2 + 1)
    along = fold.y * (1 / (bottom - top))
    bow = side * 1.6 * (1 - 4 * along * along)
    away = np.abs(fold.x - along * (end - start) - bow)
    fold.tint(strength * unit(1 - away * 0.45) * unit(2 - np.abs(along) * 4), (0.60, 0.45, 0.42))
