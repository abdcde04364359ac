"""R3GAN's generator and discriminator. Huang et al., arXiv:2501.05441."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

from torch import Tensor, nn

from .architecture import CENTRED, DISCRIMINATOR, GENERATOR, Architecture
from .blocks.r3gan import (
    DiscriminativeBasis,
    FilteredDownsample,
    FilteredUpsample,
    GenerativeBasis,
    R3GANBlock,
    init_msr_,
)
from .classifier import Classifier
from .dcgan import doublings
from .layers import Norm, WeightNorm, normalise_weight

#: Residual blocks of each stage.
BLOCKS = 2


class R3GANGenerator(nn.Module):
    """R3GAN's generator. Huang et al., arXiv:2501.05441, figure 2c.

    The latent scales learned 4×4 maps. Each stage has two residual blocks. Between stages the size doubles, after a
    1×1 convolution if the channels change. A 1×1 convolution makes the image. There is no norm and no tanh. The
    defaults are the preset FFHQ-64 of the authors' code (https://github.com/brownvc/R3GAN). The table also has the
    small network for one GPU or a CPU:

    ========= ============= ============ ============= ============
    layer     output        parameters   small output  parameters
    ========= ============= ============ ============= ============
    basis     768 × 4 × 4   61,440       384 × 4 × 4   30,720
    stage 1   768 × 4 × 4   5,167,104    384 × 4 × 4   1,403,904
    stage 2   768 × 8 × 8   5,167,104    384 × 8 × 8   1,403,904
    stage 3   768 × 16 × 16 5,167,104    384 × 16 × 16 1,403,904
    stage 4   768 × 32 × 32 5,167,104    192 × 32 × 32 480,768
    stage 5   384 × 64 × 64 1,698,816    96 × 64 × 64  148,224
    image     3 × 64 × 64   1,152        3 × 64 × 64   288
    total                   22,429,824                 4,871,712
    ========= ============= ============ ============= ============

    Their preset CIFAR10 is ``width=768, widest=1, size=32``, and FFHQ-256 is ``width=96, widest=8, size=256``.

    Args:
        latent_dim: Entries of a latent.
        channels: Channels of the images.
        width: Channels of the last stage; they double from stage to stage towards the latent.
        widest: Channels that no stage exceeds, as a multiple of ``width``.
        size: Side of the images, in pixels, a power of two.
    """

    def __init__(
        self, *, latent_dim: int = 64, channels: int = 3, width: int = 384, widest: int = 2, size: int = 64
    ) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        widths = stage_widths(width, widest, size)[::-1]
        blocks = BLOCKS * len(widths)
        linear = init_msr_(nn.Linear(latent_dim, widths[0], bias=False))
        self.basis = nn.Sequential(linear, GenerativeBasis(widths[0]))
        self.stages = nn.Sequential(_stage(widths[0], blocks))
        for before, after in pairwise(widths):
            self.stages.append(nn.Sequential(_transition(before, after), FilteredUpsample(), _stage(after, blocks)))
        self.image = init_msr_(nn.Conv2d(width, channels, 1, bias=False))

    def forward(self, latents: Tensor) -> Tensor:
        """Generate images [B, channels, size, size] from latents.

        They are in about [−1, 1] and are not clamped. Latents are float [B, latent_dim] ~ N(0, 1).
        """
        images: Tensor = self.image(self.stages(self.basis(latents)))
        return images


class R3GANDiscriminator(Classifier):
    """R3GAN's discriminator, the generator's mirror image. Huang et al., arXiv:2501.05441, figure 2c.

    It starts with a 1×1 convolution of the image. Each stage has two residual blocks. Between stages the size is
    halved, before a 1×1 convolution if the channels change. A learned 4×4 map per channel weights the last positions,
    and a linear layer follows. The defaults are the preset FFHQ-64 of the authors' code. The table also has the small
    network:

    ========= ============= ============ ============= ============
    layer     output        parameters   small output  parameters
    ========= ============= ============ ============= ============
    image     384 × 64 × 64 1,152        96 × 64 × 64  288
    stage 1   768 × 32 × 32 1,698,816    192 × 32 × 32 148,224
    stage 2   768 × 16 × 16 5,167,104    384 × 16 × 16 480,768
    stage 3   768 × 8 × 8   5,167,104    384 × 8 × 8   1,403,904
    stage 4   768 × 4 × 4   5,167,104    384 × 4 × 4   1,403,904
    stage 5   768 × 4 × 4   5,167,104    384 × 4 × 4   1,403,904
    basis     768           12,288       384           6,144
    logit     1             768          1             384
    total                   22,381,440                 4,847,520
    ========= ============= ============ ============= ============

    Args:
        classes: Number of logits, 1 for real against generated.
        in_channels: Channels of the images, which are in [−1, 1].
        width: Channels of the first stage; they double from stage to stage.
        widest: Channels that no stage exceeds, as a multiple of ``width``.
        size: Side of the images, in pixels, a power of two.
        norm, weight_norm: See :class:`.R3GANBlock`. The published network has neither.
    """

    def __init__(
        self,
        *,
        classes: int = 1,
        in_channels: int = 3,
        width: int = 384,
        widest: int = 2,
        size: int = 64,
        norm: Norm = None,
        weight_norm: WeightNorm = None,
    ) -> None:
        super().__init__()
        widths = stage_widths(width, widest, size)
        blocks = BLOCKS * len(widths)
        self.features = nn.Sequential(
            normalise_weight(init_msr_(nn.Conv2d(in_channels, width, 1, bias=False)), weight_norm),
            *(
                nn.Sequential(
                    _stage(before, blocks, norm, weight_norm),
                    FilteredDownsample(),
                    _transition(before, after, weight_norm),
                )
                for before, after in pairwise(widths)
            ),
            _stage(widths[-1], blocks, norm, weight_norm),
        )
        self.pool = normalise_weight(DiscriminativeBasis(widths[-1]), weight_norm)
        self.classifier = normalise_weight(init_msr_(nn.Linear(widths[-1], classes, bias=False)), weight_norm)


def stage_widths(width: int, widest: int, size: int) -> list[int]:
    """Return the channels of the stages from the image to the 4×4 map.

    ValueError if doubling 4 does not give the size.
    """
    return [width * min(2**step, widest) for step in range(doublings(size) + 1)]


def _stage(channels: int, blocks: int, norm: Norm = None, weight_norm: WeightNorm = None) -> nn.Sequential:
    return nn.Sequential(
        *(R3GANBlock(channels, blocks=blocks, norm=norm, weight_norm=weight_norm) for _ in range(BLOCKS))
    )


def _transition(before: int, after: int, weight_norm: WeightNorm = None) -> nn.Module:
    """Return a 1×1 convolution if the channels change."""
    if before == after:
        return nn.Identity()
    return normalise_weight(init_msr_(nn.Conv2d(before, after, 1, bias=False)), weight_norm)


_R3GAN = "Huang et al., The GAN Is Dead; Long Live the GAN! A Modern GAN Baseline, arXiv:2501.05441, figure 2c"
_SMALL = f"{_R3GAN}, with 96 to 384 channels"

ARCHITECTURES = (
    Architecture("r3gan_generator", R3GANGenerator, (64,), _R3GAN, GENERATOR),
    Architecture("r3gan_discriminator", R3GANDiscriminator, (3, 64, 64), _R3GAN, DISCRIMINATOR, pixels=CENTRED),
    Architecture("r3gan_small_generator", partial(R3GANGenerator, width=96, widest=4), (64,), _SMALL, GENERATOR),
    Architecture(
        "r3gan_small_discriminator",
        partial(R3GANDiscriminator, width=96, widest=4),
        (3, 64, 64),
        _SMALL,
        DISCRIMINATOR,
        pixels=CENTRED,
    ),
)
