"""Recipes of earlier versions: what their fields were called and said then, read as what it is now.

They are in recipe files, in runs, and beside the weights of generators and checkpoints.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from facegen.errors import InputError
from facegen.gan.discriminators import PUBLISHED

#: Fields' former names and their present ones. A score is FID with Inception's network alone, so the fields are not
#: named after it.
RENAMED = {"fid_every": "score_every", "fid_images": "score_images"}
#: Until weight norm had a field of its own, this norm said that weights are normalised, and activations are not.
SPECTRAL = "spectral"
#: Networks that such a norm took something else from as well, and what they are called without it.
WITHOUT_THEIR_NORM = {"alexnet": "alexnet_without_response_norm"}


def by_present_names(values: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Fields by their present names; ``source`` is what an error calls them.

    Raises:
        InputError: one field has a value by both of its names.
    """
    for former, present in RENAMED.items():
        if former in values and present in values:
            raise InputError(f"{source} has both {present} and {former}, its former name.", f"Leave {former} out.")
    return {RENAMED.get(key, key): value for key, value in values.items()}


def by_present_values(values: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Fields, by present names, whose values build today what they built then.

    Raises:
        InputError: what was said then, beside something else that is said now.
    """
    if values.get("discriminator_norm") != SPECTRAL:
        return dict(values)
    said_now = values.get("discriminator_weight_norm", PUBLISHED)
    if said_now not in (PUBLISHED, SPECTRAL):
        raise InputError(
            f"{source} has discriminator_norm = {SPECTRAL!r}, which is a weight norm, and discriminator_weight_norm = "
            f"{said_now!r}.",
            'Say discriminator_norm = "none", and the weight norm that is meant.',
        )
    network = values.get("discriminator")
    return {
        **values,
        "discriminator": WITHOUT_THEIR_NORM.get(str(network), network),
        "discriminator_norm": "none",
        "discriminator_weight_norm": SPECTRAL,
    }
