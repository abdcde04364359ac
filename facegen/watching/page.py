"""The page of runs: one template, with embedded data (a report) or without (its script asks the server)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from facegen.pages import sha256_of, templates_of

PACKAGE = "facegen.watching"
SCRIPTS, STYLE = ("charts.js", "watch.js"), "watch.css"
#: The mark of facegen's reports, within the first kilobyte of the file.
MARK = '<meta name="generator" content="facegen watch">'


def page(data: Mapping[str, Any] | None) -> str:
    """Render the page. With ``data`` it is self-contained; without, its script requests ``data.json`` repeatedly."""
    from markupsafe import Markup

    embedded = None if data is None else Markup(_json(data))
    return (
        templates_of(PACKAGE)
        .get_template("watch.html")
        .render(data=embedded, policy=policy(is_served=data is None), mark=Markup(MARK), scripts=SCRIPTS, style=STYLE)
    )


def policy(*, is_served: bool) -> str:
    """Return the Content-Security-Policy: scripts and styles by hash, pictures embedded or from the server."""
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
    """Return JSON that is safe in a script element, because no tag can begin in it."""
    return json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
