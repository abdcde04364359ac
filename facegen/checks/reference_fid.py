"""Runs pytorch-fid's own code with local weights. The doctor and the tests compare facegen's score with it.

pytorch-fid 0.3.0 downloads its weights when it builds its network, and calls SciPy's matrix root with an argument
that SciPy 1.18 has removed. This module provides both while it runs. The network and the formula are pytorch-fid's
own.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
import torch
from pytorch_fid import fid_score, inception
from scipy import linalg
from torch import Tensor, nn
from torchvision.models import inception_v3

Floats = npt.NDArray[np.floating]


def seeded_weights(seed: int = 0) -> dict[str, Tensor]:
    """Return a random state dict with the names and shapes of the published one.

    Convolutions are He-normal, and BatchNorms are not the identity."""
    with torch.device("meta"):  # shapes only; pytorch-fid's are those of torchvision
        shapes = inception_v3(num_classes=1008, aux_logits=False, init_weights=False).state_dict()
    random = torch.Generator().manual_seed(seed)
    weights = {}
    for key, value in shapes.items():
        if key.endswith("num_batches_tracked"):
            weights[key] = torch.tensor(0)
        elif value.ndim == 4:
            weights[key] = torch.randn(value.shape, generator=random) * (2 / value[0].numel()) ** 0.5
        elif key.endswith(("bn.weight", "running_var")):
            weights[key] = 0.5 + torch.rand(value.shape, generator=random)
        else:
            weights[key] = torch.randn(value.shape, generator=random) / 10
    return weights


def reference_network(state_dict: Mapping[str, Tensor], dims: Sequence[int] = (2048,)) -> nn.Module:
    """Build pytorch-fid's network in eval mode, with these weights instead of a download.

    It maps float32 [n, 3, H, W] in [0, 1] to a list of maps [n, d, h, w], one for each of ``dims``.
    """
    with patch.object(inception, "load_state_dict_from_url", lambda *_, **__: state_dict):
        blocks = [inception.InceptionV3.BLOCK_INDEX_BY_DIM[cut] for cut in dims]
        network: nn.Module = inception.InceptionV3(blocks).eval()
    return network


def reference_distance(mu1: Floats, sigma1: Floats, mu2: Floats, sigma2: Floats) -> float:
    """Compute pytorch-fid's Fréchet distance of two means [D] and covariances [D, D], with any version of SciPy."""
    # It prints a message if the root is not finite, and SciPy warns of singular matrices, which few features always
    # give.
    with (
        patch.object(fid_score, "linalg", SimpleNamespace(sqrtm=_sqrtm)),
        redirect_stdout(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        return float(fid_score.calculate_frechet_distance(mu1, sigma1, mu2, sigma2))


def reference_score(first: Floats, second: Floats) -> float:
    """Compute pytorch-fid's Fréchet distance of two sets of features, [n, D] and [m, D].

    Few features span a small space. In coordinates of that space the distance is the same, because isometries do not
    change it. The matrix root then takes milliseconds instead of a minute.
    """
    both = np.concatenate([first, second]).astype(np.float64)
    if len(both) < both.shape[1]:
        basis, _ = np.linalg.qr(both.T)
        both = both @ basis
    parts = np.split(both, [len(first)])
    (mu1, sigma1), (mu2, sigma2) = ((part.mean(axis=0), np.cov(part, rowvar=False)) for part in parts)
    return reference_distance(mu1, sigma1, mu2, sigma2)


def _sqrtm(matrix: Floats, disp: bool = True) -> Floats | tuple[Floats, float]:
    """Compute SciPy's matrix root with the ``disp`` argument that 1.18 removed.

    False adds an error estimate, which is unused.
    """
    root = linalg.sqrtm(matrix)
    return root if disp else (root, np.nan)
