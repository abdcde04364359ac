"""Moment matching: draws the generator's features towards the mean and covariance of the real ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from facegen.device import float64_device

#: Added to the diagonal of both covariances, as a fraction of the real features' mean variance. Directions with almost
#: no variance would otherwise be divided by almost 0.
RIDGE = 1e-3


class MomentMatching(nn.Module):
    """The Fréchet distance between Gaussians of real and generated features, as a loss for the generator.

    The distance between the real N(μ, Σ) and the generated N(ν, T) is d² = ‖μ − ν‖² + Tr(Σ + T − 2(ΣT)^½). It equals
    the mean squared distance between each generated feature y and its target μ + A(y − ν). The target is y's image
    under the optimal transport map of one Gaussian onto the other, with A = T^−½ (T^½ Σ T^½)^½ T^−½ (Dowson and
    Landau, The Fréchet distance between multivariate normal distributions, 1982; Knott and Smith, On the optimal
    mapping of distributions, 1984). If the target is held fixed, the gradient of this mean squared distance is the
    gradient of d².

    A batch is too small for a covariance, so the moments are averages over many batches, as in generative feature
    matching networks (dos Santos et al., arXiv:1904.02762), which match means and variances. The map is recomputed
    from time to time.

    Each feature is divided by the standard deviation of the real features, which :meth:`calibrate` measures.

    Args:
        dims: Number of features.
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
        # Moving averages of y and y yᵀ, for real and for generated features: weighted sums, and the sum of weights.
        self.register_buffer("weight", torch.zeros(()))
        self.register_buffer("means", torch.zeros(2, dims))
        self.register_buffer("seconds", torch.zeros(2, dims, dims))
        # The latest map. There is none at first, and the loss is then 0.
        self.register_buffer("real_mean", torch.zeros(dims))
        self.register_buffer("fake_mean", torch.zeros(dims))
        self.register_buffer("optimal_map", torch.eye(dims))
        self.register_buffer("variance", torch.ones(()))

    @torch.no_grad()
    def calibrate(self, means: Tensor, squares: Tensor) -> None:
        """Set the scale from the means and mean squares of real features, [dims] each."""
        self.scale.copy_((squares - means.square()).clamp_min(1e-6).sqrt())

    @torch.no_grad()
    def batch_moments(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the moments of features [B, dims] each: means [2, dims] and means of y yᵀ [2, dims, dims]."""
        both = torch.stack([real, fake]).float() / self.scale
        return both.mean(1), both.transpose(1, 2) @ both / both.shape[1]

    @torch.no_grad()
    def update_averages(self, means: Tensor, seconds: Tensor, keep: float) -> None:
        """Add a batch's moments to the averages. ``keep`` in [0, 1) is the weight that the previous average keeps."""
        for average, new in ((self.means, means), (self.seconds, seconds)):
            average.lerp_(new, 1 - keep)
        self.weight.lerp_(torch.ones_like(self.weight), 1 - keep)

    @torch.no_grad()
    def solve_map(self) -> None:
        """Compute the optimal map from the present averages. There is no map if they contain NaN."""
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
        """Compute the mean squared distance of features [B, dims] to their targets, over the real total variance."""
        features = fake.float() / self.scale
        with torch.no_grad():
            places = self.real_mean + (features - self.fake_mean) @ self.optimal_map.T
        return (features - places).square().sum(1).mean() / self.variance
