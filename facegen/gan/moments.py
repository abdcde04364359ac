"""Moment matching: a generator's features are drawn towards the mean and covariance of the real ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from facegen.device import float64_device

#: Added to both covariances, as a share of the real ones' mean variance: directions in which there is next to nothing
#: to see would be divided by next to nothing.
RIDGE = 1e-3


class MomentMatching(nn.Module):
    """The Fréchet distance between Gaussians of real and generated features, as something that G can learn from.

    The distance d² = ‖μ − ν‖² + Tr(Σ + T − 2(ΣT)^½) between the real N(μ, Σ) and the generated N(ν, T) is the mean
    squared way from each generated feature y to where the optimal map of one Gaussian onto the other takes it:
    μ + A(y − ν), A = T^−½ (T^½ Σ T^½)^½ T^−½ (Dowson and Landau, The Fréchet distance between multivariate normal
    distributions, 1982; Knott and Smith, On the optimal mapping of distributions, 1984). With that place held fixed,
    the gradient of the way is that of d² itself.

    A batch is far too small to have a covariance, so moments are averages over many batches, as in generative feature
    matching networks (dos Santos et al., arXiv:1904.02762), which match means and variances. The map is computed anew
    from time to time.

    Each feature is divided by the standard deviation of the real ones, which :meth:`calibrate` finds.

    Args:
        dims: of the features.
    """

    scale: Tensor
    weight: Tensor
    means: Tensor
    seconds: Tensor
    real_mean: Tensor
    fake_mean: Tensor
    optimal_map: Tensor
    variance: Tensor

    def __init__(self, dims: int) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(dims))
        # Averages of real and of generated features y, and of y yᵀ: sums of weighted batches, and the weights' sum.
        self.register_buffer("weight", torch.zeros(()))
        self.register_buffer("means", torch.zeros(2, dims))
        self.register_buffer("seconds", torch.zeros(2, dims, dims))
        # The map, as it was computed last; at first there is none, and nothing is lost by anything.
        self.register_buffer("real_mean", torch.zeros(dims))
        self.register_buffer("fake_mean", torch.zeros(dims))
        self.register_buffer("optimal_map", torch.eye(dims))
        self.register_buffer("variance", torch.ones(()))

    @torch.no_grad()
    def calibrate(self, means: Tensor, squares: Tensor) -> None:
        """Take the scale from real features' means and mean squares, [dims] each."""
        self.scale.copy_((squares - means.square()).clamp_min(1e-6).sqrt())

    @torch.no_grad()
    def batch_moments(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """Of features [B, dims] each: means [2, dims] and means of y yᵀ [2, dims, dims]."""
        both = torch.stack([real, fake]).float() / self.scale
        return both.mean(1), both.transpose(1, 2) @ both / both.shape[1]

    @torch.no_grad()
    def update_averages(self, means: Tensor, seconds: Tensor, keep: float) -> None:
        """Let a batch's moments into the averages, of whose weight ``keep`` in [0, 1) stays with what was before."""
        for average, new in ((self.means, means), (self.seconds, seconds)):
            average.lerp_(new, 1 - keep)
        self.weight.lerp_(torch.ones_like(self.weight), 1 - keep)

    @torch.no_grad()
    def solve_map(self) -> None:
        """Compute the optimal map of the averages as they are now. Features that are no numbers have none."""
        device = float64_device(self.means.device)
        weight, means, seconds = (average.to(device).double() for average in (self.weight, self.means, self.seconds))
        means, seconds = means / weight, seconds / weight
        if not seconds.isfinite().all():
            return
        real, fake = seconds - means[:, :, None] * means[:, None, :]
        self.variance.copy_(real.trace())
        ridge = RIDGE * real.diagonal().mean() * torch.eye(len(real), dtype=real.dtype, device=real.device)
        values, vectors = torch.linalg.eigh(fake + ridge)
        root = (vectors * values.sqrt()) @ vectors.T
        inverse = (vectors * values.rsqrt()) @ vectors.T
        values, vectors = torch.linalg.eigh(root @ (real + ridge) @ root)
        middle = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
        self.optimal_map.copy_(inverse @ middle @ inverse)
        self.real_mean.copy_(means[0])
        self.fake_mean.copy_(means[1])

    def forward(self, fake: Tensor) -> Tensor:
        """Mean squared way of generated features [B, dims] to their places, over the real features' total variance."""
        features = fake.float() / self.scale
        with torch.no_grad():
            places = self.real_mean + (features - self.fake_mean) @ self.optimal_map.T
        return (features - places).square().sum(1).mean() / self.variance
