"""Pages that stand alone: templates that escape what is put in, and the hashes of their scripts."""

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
    """The templates in the folder ``templates`` of a package. All text in them is escaped, and fit to be seen.

    ``sha256(name)`` in them is :func:`sha256_of` a file of theirs.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    templates = Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        # What a macro wrote is fit to be seen already, and has line breaks of the template's own.
        finalize=lambda value: printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.globals["sha256"] = partial(sha256_of, package)
    return templates


def sha256_of(package: str, name: str) -> str:
    """The hash of a template's text, as a Content-Security-Policy gives it: of what ``{% include name %}`` writes."""
    templates = templates_of(package)
    assert templates.loader is not None
    source = templates.loader.get_source(templates, name)[0].removesuffix("\n")
    return base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()


def data_uri(kind: str, data: bytes) -> str:
    """A file within a page, as the address that holds it; ``kind`` is its media type, such as ``"image/png"``."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
