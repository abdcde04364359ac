"""Tell litter: the files that systems and programs leave beside a user's files. One rule serves every command.

Litter is left out without a message. Nobody put it there on purpose, so nobody misses it.
"""

from __future__ import annotations

import re

#: Folders whose whole content is litter: those of macOS in zips, thumbnails and bins of Synology and QNAP, Windows'
#: bin, files recovered by fsck, Python's cache.
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
#: Windows marks a download in a hidden stream, which becomes a file of its own on other file systems.
_ENDING = ":zone.identifier"
_HIDDEN = r"\.(?!\.?(?:/|\Z))"
_LITTER = re.compile(
    rf"(?:^|/)(?:{_HIDDEN}|(?:{'|'.join(map(re.escape, _FOLDERS))})(?:/|\Z)|(?:{'|'.join(map(re.escape, _FILES))})/*\Z)"
    rf"|{_ENDING}/*\Z",
    re.IGNORECASE,
)
#: Hidden files and folders, in lower case, that programs create by themselves. People create others, such as .git.
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
#: Resource forks of macOS, bins of Linux, and deleted files that NFS keeps while they are open.
_HIDDEN_BEGINNINGS = ("._", ".trash-", ".nfs")


def is_litter(path: str) -> bool:
    """Return whether ``path`` is litter.

    It is relative to what the user named, with forward slashes, of a file or a folder. Hidden files and folders,
    whose names begin with a dot, are litter: ``.DS_Store``, ``._1.png``, ``.gitkeep`` and everything in
    ``.ipynb_checkpoints``. Case is ignored.
    """
    return _LITTER.search(path) is not None


def came_by_itself(name: str) -> bool:
    """Return whether litter called ``name`` (without a folder) may be deleted along with its folder.

    A hidden file or folder that somebody made on purpose, such as ``.git``, may not.
    """
    name = name.lower()
    if name.startswith("."):
        return name in _HIDDEN_BY_ITSELF or name.startswith(_HIDDEN_BEGINNINGS)
    return is_litter(name)
