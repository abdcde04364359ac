"""What stands behind and below the face: backdrop, shoulders, clothes."""

from __future__ import annotations

import numpy as np

from facegen.data.synthetic.attributes import Face, generator
from facegen.data.synthetic.canvas import Canvas, bump, coverage, ellipse, mix, scaled, smoothstep
from facegen.data.synthetic.look import Look, hsv
from facegen.data.synthetic.texture import noise

STUDIO, BOKEH, GARDEN, WALL = range(4)
CREW, SUIT, SHIRT, BARE = range(4)


def draw_backdrop(canvas: Canvas, face: Face) -> None:
    """A studio sweep, lights out of focus, blurred leaves and sky, or a wall."""
    everything = canvas.whole()
    hue, value = face.backdrop_hue, face.backdrop_value
    oy, ox = face.texture[:2]
    depth = np.linspace(0, 1, canvas.pixels.shape[1], dtype=np.float32)[:, None]
    if face.backdrop == GARDEN:
        sky = mix(hsv(0.56, 0.30, 0.70 + 0.25 * value), hsv(0.10, 0.25, 0.95), hue * 0.5)
        leaves = hsv(0.19 + 0.15 * hue, 0.42, 0.42 + 0.3 * value)
        shade = hsv(0.24 + 0.14 * hue, 0.40, 0.22 + 0.2 * value)
        for plane, first, second in zip(canvas.pixels, shade, leaves, strict=True):
            plane[:] = first + (second - first) * np.clip(0.5 + 0.4 * noise(oy, ox, 9, 9), 0, 1)
        horizon = 0.25 + 0.5 * value - depth + 0.16 * noise(ox, oy, 16, 16)
        everything.paint(smoothstep(horizon * 4 + 0.5), sky)
        return
    top, bottom = {
        STUDIO: (
            hsv(hue, 0.06 + 0.28 * value, 0.92 - 0.45 * value),
            hsv(hue + 0.04, 0.10 + 0.25 * value, 0.64 - 0.40 * value),
        ),
        BOKEH: (hsv(hue, 0.45, 0.16 + 0.25 * value), hsv(hue + 0.1, 0.55, 0.10 + 0.16 * value)),
        WALL: (hsv(hue, 0.20, 0.55 + 0.35 * value), hsv(hue, 0.26, 0.42 + 0.3 * value)),
    }[face.backdrop]
    for plane, first, second in zip(canvas.pixels, top, bottom, strict=True):
        plane[:] = first + (second - first) * depth
    side = -1 if face.light_x > 0 else 1
    if face.backdrop == STUDIO:
        halo = canvas.patch(-side * 30, -20, 130, 140)
        halo.light(bump(halo.x, halo.y, 130, 140), scaled(top, 0.40))
    elif face.backdrop == WALL:
        # The head's own soft shadow, away from the light, and one upright edge: a door, a window, a board.
        edge = (face.texture[2] - 128) * 0.6
        panel = coverage((everything.x - np.float32(edge)) * side, 5)
        everything.tint(panel, (0.62 + 0.2 * value, 0.64 + 0.2 * value, 0.68 + 0.2 * value))
        shadow = canvas.patch(side * 16, -2, 76, 96)
        shadow.tint(bump(shadow.x, shadow.y, 76, 96), (0.62, 0.60, 0.60))
    else:
        rng = generator(face.texture[0] << 16 | face.texture[1] << 8 | face.texture[2], face.texture[3])
        lights = rng.random((5 + face.texture[2] % 8, 6))
        for x, y, size, tint, power, saturation in lights.tolist():
            radius = 7 + 13 * size
            spot = canvas.patch(x * 180 - 90, y * 190 - 110, radius + 2, radius + 2)
            disc = ellipse(spot.x, spot.y, radius, radius, 3.5)
            spot.light(disc * np.float32(0.16 + 0.5 * power), hsv(hue - 0.12 + 0.3 * tint, 0.25 + 0.5 * saturation, 1))


def draw_shoulders(canvas: Canvas, face: Face, look: Look) -> None:
    """Neck and clothes, under the chin."""
    chin = look.head_y + face.chin
    neck_x = look.head_x * 1.1
    neck_width = 20 + 5 * face.masculine
    half, shoulder = 76 + 14 * face.masculine, chin + 16 - 2 * face.masculine
    lower = canvas.patch(neck_x, chin + 22, 130, 60)
    x, y = lower.x, lower.y + np.float32(chin + 22)
    away = np.abs(x)
    # The trapezius runs from the neck into the shoulder, which falls off as a parabola.
    neck = np.float32(neck_width) - away + np.clip(y - np.float32(chin + 2), 0, 22) ** 2 * np.float32(0.05)
    body = np.minimum(y - np.float32(shoulder) - away * away * np.float32(9 / half**2) * 2, np.float32(half) - away)
    skin = coverage(np.maximum(np.minimum(neck, y - np.float32(chin - 40)), body))
    lit = np.clip(0.52 + look.light[0] * 0.5 * x * np.float32(1 / neck_width), 0, 1)
    tone = [dark + (light - dark) * lit for dark, light in zip(look.skin_shadow, look.skin, strict=True)]
    lower.paint(skin, np.stack(tone))
    cast = canvas.patch(look.head_x - 5 * look.light[0], chin + 1, face.width + 3, 21)
    cast.tint(0.8 * bump(cast.x, cast.y, face.width + 3, 21), (0.62, 0.52, 0.50))

    # Saturation stays low: loud clothes would shout over the face.
    cloth = hsv(face.clothes_hue, 0.25 + 0.35 * (1 - face.clothes_value), 0.12 + 0.66 * face.clothes_value)
    if face.clothes == BARE:
        neckline = 30 + 6 * face.clothes_hue
        opening = neckline - y + np.float32(chin) - away * away * np.float32(0.0045)
    elif face.clothes == CREW:
        opening = np.float32(chin + 19) - y - away * away * np.float32(0.018) + 6
    else:
        opening = (
            np.float32(10 if face.clothes == SUIT else 14)
            - away * np.float32(0.95)
            - (y - np.float32(chin + 18)) * 0.55
        )
    garment = np.minimum(body + 2, -opening)
    shade = np.clip(
        0.62 + look.light[0] * x * np.float32(0.006) + 0.10 * _folds(face, lower.rows, lower.columns), 0, 1.1
    )
    if face.clothes == SUIT:
        cloth = scaled(hsv(0.6 + 0.1 * face.clothes_hue, 0.25, 1), 0.10 + 0.22 * face.clothes_value)
        linen = (0.90, 0.91, 0.93) if face.clothes_hue < 0.7 else hsv(face.clothes_hue * 3, 0.25, 0.82)
        shirt = coverage(np.minimum(garment, 60 - away))
        lower.paint(shirt, np.stack([channel * (0.55 + 0.45 * shade) for channel in linen]))
        lower.tint(shirt * coverage(1.2 - np.abs(opening + 8)) * 0.35, (0.6, 0.6, 0.65))
        tie = np.minimum(4.5 + 0.05 * (y - np.float32(chin)) - away, y - np.float32(chin + 24))
        if face.clothes_value < 0.6:
            lower.paint(coverage(np.minimum(tie, garment)), hsv(face.clothes_hue * 5, 0.65, 0.42))
        garment = np.minimum(garment, away - 13 - (np.float32(chin + 46) - y) * 0.42)
    lower.paint(coverage(garment), np.stack([channel * (0.45 + 0.75 * shade) for channel in cloth]))
    if face.clothes != BARE:
        rim = coverage(1.6 - np.abs(garment - 1.2), 2)
        lower.tint(rim * 0.6, (0.72, 0.72, 0.74))


def _folds(face: Face, rows: slice, columns: slice) -> np.ndarray:
    return noise(face.texture[3], face.texture[0], 9, 5)[rows, columns]
