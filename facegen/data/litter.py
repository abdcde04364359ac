"""Which files are litter: what systems and programs leave beside a user's files. One rule for every command.

Litter is passed over without a word of its own: it is nobody's image, and nobody put it there on purpose.
"""

from __future__ import annotations

#: Folders whose whole content is litter, in lower case: macOS's in zips, Synology's thumbnails, Windows' bin.
_FOLDERS = frozenset({"__macosx", "@eadir", "$recycle.bin", "system volume information"})
#: Files that are litter, in lower case. Icon\r is a custom icon of a macOS folder.
_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"})


def is_litter(path: str) -> bool:
    """Whether ``path`` (relative, forward slashes; of a file or a folder) is litter.

    Hidden files and folders are, whose names begin with a dot: ``.DS_Store``, ``._1.png``, ``.gitkeep`` and all of
    ``.ipynb_checkpoints``. Upper and lower case count as one.
    """
    parts = [part.lower() for part in path.split("/") if part not in ("", ".", "..")]
    if not parts:
        return False
    return any(part.startswith(".") or part in _FOLDERS for part in parts) or parts[-1] in _FILES
