"""README.md as the package index shows it: hatchling's hook, which pyproject.toml names.

A package index has the text and none of the files that it links. With an address under ``Repository`` in
``[project.urls]`` relative links lead there. Without one they are words again, and pictures are left out: a link that
leads nowhere is worse than none.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

#: Code, which stays as it is; or a picture or a link whose target is no address.
_RELATIVE = re.compile(r"`[^`\n]*`|(!?)\[([^\[\]]*)\]\((?!\w+:|#)([^()\s]+)\)")


class IndexPage(MetadataHookInterface):
    """Gives the metadata its ``readme``."""

    def update(self, metadata: dict[str, Any]) -> None:
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        address = metadata.get("urls", {}).get("Repository")
        metadata["readme"] = {"content-type": "text/markdown", "text": index_page(text, address)}


def index_page(text: str, repository: str | None) -> str:
    """The README's ``text`` without relative links: they lead to ``repository``, or are words where there is none.

    Args:
        text: Markdown.
        repository: the address of the project on a host that shows files under ``/blob/HEAD`` and ``/raw/HEAD``, as
            GitHub and GitLab do.
    """

    def elsewhere(found: re.Match[str]) -> str:
        picture, words, target = found.groups()
        if target is None:  # code
            return found[0]
        if repository is None:
            return "" if picture else words
        return f"{picture}[{words}]({repository.rstrip('/')}/{'raw' if picture else 'blob'}/HEAD/{target})"

    return _RELATIVE.sub(elsewhere, text)
