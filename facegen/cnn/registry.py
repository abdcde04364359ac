"""Every network by name: what ``facegen inspect``, recipes and feature extractors choose from."""

from __future__ import annotations

from difflib import get_close_matches

from facegen.cnn import (
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
from facegen.cnn.architecture import Architecture

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


def find_architecture(name: str) -> Architecture:
    """The architecture of that name; ValueError, with the nearest name, where there is none."""
    if name not in ARCHITECTURES:
        near = get_close_matches(name, ARCHITECTURES, n=1)
        hint = f": did you mean {near[0]!r}?" if near else f"; there are {', '.join(ARCHITECTURES)}"
        raise ValueError(f"no architecture is called {name!r}{hint}")
    return ARCHITECTURES[name]
