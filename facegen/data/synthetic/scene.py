"""Draw what stands behind and below the face: backdrop, neck and clothes."""

from __future__ import annotations

import numpy as np

from facegen.data.synthetic.attributes import Backdrop, Clothes, Face, generator
from facegen.data.synthetic.canvas import HEIGHT, Canvas, Patch, Plane, bump, coverage, ellipse, mix, ramp, scaled, unit
from facegen.data.synthetic.look import Look, hsv
from facegen.data.synthetic.texture import noise


def draw_backdrop(canvas: Canvas, face: Face) -> None:
    """Draw a studio backdrop, lights out of focus, blurred leaves under a sky, or a wall."""
    if face.backdrop == Backdrop.GARDEN:
        _draw_garden(canvas, face)
        return
    hue, value = face.backdrop_hue, face.backdrop_value
    top, bottom = {
        Backdrop.STUDIO: (
            hsv(hue, 0.06 + 0.28 * value, 0.92 - 0.45 * value),
            hsv(hue + 0.04, 0.10 + 0.25 * value, 0.64 - 0.40 * value),
        ),
        Backdrop.LIGHTS: (hsv(hue, 0.45, 0.16 + 0.25 * value), hsv(hue + 0.1, 0.55, 0.10 + 0.16 * value)),
        Backdrop.WALL: (hsv(hue, 0.20, 0.55 + 0.35 * value), hsv(hue, 0.26, 0.42 + 0.3 * value)),
    }[face.backdrop]
    depth = np.linspace(0, 1, HEIGHT, dtype=np.float32)
    for plane, first, second in zip(canvas.pixels, top, bottom, strict=True):
        plane[:] = (first + (second - first) * depth)[:, None]
    if face.backdrop == Backdrop.STUDIO:
        halo_x = 30 if face.light_x > 0 else -30
        halo = canvas.patch(halo_x, -20, 130, 140)
        halo.light(bump(halo.x, halo.y, 130, 140), scaled(top, 0.40))
    elif face.backdrop == Backdrop.LIGHTS:
        _draw_lights(canvas, face)
    else:
        _draw_wall_shadows(canvas, face)


def _draw_garden(canvas: Canvas, face: Face) -> None:
    hue, value = face.backdrop_hue, face.backdrop_value
    oy, ox = face.texture[:2]
    sky = mix(hsv(0.56, 0.30, 0.70 + 0.25 * value), hsv(0.10, 0.25, 0.95), hue * 0.5)
    leaves = hsv(0.19 + 0.15 * hue, 0.42, 0.42 + 0.3 * value)
    shade = hsv(0.24 + 0.14 * hue, 0.40, 0.22 + 0.2 * value)
    canvas.pixels[:] = ramp(unit(0.5 + 0.4 * noise(oy, ox, 9, 9)), (shade, mix(shade, leaves, 0.5), leaves), 0.5, 1)
    depth = np.linspace(0, 4, HEIGHT, dtype=np.float32)[:, None]
    canvas.whole().paint(unit(1.5 + 2 * value - depth + 0.64 * noise(ox, oy, 16, 16)), sky)


def _draw_lights(canvas: Canvas, face: Face) -> None:
    rng = generator(face.texture[0] << 16 | face.texture[1] << 8 | face.texture[2], face.texture[3])
    for x, y, size, tint, power, saturation in rng.random((5 + face.texture[2] % 8, 6)).tolist():
        radius = 7 + 13 * size
        spot = canvas.patch(x * 180 - 90, y * 190 - 110, radius + 2, radius + 2)
        disc = ellipse(spot.x, spot.y, radius, radius, 3.5)
        colour = hsv(face.backdrop_hue - 0.12 + 0.3 * tint, 0.25 + 0.5 * saturation, 1)
        spot.light(disc * (0.16 + 0.5 * power), colour)


def _draw_wall_shadows(canvas: Canvas, face: Face) -> None:
    """Draw the head's soft shadow, away from the light, and one upright edge: a door, a window or a board."""
    side = -1 if face.light_x > 0 else 1
    everything = canvas.whole()
    panel = coverage((everything.x - (face.texture[2] - 128) * 0.6) * side, 5)
    dim = 0.62 + 0.2 * face.backdrop_value
    everything.tint(panel, (dim, dim + 0.02, dim + 0.06))
    shadow = canvas.patch(side * 16, -2, 76, 96)
    shadow.tint(bump(shadow.x, shadow.y, 76, 96), (0.62, 0.60, 0.60))


def draw_shoulders(canvas: Canvas, face: Face, look: Look) -> None:
    """Draw the neck and the clothes under the chin."""
    chin = look.head_y + face.chin
    across, down = look.head_x * 1.1, chin + 10
    neck = canvas.patch(across, down, 64, 42)
    x, y = neck.x, neck.y + 10  # measured from the chin
    away = np.abs(x)
    width = 18 + 6.5 * face.masculine
    # The trapezius widens from the neck into the shoulder.
    column = np.minimum(width - away + unit((y - 2) / 22) ** 2 * 24, y + 40)
    lit = unit(0.52 + x * (0.5 * look.light[0] / width))
    skin = ramp(lit, (look.skin_shadow, mix(look.skin_shadow, look.skin, 0.5), look.skin), 0.5, 1)
    neck.paint(coverage(np.maximum(column, _body(face, away, y))), skin)
    cast = canvas.patch(look.head_x - 5 * look.light[0], chin + 1, face.width + 3, 21)
    cast.tint(0.8 * bump(cast.x, cast.y, face.width + 3, 21), (0.62, 0.52, 0.50))
    lower = canvas.patch(across, chin + 36, 130, 28)
    _draw_clothes(face, look, lower, lower.x, lower.y + 36)


def _body(face: Face, away: Plane, y: Plane) -> Plane:
    """Return the depth in pixels below the line of the shoulders.

    ``away`` is the distance from the middle, and ``y`` the distance below the chin.
    """
    half = 76 + 14 * face.masculine
    return np.minimum(y - (16 - 2 * face.masculine) - away * away * (18 / half**2), half - away)


def _draw_clothes(face: Face, look: Look, patch: Patch, x: Plane, y: Plane) -> None:
    away = np.abs(x)
    if face.clothes == Clothes.WIDE:
        neckline = 30 + 6 * face.clothes_hue - y - away * away * 0.0045
    elif face.clothes == Clothes.ROUND:
        neckline = 25 - y - away * away * 0.018
    else:
        neckline = (10 if face.clothes == Clothes.SUIT else 14) - away * 0.95 - (y - 18) * 0.55
    cloth = np.minimum(_body(face, away, y) + 2, -neckline)
    folds = noise(face.texture[3], face.texture[0], 9, 5)[patch.rows, patch.columns]
    shade = 0.62 + x * (0.006 * look.light[0]) + 0.10 * folds
    # Saturation stays low, so that loud clothes do not distract from the face.
    colour = hsv(face.clothes_hue, 0.25 + 0.35 * (1 - face.clothes_value), 0.12 + 0.66 * face.clothes_value)
    if face.clothes == Clothes.SUIT:
        colour = scaled(hsv(0.6 + 0.1 * face.clothes_hue, 0.25, 1), 0.10 + 0.22 * face.clothes_value)
        linen = (0.90, 0.91, 0.93) if face.clothes_hue < 0.7 else hsv(face.clothes_hue * 3, 0.25, 0.82)
        shirt = coverage(np.minimum(cloth, 60 - away))
        patch.paint(shirt, linen)
        patch.tint(shirt * (0.5 - 0.5 * shade), (0.2, 0.2, 0.2))
        patch.tint(shirt * coverage(1.2 - np.abs(neckline + 8)) * 0.35, (0.6, 0.6, 0.65))
        if face.clothes_value < 0.6:
            tie = np.minimum(np.minimum(4.5 + 0.05 * y - away, y - 24), cloth)
            patch.paint(coverage(tie), hsv(face.clothes_hue * 5, 0.65, 0.42))
        cloth = np.minimum(cloth, away - 13 - (46 - y) * 0.42)  # the lapels
    patch.paint(coverage(cloth), ramp(shade, (scaled(colour, 0.45), scaled(colour, 0.83), scaled(colour, 1.2)), 0.5, 1))
    if face.clothes != Clothes.WIDE:
        hem = coverage(1.6 - np.abs(cloth - 1.2), 2)
        patch.tint(hem * 0.6, (0.72, 0.72, 0.74))
