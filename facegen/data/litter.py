"""Which files are litter: what systems and programs leave beside a user's files. One rule for every command.

Litter is passed over without a word of its own: it is nobody's image, and nobody put it there on purpose.
"""

from __future__ import annotations

#: Folders whose whole content is litter, in lower case: macOS's in zips, thumbnails and bins of Synology and QNAP,
#: Windows' bin, what fsck found, Python's cache.
_FOLDERS = frozenset(
    {
        "__macosx",
        "@eadir",
        "#recycle",
        "@recycle",
        "@tmp",
        "$recycle.bin",
        "system volume information",
        "lost+found",
        "__pycache__",
    }
)
#: Files that are litter, in lower case. Icon\r is a custom icon of a macOS folder.
_FILES = frozenset({"thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r"})
#: What Windows notes of a download is a file of its own once it is copied to another file system.
_ENDING = ":zone.identifier"
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
    parts = [part.lower() for part in path.split("/") if part not in ("", ".", "..")]
    if not parts:
        return False
    last = parts[-1]
    return any(part[0] == "." or part in _FOLDERS for part in parts) or last in _FILES or last.endswith(_ENDING)


def came_by_itself(name: str) -> bool:
    """Whether litter called ``name`` (without a folder) may be deleted along with the folder that it is in.

    Not so is a hidden file or folder that somebody made on purpose, as ``.git``.
    """
    name = name.lower()
    if name.startswith("."):
        return name in _HIDDEN_BY_ITSELF or name.startswith(_HIDDEN_BEGINNINGS)
    return is_litter(name)
