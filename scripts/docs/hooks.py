"""Extend mkdocs: GitHub's anchors, pages from outside docs/, and links that leave the site.

A page must read the same on the repository's host and on the site. So pages are written for the host: links are
relative to the file, and may lead to any file of the repository. A link to a page of the site stays a link. A link to
any other file becomes plain text, because the repository has no public address yet.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
#: Pages outside docs/ that the site shows: their path in the repository, and their name on the site.
OUTSIDE = {
    "README.md": "readme.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
    "submissions/README.md": "submissions/readme.md",
    "facegen/pretrained/card.md": "facegen/pretrained/card.md",
}
_SCRIPT = "frame_worker.js"
#: Matches a block of code or code within a line, which stays as it is, or a picture or link to a file.
_LINK = re.compile(
    r"^ *(?P<fence>```+|~~~+).*?^ *(?P=fence) *$|`[^`\n]*`|(?P<picture>!?)\[(?P<words>(?:[^\[\]`]|`[^`\n]*`)*)\]"
    r"\((?!\w+:|#)(?P<target>[^()\s]+)\)",
    re.MULTILINE | re.DOTALL,
)
_MERMAID = re.compile(r"^```mermaid\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ARROW = re.compile(r'(\w+)(?:\["(.+?)"\])? --> (\w+)(?:\["(.+?)"\])?')


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Use GitHub's anchors, and this folder's replacement for a worker that would be loaded from another site."""
    config.mdx_configs.setdefault("toc", {})["slugify"] = anchor
    config.extra["polyfills"] = [f"assets/{_SCRIPT}?iframe-worker"]  # the plugin offline recognises it by this name
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie outside docs/, and the script."""
    for source, name in OUTSIDE.items():
        files.append(File.generated(config, name, content=(ROOT / source).read_text(encoding="utf-8")))
    files.append(File.generated(config, f"assets/{_SCRIPT}", abs_src_path=str(HERE / _SCRIPT)))
    return files


def on_page_markdown(text: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point the links of a page to the site's pages, and draw its diagrams as text."""
    name = page.file.src_uri
    source = next((outside for outside, inside in OUTSIDE.items() if inside == name), f"docs/{name}")
    there = {f"docs/{file.src_uri}" for file in files if not file.generated_by}
    return _MERMAID.sub(_as_text, site_links(text, source, name, there))


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Set the language of a page, so that a browser uses the right font and voice."""
    return output.replace('<html lang="en"', '<html lang="ko"', 1) if page.file.src_uri.startswith("ko/") else output


def anchor(heading: str, separator: str = "-") -> str:
    """Return the anchor that GitHub gives a heading: lower case, no punctuation, a hyphen for every space."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", separator)


def site_links(text: str, source: str, name: str, there: set[str]) -> str:
    """Return a page's text with links that work on the site.

    Args:
        text: Markdown.
        source: Path of the page in the repository.
        name: Path of the page on the site.
        there: The files of docs/ by their paths in the repository.
    """

    def led(found: re.Match[str]) -> str:
        if found["target"] is None:
            return found[0]
        path, mark, place = found["target"].partition("#")
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        if target in OUTSIDE:
            goal = OUTSIDE[target]
        elif target in there:
            goal = target.removeprefix("docs/")
        elif (ROOT / target).exists():
            return str(found["words"])
        else:
            return found[0]  # mkdocs reports it
        link = posixpath.relpath(goal, posixpath.dirname(name) or ".")
        return f"{found['picture']}[{found['words']}]({link}{mark}{place})"

    return _LINK.sub(led, text)


def _as_text(found: re.Match[str]) -> str:
    """Return the arrows of a flow chart as text, one per line. The theme would load mermaid from another site."""
    names: dict[str, Any] = {}
    lines = []
    for source, source_text, target, target_text in _ARROW.findall(found[1]):
        names.update({key: value for key, value in ((source, source_text), (target, target_text)) if value})
        lines.append(f"{names.get(source, source)}  →  {names.get(target, target)}")
    return "\n".join(["```text", *lines, "```"])
