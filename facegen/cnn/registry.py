"""Every network by name.

To add one, write a module with ``ARCHITECTURES`` and add it to the table here. Other packages call
:func:`register_architecture`.
"""

from __future__ import annotations

from difflib import get_close_matches

from . import (
    alexnet,
    c3d,
    dcgan,
    densenet,
    efficientnet_lite,
    googlenet,
    hand_filters,
    inception,
    lenet,
    r3gan,
    resnet,
    self_modulation,
    sngan,
    textcnn,
    vgg,
)
from .architecture import Architecture

ARCHITECTURES: dict[str, Architecture] = {
    architecture.name: architecture
    for family in (
        lenet,
        alexnet,
        vgg,
        googlenet,
        inception,
        resnet,
        densenet,
        textcnn,
        c3d,
        efficientnet_lite,
        dcgan,
        sngan,
        self_modulation,
        r3gan,
        hand_filters,
    )
    for architecture in family.ARCHITECTURES
}
#: Architectures that are defined here, not registered by other packages.
OWN = frozenset(ARCHITECTURES)


def register_architecture(architecture: Architecture) -> None:
    """Register a network, so that it can be used by its name like those defined here.

    Raises:
        ValueError: The name is taken.
    """
    if ARCHITECTURES.setdefault(architecture.name, architecture) != architecture:
        raise ValueError(f"an architecture is called {architecture.name!r} already")


def find_architecture(name: str) -> Architecture:
    """Return the architecture of a name. ValueError suggests the nearest name if there is none."""
    if name not in ARCHITECTURES:
        near = get_close_matches(name, ARCHITECTURES, n=1)
        hint = f": did you mean {near[0]!r}?" if near else f"; there are {', '.join(ARCHITECTURES)}"
        raise ValueError(f"no architecture is called {name!r}{hint}")
    return ARCHITECTURES[name]
