"""Every network by name.

A new one is a module with ``ARCHITECTURES`` and an entry in the table here; from outside, one call of
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
#: Those that are defined here, and not registered from elsewhere.
OWN = frozenset(ARCHITECTURES)


def register_architecture(architecture: Architecture) -> None:
    """Makes a network known by its name, as if it were defined here.

    Raises:
        ValueError: another network has that name.
    """
    if ARCHITECTURES.setdefault(architecture.name, architecture) != architecture:
        raise ValueError(f"an architecture is called {architecture.name!r} already")


def find_architecture(name: str) -> Architecture:
    """The architecture of that name; ValueError, with the nearest name, where there is none."""
    if name not in ARCHITECTURES:
        near = get_close_matches(name, ARCHITECTURES, n=1)
        hint = f": did you mean {near[0]!r}?" if near else f"; there are {', '.join(ARCHITECTURES)}"
        raise ValueError(f"no architecture is called {name!r}{hint}")
    return ARCHITECTURES[name]
