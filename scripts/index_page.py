"""Write README.md as the package index shows it. This is the hatchling hook that pyproject.toml names.

A package index has the text but none of the files that it links. If ``[project.urls]`` has an address under
``Repository``, relative links lead there. Otherwise they become plain words and pictures are left out, because a link
that leads nowhere is worse than none.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

#: Matches code, which stays as it is, or a picture or link whose target is not an address.
_RELATIVE = re.compile(r"`[^`\n]*`|(!?)\[([^\[\]]*)\]\((?!\w+:|#)([^()\s]+)\)")


class IndexPage(MetadataHookInterface):
    """Add the ``readme`` to the metadata."""

    def update(self, metadata: dict[str, Any]) -> None:
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        address = metadata.get("urls", {}).get("Repository")
        metadata["readme"] = {"content-type": "text/markdown", "text": index_page(text, address)}


def index_page(text: str, repository: str | None) -> str:
    """Return the README's ``text`` with relative links led to ``repository``, or as plain words if there is none.

    Args:
        text: Markdown.
        repository: Address of the project on a host that shows files under ``/blob/HEAD`` and ``/raw/HEAD``, as GitHub
            and GitLab do.
    """

    def elsewhere(found: re.Match[str]) -> str:
        picture, words, target = found.groups()
        if target is None:  # code
            return found[0]
        if repository is None:
            return "" if picture else words
        return f"{picture}[{words}]({repository.rstrip('/')}/{'raw' if picture else 'blob'}/HEAD/{target})"

    return _RELATIVE.sub(elsewhere, text)
