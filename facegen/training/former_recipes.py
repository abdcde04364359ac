"""Recipes of earlier versions, translated to the present names and values of their fields.

Such recipes are in recipe files, in runs, and in the files of generators and checkpoints.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from facegen.errors import InputError
from facegen.gan.discriminators import PUBLISHED

#: The former names of fields and their present names. The fields are no longer named after FID, because a score is FID
#: only with the network Inception.
RENAMED = {"fid_every": "score_every", "fid_images": "score_images"}
#: The former value of ``discriminator_norm`` for normalised weights with no normalised activations. Today
#: ``discriminator_weight_norm`` has this value.
SPECTRAL = "spectral"
#: Networks in which that value also removed another norm, each with its present name without that norm.
WITHOUT_THEIR_NORM = {"alexnet": "alexnet_without_response_norm"}


def by_present_names(values: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Return the fields under their present names.

    Args:
        values: The fields, by their present or former names.
        source: What an error message calls the origin of the values.

    Raises:
        InputError: A field has a value under both of its names.
    """
    for former, present in RENAMED.items():
        if former in values and present in values:
            raise InputError(f"{source} has both {present} and {former}, its former name.", f"Remove {former}.")
    return {RENAMED.get(key, key): value for key, value in values.items()}


def by_present_values(values: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Return the fields with values that build the same networks today as the former values did.

    Args:
        values: The fields, by their present names.
        source: What an error message calls the origin of the values.

    Raises:
        InputError: A former value contradicts a present one.
    """
    if values.get("discriminator_norm") != SPECTRAL:
        return dict(values)
    said_now = values.get("discriminator_weight_norm", PUBLISHED)
    if said_now not in (PUBLISHED, SPECTRAL):
        raise InputError(
            f"{source} has discriminator_norm = {SPECTRAL!r}, which is a weight norm, and discriminator_weight_norm = "
            f"{said_now!r}.",
            'Set discriminator_norm = "none", and set discriminator_weight_norm to the norm that you want.',
        )
    network = values.get("discriminator")
    return {
        **values,
        "discriminator": WITHOUT_THEIR_NORM.get(str(network), network),
        "discriminator_norm": "none",
        "discriminator_weight_norm": SPECTRAL,
    }
