"""Draw eyes, brows, nose and mouth."""

from __future__ import annotations

import numpy as np

from facegen.data.synthetic.attributes import Face
from facegen.data.synthetic.canvas import Canvas, bump, coverage, ellipse, mix, positive, scaled, unit
from facegen.data.synthetic.look import Look, hsv
from facegen.data.synthetic.texture import noise

#: Half of the distance between the eyes, in pixels.
EYE_X = 19.5
_LASH = (0.085, 0.06, 0.055)


def draw_eye(canvas: Canvas, face: Face, look: Look, side: int) -> None:
    """Draw one eye. ``side`` is -1 for the left of the picture and 1 for the right."""
    half = face.eye_width * (1 - 0.38 * side * look.sin_yaw)
    eye = canvas.patch(side * EYE_X, 0, half + 4, 13)
    out = eye.x * side  # positive towards the temple
    u = out * (1 / half)
    arch = positive(1 - u * u)
    corner = -face.eye_tilt * out
    upper = corner - face.eye_open * arch * (1 + 0.12 * u) - 0.2
    lower = corner + (0.52 * face.eye_open) * arch * (1 + 0.15 * u) + 0.2
    within = coverage((1 - np.abs(u)) * half, 2)

    if face.makeup > 0.35:
        lid = bump(eye.x - side * 1.5, eye.y + 4.5, half + 3, 7)
        eye.paint(0.55 * face.makeup * lid, mix(look.skin_shadow, hsv(0.75 + 0.35 * face.clothes_hue, 0.35, 0.35), 0.5))
    fold = coverage(0.5 + 0.3 * face.crease - np.abs(eye.y - upper + 2.3 + 0.8 * face.crease), 2) * within
    eye.tint(0.75 * fold, (0.58, 0.44, 0.40))
    bag = coverage(0.3 - np.abs(eye.y - lower - 1.4), 2.4) * within
    eye.tint((0.30 + 0.25 * face.age) * bag, (0.66, 0.50, 0.48))

    opening = coverage(np.minimum(eye.y - upper, lower - eye.y), 1.1) * within
    white = scaled((0.93, 0.90, 0.885), 0.97 - 0.08 * face.skin_tone)
    eye.paint(opening, white)
    eye.tint(opening * unit(np.abs(u) * 1.1 - 0.25), (0.80, 0.70, 0.68))
    iris_x, iris_y = 3.6 * face.gaze_x, 2.2 * face.gaze_y - 0.22 * face.eye_open
    gx, gy = eye.x - iris_x, eye.y - iris_y
    eye.paint(opening * ellipse(gx, gy, 4.5, 4.5), scaled(look.iris, 0.42))
    eye.paint(opening * ellipse(gx, gy - 0.3, 3.5, 3.6, 1.6), look.iris)
    eye.light(opening * 0.45 * bump(gx, gy - 2, 3, 2.4), scaled(look.iris, 1.3))
    eye.paint(opening * ellipse(gx, gy, 1.7, 1.7), (0.03, 0.025, 0.025))
    eye.tint(opening * coverage(1.6 - (eye.y - upper), 2.4), (0.45, 0.40, 0.40))
    glint_x, glint_y = iris_x + 1.5 * look.light[0] / 0.6, iris_y - 1.4
    eye.paint(opening * 0.95 * ellipse(eye.x - glint_x, eye.y - glint_y, 1.05, 1.05), (1, 1, 1))

    weight = 0.42 + 0.3 * (1 - face.masculine) + 0.55 * face.makeup
    lashes = coverage(weight * (0.75 + 0.45 * u) - np.abs(eye.y - upper + 0.2), 1.2)
    eye.paint(0.92 * lashes * coverage((1.06 - np.abs(u)) * half, 1.5), _LASH)
    under = coverage(0.25 - np.abs(eye.y - lower), 1.4) * within
    eye.paint((0.28 + 0.30 * face.makeup) * under, mix(look.skin_shadow, _LASH, 0.6))


def draw_brow(canvas: Canvas, face: Face, look: Look, side: int) -> None:
    """Draw one brow: thick and soft at its root, thin towards the temple."""
    half = 11.6 * (1 - 0.25 * side * look.sin_yaw)
    brow = canvas.patch(side * (EYE_X + 0.5), -13.2 - face.brow_lift, half + 3, 9)
    u = brow.x * (side / half)
    line = -face.brow_arch * (0.45 - 0.5 * (u - 0.25) ** 2) + 0.6 + 0.5 * face.masculine
    thick = face.brow_thick * unit(1.15 - 0.75 * positive(u + 0.1))
    depth = np.minimum(thick - np.abs(brow.y - line), (1.02 - np.abs(u)) * (half * 0.7))
    depth += 0.35 * noise(*face.texture[2:], 0.9, 1.4)[brow.rows, brow.columns]
    brow.paint((0.80 + 0.12 * face.masculine) * coverage(depth, 2.0), look.brow)


def draw_nose(canvas: Canvas, face: Face, look: Look) -> None:
    """Draw the nostrils and wings. The bridge is part of the head's shading."""
    tip, wide, x = face.nose_length, face.nose_width, 12 * look.sin_yaw
    for side in (-1, 1):
        near = 1 - 0.5 * side * look.sin_yaw
        nostril = canvas.patch(x + side * wide * 0.48 * near, tip + 1.6 + 3 * look.nod, 5, 4)
        nostril.tint(
            0.80 * ellipse(nostril.x, nostril.y - 0.12 * side * nostril.x, 2.7 * near, 1.25, 1.8), (0.36, 0.22, 0.20)
        )
        wing = canvas.patch(x + side * wide * near, tip - 1.5, 4, 6)
        away = np.abs(wing.x * side - 0.5 + 0.10 * (wing.y + 1) ** 2)
        wing.tint(0.5 * unit(1.1 - away * 0.75) * bump(wing.x, wing.y, 5, 6), (0.55, 0.38, 0.35))
    base = canvas.patch(x, tip + 2.6, wide, 3)
    base.tint(0.4 * bump(base.x, base.y, wide, 3), (0.58, 0.42, 0.40))


def draw_mouth(canvas: Canvas, face: Face, look: Look) -> None:
    """Draw the lips, and the teeth between them if the mouth is open."""
    half, open_ = face.mouth_width, face.mouth_open
    joy = max(0.0, face.smile)
    mouth = canvas.patch(4 * look.sin_yaw, face.mouth_y - 1.0 * joy, half + 4, 16)
    u = mouth.x * (1 / half)
    arch = positive(1 - u * u)
    line = (-2.3 - 3.4 * face.smile) * (u * u - 0.35) - 0.5 * positive(1 - 16 * u * u) * (1 - open_)
    gap = open_ * (3.2 + 1.6 * joy)
    inner_top = line - (0.25 * gap) * arch
    inner_bottom = line + (1.15 * gap) * arch * (0.6 + 0.4 * arch)
    bow = 1 - 0.20 * positive(1 - 12 * u * u)
    top = inner_top - (face.upper_lip * (1 - 0.25 * joy)) * bow * arch**0.75
    bottom = inner_bottom + (face.lower_lip * (1 - 0.2 * joy)) * arch**0.7
    within = coverage((1 - np.abs(u)) * half, 1.6)

    lips = coverage(np.minimum(mouth.y - top, bottom - mouth.y), 1.5) * within
    mouth.paint(lips * (0.82 + 0.12 * face.makeup), look.lip)
    # The upper lip faces down and is darker. The lower lip catches the light.
    mouth.tint(lips * coverage(inner_top - mouth.y, 1.4), (0.87, 0.80, 0.80))
    shine = bump(
        mouth.x - 2 * look.light[0], mouth.y - face.lower_lip * 0.45 - 1.15 * gap, half * 0.55, face.lower_lip * 0.55
    )
    mouth.light(lips * (0.20 + 0.22 * face.makeup) * shine, (1, 0.92, 0.90))
    if open_:
        inside = coverage(np.minimum(mouth.y - inner_top, inner_bottom - mouth.y), 1.1) * within
        mouth.paint(inside, (0.22, 0.07, 0.07))
        reach = inner_top + (0.35 + 0.5 * joy) * (inner_bottom - inner_top)
        teeth = inside * coverage(reach - mouth.y, 1.2) * unit(2.6 - 2.5 * np.abs(u))
        mouth.paint(teeth, scaled((0.95, 0.93, 0.89), 0.97 - 0.1 * face.age))
        mouth.tint(inside * coverage(1.0 - (mouth.y - inner_top), 1.6), (0.66, 0.55, 0.53))
    else:
        seam = coverage(0.35 - np.abs(mouth.y - line), 1.5) * coverage((1.05 - np.abs(u)) * half, 1.6)
        mouth.tint(0.9 * seam, (0.42, 0.28, 0.28))
    for side in (-1, 1):
        corner = canvas.patch(4 * look.sin_yaw + side * half, face.mouth_y - 1.0 * joy - 2.2 * face.smile - 1.5, 4, 4)
        corner.tint(0.35 * bump(corner.x, corner.y, 3.6, 3.6), (0.55, 0.40, 0.38))
