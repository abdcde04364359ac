"""Results as small HTML cards for notebooks: facts, tables and pictures.

Text has the page's own colour, and other colours are readable on both light and dark themes. All words are escaped
here, whoever wrote them. A part whose file is gone is None, and so is a card with such a part. IPython then shows the
result as text.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from markupsafe import Markup, escape

from facegen.files import read_regular
from facegen.pages import data_uri
from facegen.printable import printable

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from PIL.Image import Image

#: Maximum size of a picture file to read, in bytes; maximum size to embed it unchanged; maximum side of the others,
#: in pixels.
_MOST_BYTES, _AS_IT_IS, _SIDE = 64 << 20, 200_000, 1024
#: Maximum size of an embedded animation, because a notebook should stay small. Of a larger one the first frame is
#: embedded.
_ANIMATION = 2_000_000
#: Maximum number of pixels to decode, more than facegen ever draws.
_MOST_PIXELS = 1 << 26
#: Maximum number of rows of a table.
_ROWS = 200
#: The formats that facegen draws, by their first bytes.
_KINDS = {b"\x89PNG": "png", b"GIF8": "gif", b"\xff\xd8\xff": "jpeg"}

#: Style rules. The class is named twice to override the page's own rules, such as JupyterLab's for tables.
_RULES = """
{max-width:54rem;font-size:14px;line-height:1.45}
p{margin:.25rem 0}
.title{font-weight:600}
.state,dd,td{font-variant-numeric:tabular-nums}
.track{height:8px;border-radius:4px;background:rgba(128,128,128,.3);margin:.35rem 0;overflow:hidden}
.track div{height:100%;background:#2f8fd0}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1rem;margin:.35rem 0}
dt{float:none;width:auto;opacity:.75;font-weight:400}
dd{float:none;width:auto;margin:0;padding:0;overflow-wrap:anywhere}
.wide{overflow:auto;max-height:36rem}
table{border-collapse:collapse;margin:.35rem 0;font-size:13px}
th,td{text-align:left;vertical-align:top;max-width:none;padding:.15rem .9rem .15rem 0}
th{opacity:.75;font-weight:400}
td{border-top:1px solid rgba(128,128,128,.35)}
td:first-child{white-space:nowrap}
img,video{display:block;max-width:100%;height:auto;margin:.4rem 0}
.note{border-left:3px solid #d9822b;padding-left:.6rem;margin:.3rem 0}
.good,.bad{border:1px solid;border-radius:1rem;padding:0 .6rem;margin-left:.6rem}
.good{border-color:#2f9e5b}
.bad{border-color:#d9534f}
pre{white-space:pre-wrap;opacity:.75;font-size:12px;line-height:1.4;margin:.35rem 0}
.charts{display:flex;flex-wrap:wrap;gap:.5rem 1.5rem}
.charts>*{flex:1 1 20rem;max-width:26rem}
svg{display:block;width:100%;height:auto;font-size:12px}
svg text{fill:currentColor}
svg .tick{opacity:.75}
svg line{stroke:currentColor}
svg line.grid{opacity:.18}
svg .line{fill:none;stroke-width:2;stroke-linejoin:round}
svg polyline.first{stroke:#2f8fd0}
svg circle.first,svg text.first{fill:#2f8fd0}
svg polyline.second{stroke:#d9822b}
svg circle.second,svg text.second{fill:#d9822b}
"""


def _scoped(rules: str) -> Markup:
    """Return a style of these rules, one per line, that apply only inside ``<div class="facegen">``."""
    lines = []
    for rule in rules.strip().splitlines():
        whose, _, what = rule.partition("{")
        lines.append(",".join(f".facegen.facegen {each}".strip() for each in whose.split(",")) + "{" + what)
    return Markup("<style>{}</style>").format(Markup("\n".join(lines)))


STYLE = _scoped(_RULES)


def fit(text: object) -> Markup:
    """Escape words for HTML and make them printable."""
    return escape(printable(str(text)))


def card(title: str, *parts: Markup | None, mark: Markup | None = None) -> str | None:
    """Return a self-contained block with a title, ``mark`` behind it, and these parts. None if a part is None."""
    present = [part for part in parts if part is not None]
    if len(present) < len(parts):
        return None
    return str(block(Markup('<p class="title">{}{}</p>').format(fit(title), mark or Markup()), *present))


def block(*parts: Markup) -> Markup:
    """Stack parts vertically and add the style that they need."""
    return Markup('<div class="facegen">{}{}</div>').format(STYLE, Markup().join(parts))


def verdict(passed: bool | None, target: float | None) -> Markup:
    """Return a mark that says if a value is below its target. Empty if there is no target."""
    if passed is None or target is None:
        return Markup()
    kind, words = ("good", "below") if passed else ("bad", "not below")
    return Markup('<span class="{}">{} the target of {}</span>').format(kind, words, f"{target:g}")


def facts(found: Mapping[str, object]) -> Markup:
    """Return a list of names and values. Values of None are left out."""
    pair = Markup("<dt>{}</dt><dd>{}</dd>")
    rows = (pair.format(fit(name), fit(value)) for name, value in found.items() if value is not None)
    return Markup("<dl>{}</dl>").format(Markup().join(rows))


def notes(sentences: Iterable[str]) -> Markup:
    """Return warnings, one per paragraph."""
    return Markup().join(Markup('<p class="note">{}</p>').format(fit(each)) for each in sentences)


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> Markup:
    """Return a table. None is an empty cell. A long table scrolls, and a very long one is cut."""
    head = Markup().join(Markup("<th>{}</th>").format(fit(each)) for each in heads)
    body = Markup().join(
        Markup("<tr>{}</tr>").format(
            Markup().join(Markup("<td>{}</td>").format("" if cell is None else fit(cell)) for cell in row)
        )
        for row in rows[:_ROWS]
    )
    made = Markup('<div class="wide"><table><tr>{}</tr>{}</table></div>').format(head, body)
    more = len(rows) - _ROWS
    return made if more <= 0 else made + Markup("<p>and {} more</p>").format(f"{more:,}")


def place(path: Path) -> Markup:
    """Return the path of a file, as a link if it is below the notebook's folder. A page may open no others."""
    if path.is_absolute() or ".." in path.parts:
        return Markup("<p><code>{}</code></p>").format(fit(path))
    return Markup('<p><a href="{}" target="_blank">{}</a></p>').format(quote(path.as_posix()), fit(path))


def picture_file(path: Path, alt: str) -> Markup | None:
    """Embed a PNG, GIF or JPEG; a large one becomes a JPEG. None if it is gone or has another format."""
    try:
        data = read_regular(path, _MOST_BYTES)
    except OSError:
        return None
    kind = next((kind for begins, kind in _KINDS.items() if data.startswith(begins)), None)
    if kind is None:
        return None
    if len(data) <= (_ANIMATION if kind == "gif" else _AS_IT_IS):
        return _embedded(data, kind, alt)
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=[kind]) as opened:
            if opened.width * opened.height > _MOST_PIXELS:
                return None
            return _as_jpeg(opened.convert("RGB"), alt)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def film_file(path: Path, alt: str) -> Markup | None:
    """Embed an MP4 as a video, or a GIF as :func:`picture_file`. Empty if an MP4 is too large."""
    try:
        data = read_regular(path, _MOST_BYTES)
    except OSError:
        return None
    if data[4:8] != b"ftyp":
        return picture_file(path, alt)
    if len(data) > _ANIMATION:
        return Markup()
    uri = data_uri("video/mp4", data)
    return Markup('<video controls loop muted src="{}" aria-label="{}"></video>').format(uri, fit(alt))


def picture(pixels: npt.NDArray[np.uint8], alt: str) -> Markup:
    """Embed uint8 [H, W, 3] as a JPEG."""
    from PIL import Image

    return _as_jpeg(Image.fromarray(pixels), alt)


def _as_jpeg(image: Image, alt: str) -> Markup:
    image.thumbnail((_SIDE, _SIDE))  # never enlarges
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90, subsampling=0)
    return _embedded(file.getvalue(), "jpeg", alt)


def _embedded(data: bytes, kind: str, alt: str) -> Markup:
    return Markup('<img src="{}" alt="{}">').format(data_uri(f"image/{kind}", data), fit(alt))
