"""Residual blocks: a few convolutions parallel to a shortcut, which makes deep networks trainable."""

from __future__ import annotations

from collections import OrderedDict

import torch.nn.functional as F
from torch import Tensor, nn

from ..layers import Activation, ConvNormAct, Norm, make_activation, make_norm

#: ``"projection"``, ``"pad"``, or None for no shortcut: see :func:`make_shortcut`.
Shortcut = str | None


class PadShortcut(nn.Module):
    """ResNet's shortcut option A: every ``stride``-th pixel, and zeros for missing channels.

    He et al., arXiv:1512.03385, section 3.3. It has no parameters. [B, C, H, W] → [B, K, ⌈H/stride⌉, ⌈W/stride⌉].
    """

    def __init__(self, in_channels: int, out_channels: int, *, stride: int = 1) -> None:
        super().__init__()
        self.missing, self.stride = out_channels - in_channels, stride

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.missing))

    def extra_repr(self) -> str:
        return f"channels=+{self.missing}, stride={self.stride}"


def make_shortcut(
    shortcut: Shortcut, in_channels: int, out_channels: int, *, stride: int, norm: Norm
) -> nn.Module | None:
    """Build a shortcut: the identity if shapes agree, else a layer that makes them agree.

    He et al., arXiv:1512.03385, section 3.3.

    Args:
        shortcut: ``"projection"``, a 1×1 convolution and its norm (option B); ``"pad"``, without parameters
            (option A); or None for the paper's plain networks, which have no shortcut anywhere.
        in_channels, out_channels, stride: Those of the convolutions parallel to the shortcut.
        norm: The norm of the projection, see :func:`.make_norm`.

    Raises:
        ValueError: An unknown shortcut.
    """
    if shortcut not in ("projection", "pad", None):
        raise ValueError(f"unknown shortcut {shortcut!r}: projection, pad or None")
    if shortcut is None:
        return None
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    if shortcut == "pad":
        return PadShortcut(in_channels, out_channels, stride=stride)
    return ConvNormAct(in_channels, out_channels, 1, stride=stride, bias=False, norm=norm, activation=None)


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut: y = act(F(x) + x). He et al., arXiv:1512.03385, figure 5 left.

    [B, C, H, W] → [B, width, ⌈H/stride⌉, ⌈W/stride⌉].
    """

    expansion = 1

    def __init__(
        self,
        in_channels: int,
        width: int,
        *,
        stride: int = 1,
        shortcut: Shortcut = "projection",
        norm: Norm = "batch",
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        self.conv1 = ConvNormAct(in_channels, width, 3, stride=stride, norm=norm, activation=activation)
        self.conv2 = ConvNormAct(width, width, 3, norm=norm, activation=None)
        self.shortcut = make_shortcut(shortcut, in_channels, width, stride=stride, norm=norm)
        self.act = make_activation(activation) or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2(self.conv1(x))
        return self.act(y if self.shortcut is None else y + self.shortcut(x))


class Bottleneck(nn.Module):
    """1×1 down, 3×3, 1×1 up to ``4 × width``, and a shortcut. He et al., arXiv:1512.03385, figure 5 right.

    The 3×3 has the stride, as in torchvision ("ResNet v1.5"). [B, C, H, W] → [B, 4·width, ⌈H/s⌉, ⌈W/s⌉].
    """

    expansion = 4

    def __init__(
        self,
        in_channels: int,
        width: int,
        *,
        stride: int = 1,
        shortcut: Shortcut = "projection",
        norm: Norm = "batch",
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        out_channels = self.expansion * width
        self.conv1 = ConvNormAct(in_channels, width, 1, norm=norm, activation=activation)
        self.conv2 = ConvNormAct(width, width, 3, stride=stride, norm=norm, activation=activation)
        self.conv3 = ConvNormAct(width, out_channels, 1, norm=norm, activation=None)
        self.shortcut = make_shortcut(shortcut, in_channels, out_channels, stride=stride, norm=norm)
        self.act = make_activation(activation) or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv3(self.conv2(self.conv1(x)))
        return self.act(y if self.shortcut is None else y + self.shortcut(x))


class PreActivation(nn.Sequential):
    """Norm → activation, as children ``norm`` and ``act``, before the convolutions of a block.

    He et al., arXiv:1603.05027, figure 1b. It does not change its input in place, because the shortcut needs it.
    [B, C, ...] → [B, C, ...].
    """

    def __init__(self, channels: int, *, norm: Norm = "batch", activation: Activation = "relu") -> None:
        layers = OrderedDict(norm=make_norm(norm, channels), act=make_activation(activation))
        super().__init__(OrderedDict((name, layer) for name, layer in layers.items() if layer is not None))

    def forward(self, x: Tensor) -> Tensor:
        # Without a norm, an in-place activation would change the input itself.
        activated: Tensor = super().forward(x if hasattr(self, "norm") else x.clone())
        return activated


class PreActBasicBlock(nn.Module):
    """:class:`BasicBlock` with norm and activation before each convolution: y = x + F(act(norm(x))).

    He et al., arXiv:1603.05027, figure 1b. If shapes change, the shortcut also starts from act(norm(x)), and its
    projection has no norm (the authors' https://github.com/KaimingHe/resnet-1k-layers). [B, C, H, W] → [B, width,
    ⌈H/stride⌉, ⌈W/stride⌉].
    """

    expansion = 1

    def __init__(
        self,
        in_channels: int,
        width: int,
        *,
        stride: int = 1,
        shortcut: Shortcut = "projection",
        norm: Norm = "batch",
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        self.preact = PreActivation(in_channels, norm=norm, activation=activation)
        self.conv1 = ConvNormAct(in_channels, width, 3, stride=stride, norm=norm, activation=activation)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.shortcut = make_shortcut(shortcut, in_channels, width, stride=stride, norm=None)

    def forward(self, x: Tensor) -> Tensor:
        activated = self.preact(x)
        return _add(self.shortcut, x, activated, self.conv2(self.conv1(activated)))


class PreActBottleneck(nn.Module):
    """:class:`Bottleneck` with norm and activation before each convolution: y = x + F(act(norm(x))).

    He et al., arXiv:1603.05027, figure 1b; the shortcut is that of :class:`PreActBasicBlock`, and the 3×3 has the
    stride. [B, C, H, W] → [B, 4·width, ⌈H/s⌉, ⌈W/s⌉].
    """

    expansion = 4

    def __init__(
        self,
        in_channels: int,
        width: int,
        *,
        stride: int = 1,
        shortcut: Shortcut = "projection",
        norm: Norm = "batch",
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        out_channels = self.expansion * width
        self.preact = PreActivation(in_channels, norm=norm, activation=activation)
        self.conv1 = ConvNormAct(in_channels, width, 1, norm=norm, activation=activation)
        self.conv2 = ConvNormAct(width, width, 3, stride=stride, norm=norm, activation=activation)
        self.conv3 = nn.Conv2d(width, out_channels, 1, bias=False)
        self.shortcut = make_shortcut(shortcut, in_channels, out_channels, stride=stride, norm=None)

    def forward(self, x: Tensor) -> Tensor:
        activated = self.preact(x)
        return _add(self.shortcut, x, activated, self.conv3(self.conv2(self.conv1(activated))))


def _add(shortcut: nn.Module | None, x: Tensor, activated: Tensor, y: Tensor) -> Tensor:
    """Add the shortcut to y: the input itself, or a projection of the activated input."""
    if shortcut is None:
        return y
    return y + (x if isinstance(shortcut, nn.Identity) else shortcut(activated))
