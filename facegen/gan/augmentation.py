"""Augmentation of what D sees, real and generated alike, so that D cannot learn the training images by heart.

The operations are DiffAugment's (Zhao et al., arXiv:2006.10738); how often they are applied can follow D's overfitting,
as in ADA (Karras et al., arXiv:2006.06676). Random numbers come from outside, as uniforms in [0, 1): an augmented batch
is a function of its arguments, and each image of its own row of uniforms. Everything can be differentiated in the
images, keeps their dtype and memory format, and never waits for the device.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches

import torch
from torch import Tensor


def flip(images: Tensor, uniforms: Tensor) -> Tensor:
    """Mirror an image left to right where its uniform is below ½: images [B, C, H, W], uniforms [B, 1].

    Karras et al., arXiv:2006.06676, appendix B: the first of the pixel operations.
    """
    return torch.where(_per_image(uniforms) < 0.5, images.flip(3), images)


def brightness(images: Tensor, uniforms: Tensor) -> Tensor:
    """Add u − ½ to all of an image: images [B, C, H, W], uniforms [B, 1] → [−1.5, 1.5].

    Zhao et al., arXiv:2006.10738, section 3: "color", as in the authors' code. Nothing is clamped, here and in
    the next two, as a clamped pixel would have no gradient.
    """
    return images + (_per_image(uniforms) - 0.5).to(images.dtype)


def saturation(images: Tensor, uniforms: Tensor) -> Tensor:
    """Multiply each pixel's difference from its mean over channels by 2u: images [B, C, H, W], uniforms [B, 1].

    Zhao et al., arXiv:2006.10738, section 3: 0 is grey, and 1 the image itself.
    """
    grey = images.mean(1, keepdim=True)
    return grey + (images - grey) * (_per_image(uniforms) * 2).to(images.dtype)


def contrast(images: Tensor, uniforms: Tensor) -> Tensor:
    """Multiply each pixel's difference from the image's mean by u + ½: images [B, C, H, W], uniforms [B, 1].

    Zhao et al., arXiv:2006.10738, section 3.
    """
    mean = images.mean((1, 2, 3), keepdim=True)
    return mean + (images - mean) * (_per_image(uniforms) + 0.5).to(images.dtype)


def translation(images: Tensor, uniforms: Tensor) -> Tensor:
    """Move an image by whole pixels, up to an eighth of each side, with zeros behind it.

    Zhao et al., arXiv:2006.10738, section 3. Images [B, C, H, W], uniforms [B, 2]: the shift along the height and
    along the width, uniform in [−round(H/8), round(H/8)] and likewise; of a positive one, up and to the left.
    """
    height, width = images.shape[2:]
    rows, row_inside = _shifted(height, uniforms[:, :1])
    columns, column_inside = _shifted(width, uniforms[:, 1:])
    # Indices wrap around, and what came round is zeroed: every pixel is read once, so no two threads add to one
    # entry of the gradient.
    source = (rows[:, :, None] * width + columns[:, None, :]).flatten(1)
    moved = images.flatten(2).gather(2, source[:, None].expand(-1, images.shape[1], -1)).view_as(images)
    if images.is_contiguous(memory_format=torch.channels_last):
        moved = moved.contiguous(memory_format=torch.channels_last)
    return torch.where(_box(row_inside, column_inside), moved, 0)


def _shifted(side: int, uniforms: Tensor) -> tuple[Tensor, Tensor]:
    """Where each of ``side`` positions reads from, modulo ``side``, and whether that is inside; [B, side] each."""
    reach = (side + 4) // 8
    source = torch.arange(side, device=uniforms.device) + _choice(uniforms, 2 * reach + 1) - reach
    return source % side, (source >= 0) & (source < side)


def cutout(images: Tensor, uniforms: Tensor) -> Tensor:
    """Zero a box of half the height and half the width, centred anywhere and clipped at the border.

    Zhao et al., arXiv:2006.10738, section 3, after DeVries and Taylor, arXiv:1708.04552. Images [B, C, H, W],
    uniforms [B, 2]: the centre along the height and along the width.
    """
    height, width = images.shape[2:]
    # Not masked_fill, which gives up channels_last.
    return torch.where(_box(_cut(height, uniforms[:, :1]), _cut(width, uniforms[:, 1:])), 0, images)


def _cut(side: int, uniforms: Tensor) -> Tensor:
    """Which of ``side`` positions are cut out: bool [B, side]."""
    length = (side + 1) // 2
    # A box of even length is centred between pixels: there is one such place more than there are pixels.
    first = _choice(uniforms, side + 1 - length % 2) - length // 2
    positions = torch.arange(side, device=uniforms.device)
    return (positions >= first) & (positions < first + length)


def _choice(uniforms: Tensor, choices: int) -> Tensor:
    """0 to ``choices`` − 1, each as probable: int64. A float32 below 1 never rounds up to ``choices``."""
    return (uniforms * choices).long()


def _per_image(uniforms: Tensor) -> Tensor:
    """[B, 1] → [B, 1, 1, 1]."""
    return uniforms[:, :, None, None]


def _box(rows: Tensor, columns: Tensor) -> Tensor:
    """Where both hold: bool [B, H] and [B, W] → [B, 1, H, W]."""
    return (rows[:, :, None] & columns[:, None, :])[:, None]


@dataclass(frozen=True)
class Operation:
    """One alteration of images.

    Attributes:
        apply: of images [B, C, H, W] and their parameters, uniforms [B, parameters].
        parameters: uniforms of an image that it takes.
    """

    apply: Callable[[Tensor, Tensor], Tensor]
    parameters: int


@dataclass(frozen=True)
class Policy:
    """Operations that are asked for by one name, in the order they are applied in."""

    operations: tuple[Operation, ...]

    @property
    def uniforms(self) -> int:
        """Uniforms of an image: an operation takes one that decides whether it is applied, then its parameters."""
        return sum(1 + operation.parameters for operation in self.operations)


#: What a recipe can name.
POLICIES: dict[str, Policy] = {
    "flip": Policy((Operation(flip, 1),)),
    "color": Policy((Operation(brightness, 1), Operation(saturation, 1), Operation(contrast, 1))),
    "translation": Policy((Operation(translation, 2),)),
    "cutout": Policy((Operation(cutout, 2),)),
}


def parse_policies(text: str) -> tuple[str, ...]:
    """``"color,translation,cutout"`` → the policies' names in that order; ``""`` → none.

    Raises:
        ValueError: a name that no policy has (the message says the nearest), or one said twice.
    """
    if not text.strip():
        return ()
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in POLICIES:
            near = get_close_matches(name, POLICIES, n=1)
            hint = f"the nearest is {near[0]!r}" if near else f"there are {', '.join(POLICIES)}"
            raise ValueError(f"{name!r} is no augmentation policy; {hint}")
        if names.count(name) > 1:
            raise ValueError(f"the augmentation policy {name!r} is said twice")
    return names


def uniforms_per_image(policies: tuple[str, ...]) -> int:
    """How many uniforms :func:`augment` takes for each image."""
    return sum(POLICIES[name].uniforms for name in policies)


def augment(images: Tensor, policies: tuple[str, ...], uniforms: Tensor, probability: Tensor | float) -> Tensor:
    """Apply each operation of the policies to each image with some probability, independently.

    Karras et al., arXiv:2006.06676, section 2.2; with a probability of 1, DiffAugment (Zhao et al.,
    arXiv:2006.10738). What is not altered is kept bit for bit.

    Args:
        images: float [B, 3, H, W] in [−1, 1].
        policies: of POLICIES, in the order they are applied in.
        uniforms: float32 [B, uniforms_per_image(policies)] in [0, 1); an operation is applied to an image exactly
            where the first of its uniforms is below ``probability``.
        probability: in [0, 1]; a 0-dim tensor stays on its device.

    Returns:
        Images of the same shape, dtype and memory format; colours may leave [−1, 1].

    Raises:
        ValueError: another number of uniforms.
    """
    expected = (len(images), uniforms_per_image(policies))
    if uniforms.shape != expected:
        raise ValueError(f"expected uniforms {list(expected)}, not {list(uniforms.shape)}")
    first = 0
    for name in policies:
        for operation in POLICIES[name].operations:
            decisive, parameters = uniforms[:, first : first + 1 + operation.parameters].split(
                (1, operation.parameters), dim=1
            )
            # A choice, not a blend: an image that is kept is not rounded.
            images = torch.where(_per_image(decisive) < probability, operation.apply(images, parameters), images)
            first += 1 + operation.parameters
    return images


def overfitting_sign(real_logits: Tensor) -> Tensor:
    """r_t = E[sign(D(x))] over training images: 0 where D cannot tell them from generated ones, 1 where all are known.

    Karras et al., arXiv:2006.06676, equation 1. Logits [B] → float32 scalar in [−1, 1].
    """
    return real_logits.sign().float().mean()


def adapted_probability(probability: Tensor, sign: Tensor, *, target: float, images: int, kimg: float) -> Tensor:
    """One step of ADA: a probability that rises where D overfits more than the target and falls where it does less.

    Karras et al., arXiv:2006.06676, section 3.1, as in the authors' code. The step is of a fixed size, so that the
    probability takes ``kimg`` thousand images from 0 to 1.

    Args:
        probability: the present one, a 0-dim float tensor in [0, 1].
        sign: :func:`overfitting_sign` of the images since the last step, 0-dim on the same device.
        target: the sign to hold; 0.6 in the paper.
        images: real images shown since the last step.
        kimg: 500 in the paper.

    Returns:
        The next probability, a 0-dim float tensor in [0, 1].
    """
    return (probability + (sign - target).sign() * (images / (1000 * kimg))).clamp(0, 1)
