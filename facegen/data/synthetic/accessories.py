"""Draw glasses and earrings."""

from __future__ import annotations

import numpy as np

from facegen.data.synthetic.attributes import Face, Glasses
from facegen.data.synthetic.canvas import Canvas, Colour, Plane, bump, coverage, ellipse, unit
from facegen.data.synthetic.facial_features import EYE_X
from facegen.data.synthetic.look import Look

_FRAMES: tuple[Colour, ...] = (
    (0.05, 0.05, 0.06),
    (0.28, 0.16, 0.09),
    (0.62, 0.50, 0.30),
    (0.60, 0.61, 0.64),
    (0.42, 0.08, 0.10),
)


def _lens(face: Face, x: Plane, y: Plane) -> Plane:
    """Return the depth in pixels inside one lens. x and y are measured from its middle."""
    rx, ry = {Glasses.ROUND: (12.5, 11.5), Glasses.SQUARE: (14.0, 9.5), Glasses.SUN: (15.0, 11.5)}[face.glasses]
    across, down = (x / rx) ** 2, (y / ry) ** 2
    if face.glasses == Glasses.ROUND:
        return (1 - across - down) * (ry / 2)
    return (1 - across * across - down * down) * (ry / 4)


def draw_glasses(canvas: Canvas, face: Face, look: Look) -> None:
    """Draw glasses. The frames stand off the face, so they shift when the head turns."""
    if face.glasses == Glasses.NONE:
        return
    colour = _FRAMES[face.glasses_colour]
    thick = 0.55 if face.glasses_colour in (2, 3) else 1.0
    if face.glasses == Glasses.SUN:
        thick = 1.0
    slide, height = 4 * look.sin_yaw, 1.5
    bridge = canvas.patch(slide, height - 2.5, 8, 5)
    bow = np.abs(bridge.y + 1.2 - 0.05 * bridge.x**2)
    bridge.paint(coverage(np.minimum(thick + 0.1 - bow, 6.8 - np.abs(bridge.x))), colour)
    for side in (-1, 1):
        near = 1 - 0.25 * side * look.sin_yaw
        lens = canvas.patch(side * EYE_X + slide, height, 17, 14)
        depth = _lens(face, lens.x / near, lens.y)
        glass = coverage(depth)
        if face.glasses == Glasses.SUN:
            lens.paint(0.93 * glass, (0.06, 0.055, 0.06))
            sheen = ((lens.x * 0.4 - lens.y) * 0.05 + 0.2).clip(0, 0.45)
            lens.light(glass * sheen, (0.75, 0.72, 0.70))
        else:
            lens.tint(glass * 0.5, (0.93, 0.95, 0.96))
            streak = unit(1 - np.abs(lens.x + 0.6 * lens.y - side * 3) * 0.3)
            lens.light(glass * 0.10 * streak, (1, 1, 1))
        shadow = coverage(thick + 0.4 - np.abs(depth + 1.6), 2.5)
        lens.tint(0.30 * shadow, (0.60, 0.50, 0.48))
        lens.paint(coverage(thick - np.abs(depth), 1.1), colour)
        edge = side * (EYE_X + 13.5 * near) + slide
        # The temples end at the ears, or under the hair.
        ear = look.head_x + (side * 0.84 * face.width if face.ears_covered else side * face.width - 9 * look.sin_yaw)
        if (ear - edge) * side > 1:
            arm = canvas.patch((edge + ear) / 2, height - 3, abs(ear - edge) / 2, 3)
            arm.paint(coverage(thick + 0.2 - np.abs(arm.y)), colour)


def draw_earrings(canvas: Canvas, face: Face, look: Look) -> None:
    """Draw studs or drops where the ears show."""
    if not face.earrings or face.ears_covered:
        return
    metal = ((0.86, 0.70, 0.36), (0.84, 0.85, 0.88))[face.glasses_colour % 2]
    size = 1.6 + 1.6 * face.clothes_hue
    for side in (-1, 1):
        x = look.head_x + side * (face.width + 0.5) - 9 * look.sin_yaw
        drop = canvas.patch(x, look.head_y + 15 + size * 1.5, 7, 9)
        drop.paint(ellipse(drop.x, drop.y, size, size * 1.8), metal)
        drop.light(0.8 * bump(drop.x + 0.5, drop.y + size * 0.6, size, size), (1, 1, 1))
