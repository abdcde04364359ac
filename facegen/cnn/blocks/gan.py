"""Blocks that double or halve an image, for generators and discriminators."""

from __future__ import annotations

from facegen.cnn.layers import Activation, ConvNormAct, Norm


class UpBlock(ConvNormAct):
    """Twice the height and width by a transposed 4×4 convolution at stride 2: DCGAN's generator block.

    The kernel is a multiple of the stride, so every output pixel has as many inputs (no checkerboard from overlap).
    [B, C, H, W] → [B, K, 2H, 2W].
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, norm: Norm = "batch", activation: Activation = "relu"
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            4,
            stride=2,
            padding=1,
            bias=False,
            norm=norm,
            activation=activation,
            transposed=True,
        )


class DownBlock(ConvNormAct):
    """Half the height and width by a 4×4 convolution at stride 2: DCGAN's discriminator block.

    [B, C, H, W] → [B, K, H/2, W/2] for even sizes.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, norm: Norm = "batch", activation: Activation = "leaky_relu"
    ) -> None:
        super().__init__(
            in_channels, out_channels, 4, stride=2, padding=1, bias=False, norm=norm, activation=activation
        )
