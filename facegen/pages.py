"""Self-contained HTML pages: templates that escape what is put in, and the hashes of their scripts."""

from __future__ import annotations

import base64
import hashlib
from functools import cache, partial
from typing import TYPE_CHECKING

from facegen.printable import printable

if TYPE_CHECKING:
    from jinja2 import Environment


@cache
def templates_of(package: str) -> Environment:
    """Load the templates in the folder ``templates`` of a package. They escape every text and make it printable.

    In a template, ``sha256(name)`` is :func:`sha256_of` one of its files.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    templates = Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        # The output of a macro is printable already, and contains line breaks of the template.
        finalize=lambda value: printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.globals["sha256"] = partial(sha256_of, package)
    return templates


def sha256_of(package: str, name: str) -> str:
    """Return the hash of the text that ``{% include name %}`` writes, in the form of a Content-Security-Policy."""
    templates = templates_of(package)
    assert templates.loader is not None
    source = templates.loader.get_source(templates, name)[0].removesuffix("\n")
    return base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()


def data_uri(kind: str, data: bytes) -> str:
    """Return a data URI that embeds a file in a page.

    Args:
        kind: The media type, such as ``"image/png"``.
    """
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
