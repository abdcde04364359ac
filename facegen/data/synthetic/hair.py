"""Draw the hair on the head and on the chin."""

from __future__ import annotations

import math

import numpy as np

from facegen.data.synthetic.attributes import Face, FacialHair, HairStyle
from facegen.data.synthetic.canvas import (
    Canvas,
    Patch,
    Plane,
    bump,
    coverage,
    ellipse,
    mix,
    negative,
    positive,
    ramp,
    unit,
)
from facegen.data.synthetic.head import head_depth
from facegen.data.synthetic.look import Look
from facegen.data.synthetic.texture import noise, strands

_FALLING = (HairStyle.BOB, HairStyle.LONG, HairStyle.WAVY)


def _volume(face: Face) -> tuple[float, float]:
    """Return how far the hair stands off the skull at the sides and on top, in pixels."""
    return {
        HairStyle.BALD: (0.0, 0.0),
        HairStyle.SHORT: (2 + 3 * face.hair_volume, 6 + 9 * face.hair_volume),
        HairStyle.PARTED: (3 + 3 * face.hair_volume, 8 + 9 * face.hair_volume),
        HairStyle.CURLY: (8 + 16 * face.hair_volume, 12 + 12 * face.hair_volume),
        HairStyle.BOB: (8 + 7 * face.hair_volume, 8 + 7 * face.hair_volume),
        HairStyle.LONG: (7 + 9 * face.hair_volume, 7 + 8 * face.hair_volume),
        HairStyle.WAVY: (9 + 12 * face.hair_volume, 8 + 9 * face.hair_volume),
        HairStyle.UPDO: (2 + 1.5 * face.hair_volume, 4 + 4 * face.hair_volume),
    }[face.hair_style]


def _dome(x: Plane, y: Plane, wide: float, high: float) -> Plane:
    """Return the squared radius of a skull that goes straight down below its middle. It is 1 on the outline."""
    up, across = negative(y) * (1 / high), x * (1 / wide)
    up = up * up
    return across * across + up * (0.5 + 0.5 * up)


def _outline(face: Face, x: Plane, y: Plane) -> Plane:
    """Return the depth in pixels inside the outline of the hair. x and y are measured from the middle of the head."""
    side, top = _volume(face)
    wide, high = face.width + side, face.crown + top
    dome = (1 - _dome(x, y, wide, high)) * (wide / 2)
    if face.hair_style == HairStyle.BOB:
        length = 46 + 14 * face.hair_volume
        tuck = positive(y - (length - 26)) ** 2 * 0.010
        return np.minimum(dome - tuck, length - y)
    if face.hair_style in (HairStyle.LONG, HairStyle.WAVY):
        spread = 0.16 if face.hair_style == HairStyle.WAVY else 0.07
        return np.minimum(dome + positive(y) * spread, 150 - y)
    if face.hair_style == HairStyle.CURLY:
        under = positive(y) / (0.9 * face.chin + side)
        return dome - under * under * (wide / 2)
    # The other styles end at the ears.
    return np.minimum(dome, (6 + 8 * face.masculine * face.hair_volume) - y)


def _opening(face: Face, x: Plane, y: Plane) -> Plane:
    """Return the depth in pixels inside the part of the head without hair. x and y start at the middle of the head."""
    wide = face.width * (0.86 if face.hair_style in _FALLING else 0.93)
    hairline = face.hairline - 7
    if face.bangs:
        hairline = -23.0 - 3 * face.hair_shade
    elif face.hair_style in _FALLING or face.hair_style == HairStyle.PARTED:
        # The hair falls from the parting to both sides.
        fall = np.abs(x - face.part_x)
        weight = 1 - 0.75 * face.masculine
        y = y - fall * fall * (0.007 * weight) - fall * (0.10 * weight)
    rise = negative(y - 4) * (1 / (4 - hairline))
    rise = rise * rise
    if face.bangs or face.hair_style in (HairStyle.SHORT, HairStyle.UPDO):
        rise = 0.45 * rise + 0.55 * rise * rise  # makes the hairline straighter
    across = x * (1 / wide) * (1 + 0.12 * unit(y * (1 / face.chin)))
    return (1 - across * across - rise) * (wide / 2)


def _strand_light(face: Face, x: Plane, y: Plane, patch: Patch) -> Plane:
    """Return the brightness of strands and locks, of deviation about 1. x and y start at the middle of the head."""
    if face.hair_style == HairStyle.CURLY:
        curls = noise(*face.texture[:2], 2.6, 2.6)[patch.rows, patch.columns]
        return 1.2 * (1 - 1.25 * np.abs(curls)) + 0.3 * noise(*face.texture[2:], 1.2, 1.2)[patch.rows, patch.columns]
    below = (y + (face.crown + 14)).clip(3, math.inf)
    across = x - face.part_x
    if face.hair_style == HairStyle.WAVY:
        swing = 0.6 + below * 0.045
        across = across + swing * np.sin(below * 0.11 + face.texture[0] + 0.03 * x)
    if face.hair_style == HairStyle.UPDO:
        number = across * 240 / (below + 40)  # hair combed back
    elif face.hair_style in (HairStyle.SHORT, HairStyle.PARTED):
        number = (across + (0.24 if face.part < 0 else -0.24) * below) * 380 / (below + 60)
    else:
        number = across * 34 / np.sqrt(below + 12)
    return strands(number, face.texture[1] * 8)


def _draw_strands(face: Face, look: Look, patch: Patch, mask: Plane, x: Plane, y: Plane, dim: float) -> None:
    side, top = _volume(face)
    rx, ry = face.width + side, face.crown + top
    lx, ly, _ = look.light
    dome = unit(1 - _dome(x, y, rx, ry))
    # A glossy band runs round the skull where it faces the light.
    band = positive(1 - ((dome - 0.5) * 3) ** 2) * unit(0.75 - y * 0.03 + x * (0.02 * lx))
    level = 0.40 + x * (0.42 * lx / rx) + y.clip(-math.inf, 0.6 * ry) * (0.30 * ly / ry) + 0.10 * dome
    gloss = 0.10 if face.hair_style == HairStyle.CURLY else 0.26
    level = (level + gloss * band) * dim + 0.105 * _strand_light(face, x, y, patch)
    level = level.clip(0, 1.15)
    patch.paint(mask, ramp(level, (look.hair_shadow, look.hair, look.hair_light), middle=0.5, end=1.0))


def draw_hair_behind(canvas: Canvas, face: Face, look: Look) -> None:
    """Draw the hair behind the head and the neck."""
    head_x = look.head_x * 1.25
    if face.hair_style == HairStyle.UPDO:
        bun_x, bun_y = head_x + 10 * face.part - 8 * look.sin_yaw, look.head_y - face.crown - 5
        bun = canvas.patch(bun_x, bun_y, 24, 22)
        size = 14 + 8 * face.hair_volume
        mask = ellipse(bun.x, bun.y, size, size * 0.85, 1.6)
        _draw_strands(face, look, bun, mask, bun.x * 1.4, bun.y * 2, 0.8)
    if face.hair_style not in (*_FALLING, HairStyle.CURLY):
        return
    if face.hair_style == HairStyle.CURLY:
        back = canvas.patch(head_x, look.head_y, 72, 98)
        mask = coverage(_frayed(face, _outline(face, back.x, back.y), back), 1.8)
        _draw_strands(face, look, back, mask, back.x, back.y, 0.75)
        return
    # Only the hair beside the neck shows. It lies in shade, so no strands are visible.
    back = canvas.patch(head_x, look.head_y + 70, face.width + 6, 70)
    depth = _outline(face, back.x, back.y + 70)
    back.paint(coverage(depth, 1.8), mix(look.hair_shadow, look.hair, 0.22))


def _frayed(face: Face, depth: Plane, patch: Patch) -> Plane:
    """Return the outline with loose hair and curls."""
    if face.hair_style == HairStyle.CURLY:
        return depth + 1.5 * noise(*face.texture[:2], 2.6, 2.6)[patch.rows, patch.columns]
    if face.hair_style == HairStyle.WAVY:
        loose = (patch.y * 0.02 + 0.4).clip(0.15, 1)
        return depth + 2.4 * loose * noise(*face.texture[:2], 9, 5)[patch.rows, patch.columns]
    return depth + 0.25 * noise(*face.texture[2:], 1.2, 1.2)[patch.rows, patch.columns]


def draw_hair_before(canvas: Canvas, face: Face, look: Look) -> None:
    """Draw the hair over the forehead and down the sides of the face."""
    if face.hair_style == HairStyle.BALD:
        crown = canvas.patch(look.head_x + 12 * look.light[0], look.head_y - face.crown * 0.72, 20, 12)
        crown.light(0.22 * bump(crown.x, crown.y, 20, 12), (1, 0.95, 0.9))
        return
    side, top = _volume(face)
    highest = -face.crown - top - 6
    lowest = {HairStyle.BOB: 64, HairStyle.LONG: 110, HairStyle.WAVY: 110}.get(face.hair_style, 32)
    middle = (highest + lowest) / 2
    patch = canvas.patch(look.head_x, look.head_y + middle, face.width + side + 22, (lowest - highest) / 2)
    x, y = patch.x, patch.y + middle
    shift = look.head_x * 0.25  # hair stands further back than the face
    opening = _opening(face, x, y)
    ragged = noise(*face.texture[2:], 5, 1.4)[patch.rows, patch.columns]
    opening += ragged * (1.6 if face.bangs else 0.7)
    if face.hair_style == HairStyle.CURLY:
        opening = np.maximum(opening, y - 26) + 1.2 * noise(*face.texture[:2], 2.6, 2.6)[patch.rows, patch.columns]
    depth = np.minimum(_frayed(face, _outline(face, x - shift, y), patch), -opening)
    # The shadow of the hair on the skin lies a little below it, away from the light.
    cast = coverage(2.5 - opening, 7) * coverage(head_depth(face, x, y), 1.2)
    patch.tint(0.55 * cast, (0.66, 0.53, 0.50))
    soft = 3.2 if face.hair_style == HairStyle.SHORT and not face.bangs else 1.8
    _draw_strands(face, look, patch, coverage(depth, soft), x, y, 1.0)


def draw_facial_hair(canvas: Canvas, face: Face, look: Look) -> None:
    """Draw stubble, a moustache, a goatee or a full beard. The lips are drawn over it afterwards."""
    kind = face.facial_hair
    if kind == FacialHair.NONE:
        return
    mouth_x, mouth_y, half = 4 * look.sin_yaw, face.mouth_y, face.mouth_width
    patch = canvas.patch(look.head_x, look.head_y + 32, face.width + 6, 42)
    x, y = patch.x, patch.y + 32
    lx, ly = x + (look.head_x - mouth_x), y + (look.head_y - mouth_y)
    away = np.abs(lx)
    length = 5 * face.hair_volume if kind == FacialHair.FULL else 0.5
    inside = head_depth(face, x, y, length)
    moustache = np.minimum(4.6 - np.abs(ly + 7.5 - away * away * 0.022), (half + 4) - away)
    # The cheek line climbs from the corner of the mouth to the ear.
    cheek = ly + 6 + positive(away - 10) * 1.15 - positive(13 - away) * 1.35
    if kind == FacialHair.MOUSTACHE:
        depth = moustache
    elif kind == FacialHair.GOATEE:
        ring = np.minimum((half + 3.5) - away, np.minimum(ly + 8, cheek + 6))
        depth = np.maximum(moustache, ring)
    else:
        depth = np.maximum(moustache, cheek)
    depth = np.minimum(depth, inside)
    grain = noise(*face.texture[2:], 1.6, 0.9)[patch.rows, patch.columns]
    if kind == FacialHair.STUBBLE:
        patch.tint((0.34 + 0.05 * grain) * coverage(depth - 1, 9), mix((0.60, 0.55, 0.55), look.brow, 0.35))
        return
    lit = unit(0.40 + x * (0.5 * look.light[0] / face.width) + 0.10 * grain)
    tone = mix(mix(look.hair, look.brow, 0.4), look.hair_light, 0.3)
    colours = ramp(lit, (look.hair_shadow, mix(look.hair_shadow, tone, 0.5), tone), 0.5, 1)
    patch.paint(0.90 * coverage(depth + 0.8 * grain, 3.5), colours)
