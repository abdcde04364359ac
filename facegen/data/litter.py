"""Which files are litter: what systems and programs leave beside a user's files. One rule for every command.

Litter is passed over without a word of its own: it is nobody's image, and nobody put it there on purpose.
"""

from __future__ import annotations

import re

#: Folders whose whole content is litter: macOS's in zips, thumbnails and bins of Synology and QNAP, Windows' bin, what
#: fsck found, Python's cache.
_FOLDERS = (
    "__macosx",
    "@eadir",
    "#recycle",
    "@recycle",
    "@tmp",
    "$recycle.bin",
    "system volume information",
    "lost+found",
    "__pycache__",
)
#: Files that are litter. Icon\r is a custom icon of a macOS folder.
_FILES = ("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r")
#: What Windows notes of a download is a file of its own once it is copied to another file system.
_ENDING = ":zone.identifier"
_HIDDEN = r"\.(?!\.?(?:/|\Z))"
_LITTER = re.compile(
    rf"(?:^|/)(?:{_HIDDEN}|(?:{'|'.join(map(re.escape, _FOLDERS))})(?:/|\Z)|(?:{'|'.join(map(re.escape, _FILES))})/*\Z)"
    rf"|{_ENDING}/*\Z",
    re.IGNORECASE,
)
#: Hidden files and folders, in lower case, that come by themselves; others, .git for one, somebody made on purpose.
_HIDDEN_BY_ITSELF = frozenset(
    {
        ".ds_store",
        ".localized",
        ".apdisk",
        ".spotlight-v100",
        ".fseventsd",
        ".trashes",
        ".temporaryitems",
        ".documentrevisions-v100",
        ".directory",
        ".thumbnails",
        ".nomedia",
        ".picasa.ini",
        ".gitkeep",
        ".keep",
        ".ipynb_checkpoints",
    }
)
#: Resource forks of macOS, the bins of Linux, and what NFS keeps of a deleted file that is still open.
_HIDDEN_BEGINNINGS = ("._", ".trash-", ".nfs")


def is_litter(path: str) -> bool:
    """Whether ``path`` (relative to what was named, forward slashes; of a file or a folder) is litter.

    Hidden files and folders are, whose names begin with a dot: ``.DS_Store``, ``._1.png``, ``.gitkeep`` and all of
    ``.ipynb_checkpoints``. Upper and lower case count as one.
    """
    return _LITTER.search(path) is not None


def came_by_itself(name: str) -> bool:
    """Whether litter called ``name`` (without a folder) may be deleted along with the folder that it is in.

    Not so is a hidden file or folder that somebody made on purpose, as ``.git``.
    """
    name = name.lower()
    if name.startswith("."):
        return name in _HIDDEN_BY_ITSELF or name.startswith(_HIDDEN_BEGINNINGS)
    return is_litter(name)
