"""Pages that stand alone: templates that escape what is put in, and the hashes by which a browser runs their scripts."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from facegen.printable import printable

if TYPE_CHECKING:
    from jinja2 import Environment


@cache
def templates_of(package: str) -> Environment:
    """The templates in the folder ``templates`` of a package. All text in them is escaped, and fit to be seen.

    ``sha256(name)`` is a file's hash, as a Content-Security-Policy gives it: of what ``{% include name %}`` writes.
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
    templates.globals["sha256"] = _source_hash(templates)
    return templates


def _source_hash(templates: Environment) -> Callable[[str], str]:
    def of(name: str) -> str:
        assert templates.loader is not None
        source = templates.loader.get_source(templates, name)[0].removesuffix("\n")
        return base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()

    return of
