"""Derive from a face's parameters, before drawing, its colours and where the head is turned to."""

from __future__ import annotations

import colorsys
import math
from dataclasses import dataclass

from facegen.data.synthetic.attributes import Face, HairColour
from facegen.data.synthetic.canvas import Colour, mix, scaled

_SKIN: tuple[Colour, ...] = (
    (0.975, 0.845, 0.765),
    (0.925, 0.745, 0.635),
    (0.800, 0.590, 0.455),
    (0.575, 0.390, 0.285),
    (0.380, 0.250, 0.185),
)
_HAIR: dict[HairColour, tuple[Colour, Colour]] = {
    HairColour.BLACK: ((0.085, 0.070, 0.068), (0.165, 0.120, 0.100)),
    HairColour.BROWN: ((0.200, 0.125, 0.085), (0.430, 0.290, 0.190)),
    HairColour.BLOND: ((0.600, 0.440, 0.255), (0.850, 0.710, 0.480)),
    HairColour.RED: ((0.420, 0.165, 0.080), (0.660, 0.330, 0.160)),
    HairColour.GREY: ((0.430, 0.420, 0.420), (0.780, 0.770, 0.760)),
}
_EYES: tuple[Colour, ...] = (
    (0.20, 0.115, 0.065),
    (0.36, 0.225, 0.11),
    (0.33, 0.39, 0.20),
    (0.30, 0.46, 0.60),
    (0.42, 0.47, 0.48),
)
_LIPSTICK: tuple[Colour, ...] = (
    (0.70, 0.10, 0.14),
    (0.80, 0.26, 0.30),
    (0.72, 0.34, 0.36),
    (0.55, 0.12, 0.22),
    (0.86, 0.42, 0.42),
    (0.70, 0.40, 0.34),
)


def hsv(hue: float, saturation: float, value: float) -> Colour:
    """Return a colour by hue (in turns), saturation and value."""
    return colorsys.hsv_to_rgb(hue % 1, saturation, value)


def _skin(tone: float, warmth: float) -> Colour:
    position = tone * (len(_SKIN) - 1)
    below = min(int(position), len(_SKIN) - 2)
    red, green, blue = mix(_SKIN[below], _SKIN[below + 1], position - below)
    return red, green + 0.012 * warmth, blue - 0.03 * warmth


@dataclass(frozen=True, slots=True)
class Look:
    """The colours (sRGB, 0 to 1) and the placement of the head (pixels from the point between the eyes)."""

    skin: Colour
    skin_shadow: Colour
    skin_light: Colour
    lip: Colour
    hair: Colour
    hair_shadow: Colour
    hair_light: Colour
    brow: Colour
    iris: Colour
    sin_yaw: float  # positive towards the right
    nod: float  # sine of the pitch: positive downwards
    head_x: float  # the middle of the head; what stands out of the face moves the other way
    head_y: float
    light: tuple[float, float, float]  # unit vector towards the light
    glow: Colour  # the light's tint, around 1


def look_of(face: Face) -> Look:
    """Derive the look of a face."""
    skin = _skin(face.skin_tone, face.skin_warmth)
    deep = 0.66 - 0.22 * face.contrast
    shadow = (skin[0] * deep * 1.02, skin[1] * deep * 0.80, skin[2] * deep * 0.74)
    hair = mix(*_HAIR[face.hair_colour], face.hair_shade)
    natural_lip = (skin[0] * 0.88, skin[1] * 0.62, skin[2] * 0.64)
    painted = face.makeup * (0.75 if face.makeup > 0.5 else 0.3)
    sin_yaw, nod = math.sin(face.yaw), math.sin(face.pitch)
    length = math.sqrt(face.light_x**2 + face.light_y**2 + 1)
    return Look(
        skin=skin,
        skin_shadow=shadow,
        skin_light=mix(skin, (1.0, 0.97, 0.93), 0.30 - 0.12 * face.skin_tone),
        lip=mix(natural_lip, scaled(_LIPSTICK[face.lipstick], 1 - 0.35 * face.skin_tone), painted),
        hair=hair,
        hair_shadow=(hair[0] * 0.37, hair[1] * 0.325, hair[2] * 0.30),
        hair_light=mix(scaled(hair, 1.45), (1.0, 0.95, 0.88), 0.12),
        brow=mix(scaled(hair, 0.62), shadow, 0.18),
        iris=_EYES[face.eye_colour],
        sin_yaw=sin_yaw,
        nod=nod,
        head_x=-20 * sin_yaw,
        head_y=7 - 10 * nod,
        glow=(1 + 0.025 * face.warmth, 1.0, 1 - 0.06 * face.warmth),
        light=(face.light_x / length, face.light_y / length, 1 / length),
    )
