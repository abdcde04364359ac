"""Discriminators: images in [−1, 1] in, one logit each out (positive: real)."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from facegen.cnn.blocks import DownBlock
from facegen.cnn.layers import ConvNormAct, init_normal_
from facegen.gan.generators import doublings


class DCGANDiscriminator(nn.Module):
    """DCGAN's discriminator. Radford, Metz and Chintala, arXiv:1511.06434, section 3.

    Each block halves the size and doubles the channels; LeakyReLU(0.2) everywhere, BatchNorm everywhere but in the
    first and last layers. The paper's sigmoid belongs to the loss here. At 64×64 with width 64:

    ======= ================= ============
    layer   output            parameters
    ======= ================= ============
    down 1  64 × 32 × 32      3,072
    down 2  128 × 16 × 16     131,328
    down 3  256 × 8 × 8       524,800
    down 4  512 × 4 × 4       2,098,176
    logit   1 × 1 × 1         8,192
    total                     2,765,568
    ======= ================= ============

    Args:
        width: channels after the first block; they double from block to block.
        size: side of the images, a power of two.
    """

    def __init__(self, *, width: int = 64, size: int = 64) -> None:
        super().__init__()
        steps = doublings(size)
        self.blocks = nn.Sequential(
            DownBlock(3, width, norm=None),
            *(DownBlock(width * 2**step, width * 2 ** (step + 1)) for step in range(steps - 1)),
        )
        self.logit = ConvNormAct(width * 2 ** (steps - 1), 1, 4, padding=0, bias=False, norm=None, activation=None)
        init_normal_(self)

    def forward(self, images: Tensor) -> Tensor:
        """Float [B, 3, size, size] in [−1, 1] → logits [B]."""
        logits: Tensor = self.logit(self.blocks(images))
        return logits.flatten()


#: What a recipe can name: each takes ``width`` and ``size``.
DISCRIMINATORS: dict[str, Callable[..., nn.Module]] = {"dcgan": DCGANDiscriminator}
