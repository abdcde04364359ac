"""Augmentation of the discriminator's input, both real and generated, so that it cannot memorise the training images.

The operations are those of DiffAugment (Zhao et al., arXiv:2006.10738). Their probability can follow the
discriminator's overfitting, as in ADA (Karras et al., arXiv:2006.06676).

Random numbers are passed in as uniforms in [0, 1). An augmented batch is therefore a function of its arguments, and
each image depends only on its own row of uniforms. All operations are differentiable in the images, keep dtype and
memory format, and never wait for the device.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches

import torch
from torch import Tensor


def flip(images: Tensor, uniforms: Tensor) -> Tensor:
    """Mirror an image horizontally if its uniform is below ½: images [B, C, H, W], uniforms [B, 1].

    The first pixel operation of Karras et al., arXiv:2006.06676, appendix B.
    """
    return torch.where(_per_image(uniforms) < 0.5, images.flip(3), images)


def brightness(images: Tensor, uniforms: Tensor) -> Tensor:
    """Add u − ½ to the whole image: images [B, C, H, W], uniforms [B, 1] → [−1.5, 1.5].

    Zhao et al., arXiv:2006.10738, section 3: the "color" policy, as in the authors' code. Neither this function nor
    the next two clamp the result, because a clamped pixel would have no gradient.
    """
    return images + (_per_image(uniforms) - 0.5).to(images.dtype)


def saturation(images: Tensor, uniforms: Tensor) -> Tensor:
    """Multiply each pixel's difference from its mean over channels by 2u: images [B, C, H, W], uniforms [B, 1].

    A factor of 0 gives grey, and 1 the original image. Zhao et al., arXiv:2006.10738, section 3.
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
    """Shift an image by whole pixels, up to an eighth of each side, and fill with zeros.

    Zhao et al., arXiv:2006.10738, section 3. Images [B, C, H, W], uniforms [B, 2]: the shift along the height and
    along the width, uniform in [−round(H/8), round(H/8)] and in the same range of W. A positive shift moves up and
    left.
    """
    height, width = images.shape[2:]
    rows, row_inside = _shifted(height, uniforms[:, :1])
    columns, column_inside = _shifted(width, uniforms[:, 1:])
    # Indices wrap around, and the wrapped pixels are zeroed. Every pixel is read once, so no two threads add to the
    # same entry of the gradient.
    source = (rows[:, :, None] * width + columns[:, None, :]).flatten(1)
    moved = images.flatten(2).gather(2, source[:, None].expand(-1, images.shape[1], -1)).view_as(images)
    if images.is_contiguous(memory_format=torch.channels_last):
        moved = moved.contiguous(memory_format=torch.channels_last)
    return torch.where(_box(row_inside, column_inside), moved, 0)


def _shifted(side: int, uniforms: Tensor) -> tuple[Tensor, Tensor]:
    """Return where each of ``side`` positions reads from, modulo ``side``, and if it is inside; [B, side] each."""
    reach = (side + 4) // 8
    source = torch.arange(side, device=uniforms.device) + _choice(uniforms, 2 * reach + 1) - reach
    return source % side, (source >= 0) & (source < side)


def cutout(images: Tensor, uniforms: Tensor) -> Tensor:
    """Zero a box of half the height and half the width, with a random centre, clipped at the border.

    Zhao et al., arXiv:2006.10738, section 3, after DeVries and Taylor, arXiv:1708.04552. Images [B, C, H, W],
    uniforms [B, 2]: the centre along the height and along the width.
    """
    height, width = images.shape[2:]
    # masked_fill would lose channels_last.
    return torch.where(_box(_cut(height, uniforms[:, :1]), _cut(width, uniforms[:, 1:])), 0, images)


def _cut(side: int, uniforms: Tensor) -> Tensor:
    """Return which of ``side`` positions are cut out: bool [B, side]."""
    length = (side + 1) // 2
    # The centre of a box of even length lies between pixels. There is one such place more than there are pixels.
    first = _choice(uniforms, side + 1 - length % 2) - length // 2
    positions = torch.arange(side, device=uniforms.device)
    return (positions >= first) & (positions < first + length)


def _choice(uniforms: Tensor, choices: int) -> Tensor:
    """Map uniforms to int64 from 0 to ``choices`` − 1. A float32 below 1 never rounds up to ``choices``."""
    return (uniforms * choices).long()


def _per_image(uniforms: Tensor) -> Tensor:
    """Reshape [B, 1] to [B, 1, 1, 1]."""
    return uniforms[:, :, None, None]


def _box(rows: Tensor, columns: Tensor) -> Tensor:
    """Combine bool [B, H] and [B, W] by "and" to [B, 1, H, W]."""
    return (rows[:, :, None] & columns[:, None, :])[:, None]


@dataclass(frozen=True)
class Operation:
    """One way to alter images.

    Attributes:
        apply: Maps images [B, C, H, W] and uniforms [B, parameters] to images.
        parameters: Number of uniforms per image.
    """

    apply: Callable[[Tensor, Tensor], Tensor]
    parameters: int


@dataclass(frozen=True)
class Policy:
    """Operations under one name, in the order in which they are applied."""

    operations: tuple[Operation, ...]

    @property
    def uniforms(self) -> int:
        """Number of uniforms per image: one per operation that decides if it is applied, and its parameters."""
        return sum(1 + operation.parameters for operation in self.operations)


#: Policies by the name that a recipe uses.
POLICIES: dict[str, Policy] = {
    "flip": Policy((Operation(flip, 1),)),
    "color": Policy((Operation(brightness, 1), Operation(saturation, 1), Operation(contrast, 1))),
    "translation": Policy((Operation(translation, 2),)),
    "cutout": Policy((Operation(cutout, 2),)),
}


def parse_policies(text: str) -> tuple[str, ...]:
    """Parse ``"color,translation,cutout"`` into the names of policies, in this order. ``""`` gives none.

    Raises:
        ValueError: There is no policy of a name (the message suggests the nearest), or a name occurs twice.
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
            raise ValueError(f"the augmentation policy {name!r} is given twice")
    return names


def uniforms_per_image(policies: tuple[str, ...]) -> int:
    """Return the number of uniforms that :func:`augment` needs per image."""
    return sum(POLICIES[name].uniforms for name in policies)


def augment(images: Tensor, policies: tuple[str, ...], uniforms: Tensor, probability: Tensor | float) -> Tensor:
    """Apply each operation of the policies to each image with a probability, independently.

    Karras et al., arXiv:2006.06676, section 2.2. A probability of 1 gives DiffAugment (Zhao et al.,
    arXiv:2006.10738). Images that are not altered keep their exact bits.

    Args:
        images: float [B, 3, H, W] in [−1, 1].
        policies: Names in POLICIES, in the order in which they are applied.
        uniforms: float32 [B, uniforms_per_image(policies)] in [0, 1). An operation is applied to an image if the
            first of its uniforms is below ``probability``.
        probability: A number in [0, 1]. A 0-dim tensor stays on its device.

    Returns:
        Images of the same shape, dtype and memory format. Colours may leave [−1, 1].

    Raises:
        ValueError: ``uniforms`` has another shape.
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
            # A selection and not a blend: an unaltered image is not rounded.
            images = torch.where(_per_image(decisive) < probability, operation.apply(images, parameters), images)
            first += 1 + operation.parameters
    return images


def overfitting_sign(real_logits: Tensor) -> Tensor:
    """Compute r_t = E[sign(D(x))] over training images, the measure of overfitting in ADA.

    It is 0 if the discriminator cannot tell training images from generated ones, and 1 if it recognises all of them.
    Karras et al., arXiv:2006.06676, equation 1. Logits [B] → float32 scalar in [−1, 1].
    """
    return real_logits.sign().float().mean()


def adapted_probability(probability: Tensor, sign: Tensor, *, target: float, images: int, kimg: float) -> Tensor:
    """Compute one step of ADA: raise the probability if the discriminator overfits more than the target, else lower it.

    Karras et al., arXiv:2006.06676, section 3.1, as in the authors' code. The step has a fixed size, so that the
    probability needs ``kimg`` thousand images to go from 0 to 1.

    Args:
        probability: The present value, a 0-dim float tensor in [0, 1].
        sign: :func:`overfitting_sign` of the images since the last step, 0-dim on the same device.
        target: The sign to hold; 0.6 in the paper.
        images: Number of real images shown since the last step.
        kimg: 500 in the paper.

    Returns:
        The next probability, a 0-dim float tensor in [0, 1].
    """
    return (probability + (sign - target).sign() * (images / (1000 * kimg))).clamp(0, 1)
