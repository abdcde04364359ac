"""Results as small pieces of HTML, for a notebook: facts, tables and pictures, in the colours of its theme.

Text takes the page's own colour, so that a light and a dark theme are both readable, and what is coloured is readable
on either. All words are escaped here, whoever wrote them. A part that cannot be made, because its file is gone, is
None, and so is a card with such a part: IPython then shows the result as text.
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

#: What a picture's file may have to be read; up to where it is embedded as it is; the side of the others, in pixels.
_MOST_BYTES, _AS_IT_IS, _SIDE = 64 << 20, 200_000, 1024
#: An animation is embedded whole up to here: a notebook should stay small. Of a larger one its first frame is.
_ANIMATION = 2_000_000
#: Pixels of a file that is decoded: more than any that facegen draws.
_MOST_PIXELS = 1 << 26
#: Rows of a table.
_ROWS = 200
#: The kinds of file that facegen draws, by how they begin.
_KINDS = {b"\x89PNG": "png", b"GIF8": "gif", b"\xff\xd8\xff": "jpeg"}

#: Rules of a page's own style, such as JupyterLab's for tables, are outweighed by the class that is named twice.
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
    """A style of these rules, a rule a line, each for what is in a ``<div class="facegen">`` alone."""
    lines = []
    for rule in rules.strip().splitlines():
        whose, _, what = rule.partition("{")
        lines.append(",".join(f".facegen.facegen {each}".strip() for each in whose.split(",")) + "{" + what)
    return Markup("<style>{}</style>").format(Markup("\n".join(lines)))


STYLE = _scoped(_RULES)


def fit(text: object) -> Markup:
    """Words as HTML shows them: escaped, and with what is not to be seen spelt out."""
    return escape(printable(str(text)))


def card(title: str, *parts: Markup | None, mark: Markup | None = None) -> str | None:
    """A titled block of these parts, with ``mark`` behind the title. It stands alone; None where a part is None."""
    present = [part for part in parts if part is not None]
    if len(present) < len(parts):
        return None
    return str(block(Markup('<p class="title">{}{}</p>').format(fit(title), mark or Markup()), *present))


def block(*parts: Markup) -> Markup:
    """Parts below one another, with the style that they need."""
    return Markup('<div class="facegen">{}{}</div>').format(STYLE, Markup().join(parts))


def verdict(passed: bool | None, target: float | None) -> Markup:
    """Whether a value is below its target; nothing where none was judged."""
    if passed is None or target is None:
        return Markup()
    kind, words = ("good", "below") if passed else ("bad", "not below")
    return Markup('<span class="{}">{} the target of {}</span>').format(kind, words, f"{target:g}")


def facts(found: Mapping[str, object]) -> Markup:
    """Names and what they are; those of None are left out."""
    pair = Markup("<dt>{}</dt><dd>{}</dd>")
    rows = (pair.format(fit(name), fit(value)) for name, value in found.items() if value is not None)
    return Markup("<dl>{}</dl>").format(Markup().join(rows))


def notes(sentences: Iterable[str]) -> Markup:
    """Sentences to mind, each for itself."""
    return Markup().join(Markup('<p class="note">{}</p>').format(fit(each)) for each in sentences)


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> Markup:
    """Rows of cells under their heads; None is an empty cell. A long table scrolls, and a very long one is cut."""
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
    """Where a file is: a link where it lies below the notebook's folder, which is all that a page may open."""
    if path.is_absolute() or ".." in path.parts:
        return Markup("<p><code>{}</code></p>").format(fit(path))
    return Markup('<p><a href="{}" target="_blank">{}</a></p>').format(quote(path.as_posix()), fit(path))


def picture_file(path: Path, alt: str) -> Markup | None:
    """A PNG, GIF or JPEG, embedded: a large one as a JPEG. None where it is gone, or is none of these."""
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
    """An MP4 as a film to be played, or a GIF as :func:`picture_file`; nothing where an MP4 is too large to embed."""
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
    """uint8 [H, W, 3], embedded as a JPEG."""
    from PIL import Image

    return _as_jpeg(Image.fromarray(pixels), alt)


def _as_jpeg(image: Image, alt: str) -> Markup:
    image.thumbnail((_SIDE, _SIDE))  # never enlarges
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90, subsampling=0)
    return _embedded(file.getvalue(), "jpeg", alt)


def _embedded(data: bytes, kind: str, alt: str) -> Markup:
    return Markup('<img src="{}" alt="{}">').format(data_uri(f"image/{kind}", data), fit(alt))
