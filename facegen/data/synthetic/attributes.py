"""The parameters of every face, sampled with the correlations of real portraits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum

import numpy as np


class HairColour(IntEnum):
    BLACK = 0
    BROWN = 1
    BLOND = 2
    RED = 3
    GREY = 4


class HairStyle(IntEnum):
    BALD = 0
    SHORT = 1
    PARTED = 2
    CURLY = 3
    BOB = 4
    LONG = 5
    WAVY = 6
    UPDO = 7


class FacialHair(IntEnum):
    NONE = 0
    STUBBLE = 1
    MOUSTACHE = 2
    GOATEE = 3
    FULL = 4


class Glasses(IntEnum):
    NONE = 0
    ROUND = 1
    SQUARE = 2
    SUN = 3


class Backdrop(IntEnum):
    STUDIO = 0
    LIGHTS = 1
    GARDEN = 2
    WALL = 3


class Clothes(IntEnum):
    ROUND = 0  # the neckline
    SUIT = 1
    OPEN = 2
    WIDE = 3


@dataclass(frozen=True, slots=True)
class Face:
    """The parameters of one face.

    Lengths are pixels of the 178×218 picture, angles radians, the rest 0 to 1 unless noted.
    """

    # The person
    masculine: float
    age: float
    skin_tone: float  # 0 light, 1 dark
    skin_warmth: float  # -1 pink, 1 golden
    # Pose and light
    yaw: float
    pitch: float
    roll: float
    light_x: float  # -1 from the left, 1 from the right
    light_y: float  # -1 from above
    contrast: float
    warmth: float  # -1 cool light, 1 warm
    # Head
    width: float  # half of the head's width
    crown: float  # from the cheekbones to the top of the skull
    chin: float  # from the cheekbones to the tip of the chin
    jaw: float  # 0 pointed, 1 square
    ears: float
    # Eyes and brows
    eye_colour: int
    eye_width: float
    eye_open: float
    eye_tilt: float
    gaze_x: float
    gaze_y: float
    crease: float
    brow_thick: float
    brow_arch: float
    brow_lift: float
    # Nose and mouth
    nose_length: float
    nose_width: float
    mouth_y: float
    mouth_width: float
    upper_lip: float
    lower_lip: float
    smile: float  # -0.3 downcast, 1 broad
    mouth_open: float
    blush: float
    makeup: float
    lipstick: int  # row of the palette of lipsticks
    freckles: float
    # Hair
    hair_style: HairStyle
    hair_colour: HairColour
    hair_shade: float
    hair_volume: float
    hairline: float
    part: float  # position of the parting: -1 left, 1 right
    bangs: bool
    facial_hair: FacialHair
    # Clothes and surroundings
    glasses: Glasses
    glasses_colour: int
    earrings: bool
    clothes: Clothes
    clothes_hue: float
    clothes_value: float
    backdrop: Backdrop
    backdrop_hue: float
    backdrop_value: float
    texture: tuple[int, int, int, int]  # offsets into the noise tiles, so that no two faces share strands or lights

    @property
    def smiling(self) -> bool:
        return self.smile > 0.4

    @property
    def ears_covered(self) -> bool:
        return self.hair_style in (HairStyle.CURLY, HairStyle.BOB, HairStyle.LONG, HairStyle.WAVY)

    @property
    def part_x(self) -> float:
        """Position of the parting, in pixels from the middle of the head."""
        return 0.55 * self.part * self.width

    @property
    def bearded(self) -> bool:
        return self.facial_hair in (FacialHair.GOATEE, FacialHair.FULL)


def generator(seed: int, index: int) -> np.random.Generator:
    """Return a counter-based random generator with the key (seed, index). Its draws do not depend on earlier draws.

    Philox-4×64 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011).
    """
    if not (0 <= seed < 1 << 64 and 0 <= index < 1 << 64):
        raise ValueError(f"the seed and the index must be in [0, 2⁶⁴), got {seed} and {index}")
    return np.random.Generator(np.random.Philox(key=np.array([seed, index], dtype=np.uint64)))


class _Dice:
    """Random draws in a fixed order from one block of uniforms. This is much faster than one NumPy call per draw."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._uniforms = iter(rng.random(160).tolist())

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        return low + (high - low) * next(self._uniforms)

    def chance(self, probability: float) -> bool:
        return next(self._uniforms) < probability

    def integer(self, count: int) -> int:
        return int(next(self._uniforms) * count)

    def normal(self, mean: float, deviation: float, low: float, high: float) -> float:
        """Return a Gaussian draw (Box–Muller), clipped to [low, high]."""
        radius = math.sqrt(-2 * math.log(1 - next(self._uniforms)))
        value = mean + deviation * radius * math.cos(2 * math.pi * next(self._uniforms))
        return min(high, max(low, value))

    def pick(self, weights: dict[int, float]) -> int:
        """Return a key with a probability proportional to its weight."""
        mark = next(self._uniforms) * sum(weights.values())
        for key, weight in weights.items():
            mark -= weight
            if mark < 0:
                return key
        return key


def _hair_colour(dice: _Dice, skin_tone: float, age: float) -> HairColour:
    fair, dark = max(0.0, 1 - 2.2 * skin_tone), min(1.0, 0.12 + 1.1 * skin_tone)
    grey = 1.6 * max(0.0, age - 0.55)
    weights: dict[int, float] = {
        HairColour.BLACK: dark,
        HairColour.BROWN: 0.55 - 0.3 * skin_tone,
        HairColour.BLOND: 0.42 * fair,
        HairColour.RED: 0.13 * fair,
        HairColour.GREY: grey,
    }
    return HairColour(dice.pick(weights))


def _hair_style(dice: _Dice, masculine: bool, age: float, skin_tone: float) -> HairStyle:
    curls = 0.06 + 0.22 * skin_tone
    weights: dict[int, float]
    if masculine:
        weights = {
            HairStyle.BALD: 0.05 + 0.2 * age,
            HairStyle.SHORT: 0.42,
            HairStyle.PARTED: 0.32,
            HairStyle.CURLY: curls,
            HairStyle.BOB: 0.03,
            HairStyle.LONG: 0.03,
            HairStyle.WAVY: 0.04,
        }
    else:
        weights = {
            HairStyle.SHORT: 0.03,
            HairStyle.PARTED: 0.05 + 0.1 * age,
            HairStyle.CURLY: curls,
            HairStyle.BOB: 0.18,
            HairStyle.LONG: 0.28,
            HairStyle.WAVY: 0.30,
            HairStyle.UPDO: 0.14,
        }
    return HairStyle(dice.pick(weights))


def sample_face(seed: int, index: int) -> Face:
    """Sample the parameters of face ``index``, which depend on (seed, index) alone. This takes about 0.1 ms."""
    dice = _Dice(generator(seed, index))
    man = dice.chance(0.45)
    masculine = dice.uniform(0.6, 1) if man else dice.uniform(0, 0.4)
    age = dice.uniform() ** 1.6
    skin_tone = min(
        1.0, max(0.0, (0.16, 0.48, 0.84)[dice.pick({0: 0.58, 1: 0.25, 2: 0.17})] + dice.uniform(-0.16, 0.16))
    )
    style = _hair_style(dice, man, age, skin_tone)
    colour = _hair_colour(dice, skin_tone, age)
    bangs = dice.chance(0.14 if man else 0.26) and style not in (HairStyle.BALD, HairStyle.CURLY)
    beard_weights: dict[int, float] = {
        FacialHair.NONE: 0.52,
        FacialHair.STUBBLE: 0.18,
        FacialHair.MOUSTACHE: 0.06,
        FacialHair.GOATEE: 0.09,
        FacialHair.FULL: 0.15,
    }
    beard = FacialHair(dice.pick(beard_weights))
    glasses = Glasses(
        dice.pick({Glasses.NONE: 0.83 - 0.1 * age, Glasses.ROUND: 0.06, Glasses.SQUARE: 0.07, Glasses.SUN: 0.04})
    )
    smile = dice.uniform(0.5, 1) if dice.chance(0.5) else dice.uniform(-0.1, 0.35)
    talking = dice.chance(0.7 if smile > 0.4 else 0.15)
    makeup = 0.0 if man else dice.uniform() ** 0.8
    blue_eyes = max(0.02, 0.5 - 1.3 * skin_tone)
    return Face(
        masculine=masculine,
        age=age,
        skin_tone=skin_tone,
        skin_warmth=dice.uniform(-1, 1),
        yaw=dice.normal(0, 0.17, -0.36, 0.36),
        pitch=dice.normal(0, 0.08, -0.2, 0.2),
        roll=dice.normal(0, 0.025, -0.07, 0.07),
        light_x=dice.uniform(-0.8, 0.8),
        light_y=dice.uniform(-0.8, -0.25),
        contrast=dice.uniform(0.55, 1),
        warmth=dice.uniform(-1, 1),
        width=dice.normal(35.5 + 2.2 * masculine, 1.2, 33, 41),
        crown=dice.normal(66, 1.8, 62, 71),
        chin=dice.normal(57 + 4 * masculine, 2, 53, 66),
        jaw=min(1.0, max(0.0, 0.15 + 0.55 * masculine + dice.uniform(-0.2, 0.2))),
        ears=dice.uniform(0.8, 1.2),
        eye_colour=dice.pick({0: 0.55 - 0.3 * blue_eyes, 1: 0.2, 2: 0.12 * blue_eyes * 2, 3: blue_eyes, 4: 0.06}),
        eye_width=dice.normal(10.8 - 0.6 * masculine, 0.6, 9, 12.2),
        eye_open=dice.normal(5.0 - 0.8 * masculine - 0.7 * max(0.0, smile) - 0.4 * age, 0.5, 2.6, 6.0),
        eye_tilt=dice.normal(0.06, 0.05, -0.05, 0.2),
        gaze_x=dice.normal(0, 0.22, -0.6, 0.6),
        gaze_y=dice.normal(0, 0.12, -0.3, 0.3),
        crease=dice.uniform(),
        brow_thick=dice.normal(1.5 + 1.1 * masculine, 0.35, 0.9, 3.4),
        brow_arch=dice.normal(3.2 - 1.8 * masculine, 0.9, 0, 5),
        brow_lift=dice.normal(0, 1.2, -2.5, 3),
        nose_length=dice.normal(25.5 + masculine + age, 1.4, 22, 30),
        nose_width=dice.normal(7.6 + 1.2 * masculine + 1.6 * skin_tone, 0.6, 6.5, 11.5),
        mouth_y=dice.normal(42, 1.3, 39, 45),
        mouth_width=dice.normal(14.6 + 2.6 * max(0.0, smile), 0.9, 12.5, 20),
        upper_lip=dice.normal(3.5 - 1.0 * masculine + 1.0 * skin_tone - 0.5 * age, 0.4, 1.4, 4.6),
        lower_lip=dice.normal(5.0 - 1.2 * masculine + 1.0 * skin_tone - 0.6 * age, 0.5, 2.4, 6.4),
        smile=smile,
        mouth_open=dice.uniform(0.35, 1) if talking else 0.0,
        blush=dice.uniform(),
        makeup=makeup,
        lipstick=dice.integer(6),
        freckles=dice.uniform(0.5, 1) if skin_tone < 0.3 and dice.chance(0.15) else 0.0,
        hair_style=style,
        hair_colour=colour,
        hair_shade=dice.uniform(),
        hair_volume=dice.uniform(),
        hairline=dice.normal(-42 - 4 * age * masculine, 2, -52, -37),
        part=dice.uniform(-0.7, 0.7),
        bangs=bangs,
        facial_hair=beard if man else FacialHair.NONE,
        glasses=glasses,
        glasses_colour=dice.integer(5),
        earrings=not man and dice.chance(0.35),
        clothes=Clothes(dice.pick({0: 0.4, 1: 0.3 if man else 0.05, 2: 0.25, 3: 0.05 if man else 0.3})),
        clothes_hue=dice.uniform(),
        clothes_value=dice.uniform(),
        backdrop=Backdrop(dice.pick({0: 0.36, 1: 0.20, 2: 0.18, 3: 0.26})),
        # Mostly warm walls and blue evenings.
        backdrop_hue=(0.08, 0.58, 0.95, 0.33, 0.76)[dice.pick({0: 0.36, 1: 0.34, 2: 0.12, 3: 0.10, 4: 0.08})]
        + dice.uniform(-0.06, 0.06),
        backdrop_value=dice.uniform(),
        texture=(dice.integer(256), dice.integer(256), dice.integer(256), dice.integer(256)),
    )
