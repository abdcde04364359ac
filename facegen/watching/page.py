"""The page of runs: one template, with its data in it (a report) or without (its script asks the server)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from facegen.pages import sha256_of, templates_of

PACKAGE = "facegen.watching"
SCRIPTS, STYLE = ("charts.js", "watch.js"), "watch.css"
#: What a file says that is a report of facegen's, within its first kilobyte.
MARK = '<meta name="generator" content="facegen watch">'


def page(data: Mapping[str, Any] | None) -> str:
    """The page. With ``data`` it stands alone and fetches nothing; without, it asks for ``data.json`` now and then."""
    from markupsafe import Markup

    embedded = None if data is None else Markup(_json(data))
    return (
        templates_of(PACKAGE)
        .get_template("watch.html")
        .render(data=embedded, policy=policy(is_served=data is None), mark=Markup(MARK), scripts=SCRIPTS, style=STYLE)
    )


def policy(*, is_served: bool) -> str:
    """The Content-Security-Policy: scripts and styles by their hash, pictures that are embedded or the server's own."""
    scripts, style = (
        " ".join(f"'sha256-{sha256_of(PACKAGE, name)}'" for name in names) for names in (SCRIPTS, (STYLE,))
    )
    own = ("img-src 'self' data:", "connect-src 'self'") if is_served else ("img-src data:",)
    return "; ".join(
        (
            *("default-src 'none'", *own, f"style-src {style}", f"script-src {scripts}"),
            *("base-uri 'none'", "form-action 'none'"),
        )
    )


def _json(data: Mapping[str, Any]) -> str:
    """JSON that can stand in a script element: no tag begins in it."""
    return json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
