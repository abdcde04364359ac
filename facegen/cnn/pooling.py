"""Pooling by name, in 1-D, 2-D and 3-D."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from .shapes import Size

_MAX: dict[int, Callable[..., nn.Module]] = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
_AVERAGE: dict[int, Callable[..., nn.Module]] = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}


def make_pool(
    kind: str,
    kernel_size: Size,
    *,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    dims: int = 2,
) -> nn.Module:
    """Build max or average pooling: [B, C, ...] → [B, C, ...].

    Args:
        kind: ``"max"`` or ``"average"``. An average includes its zero padding, as torch's default.
        kernel_size: One number for all dimensions, or a sequence.
        stride: None for the size of the kernel, so that windows do not overlap.
        padding, ceil_mode: As in torch's pooling, see :func:`.output_size`.
        dims: Number of spatial dimensions: 1, 2 or 3.

    Raises:
        ValueError: An unknown kind.
    """
    _check(kind)
    pools = _MAX if kind == "max" else _AVERAGE
    return pools[dims](kernel_size, stride=stride, padding=padding, ceil_mode=ceil_mode)


class GlobalPool(nn.Module):
    """The average or maximum over all positions: [B, C, ...] → [B, C].

    Lin, Chen and Yan, Network in Network, arXiv:1312.4400, section 3.2; over time, Kim, arXiv:1408.5882.

    Args:
        kind: ``"average"`` or ``"max"``. ValueError for another.
    """

    def __init__(self, kind: str = "average") -> None:
        super().__init__()
        _check(kind)
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        positions = tuple(range(2, x.ndim))
        return x.amax(positions) if self.kind == "max" else x.mean(positions)

    def extra_repr(self) -> str:
        return self.kind


def _check(kind: str) -> None:
    if kind not in ("max", "average"):
        raise ValueError(f"unknown pooling {kind!r}: max or average")
