"""Checks of memory, disk space and the cache folder."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from facegen.checks.check import CheckResult
from facegen.files import cache_folder

GB = 1e9

#: Minimum free memory. On a CPU, a score with Inception takes 1.0 GB and training with the recipe dcgan 1.2 GB.
MEMORY = 2 * GB
#: Minimum free disk space for the working folder. The dataset of all of CelebA has 2.5 GB, and a run adds checkpoints
#: and samples.
WORK = 5 * GB
#: Minimum free disk space for the cache folder. DINOv2's weights have 1.2 GB, Inception's 0.1 GB.
CACHE = 2 * GB

MEMINFO = Path("/proc/meminfo")
#: Files with a container's memory limit and use, in bytes. The limit is "max" if there is none.
CGROUP_LIMIT, CGROUP_USED = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")


def check_memory() -> CheckResult:
    """Report the total and the free memory."""
    memory = free_and_total_memory()
    if memory is None:
        return CheckResult("ok", "This system does not tell how much memory is free.")
    free, total = memory
    message = f"{free / GB:.1f} of {total / GB:.1f} GB of memory are free."
    details = {"free": free, "total": total}
    if free < MEMORY:
        remedy = "Close other programs, or train with a smaller --batch."
        return CheckResult("warn", f"{message} A run needs about {MEMORY / GB:.0f} GB.", remedy, details)
    return CheckResult("ok", message, None, details)


def free_and_total_memory() -> tuple[int, int] | None:
    """Return the free and the total memory in bytes, within the limit of a container.

    None if the system is not Linux.
    """
    try:
        lines = dict(line.split(":") for line in MEMINFO.read_text().splitlines())
        free, total = (int(lines[key].split()[0]) * 1024 for key in ("MemAvailable", "MemTotal"))
    except (OSError, KeyError, ValueError):
        return None
    try:
        limit, used = int(CGROUP_LIMIT.read_text()), int(CGROUP_USED.read_text())
    except (OSError, ValueError):
        return free, total
    return min(free, max(limit - used, 0)), min(total, limit)


def check_disk() -> CheckResult:
    """Report the free disk space for the working folder and for the cache folder."""
    work, cache = shutil.disk_usage(Path.cwd()).free, shutil.disk_usage(_existing(cache_folder())).free
    message = f"{work / GB:.1f} GB are free for the working folder, {cache / GB:.1f} GB for the cache folder."
    details = {"working_folder": work, "cache_folder": cache}
    if work < WORK:
        remedy = f"All of CelebA and a run take up to {WORK / GB:.0f} GB: make room, or work elsewhere."
        return CheckResult("warn", message, remedy, details)
    if cache < CACHE:
        remedy = f"Weights take up to {CACHE / GB:.0f} GB: make room, or name another cache folder by FACEGEN_CACHE."
        return CheckResult("warn", message, remedy, details)
    return CheckResult("ok", message, None, details)


def check_cache() -> CheckResult:
    """Check that the cache folder can be written, and report what it holds. The check leaves nothing there."""
    folder = cache_folder()
    try:
        with tempfile.TemporaryFile(dir=_existing(folder)):
            pass
        sizes = {path: path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    except OSError as problem:
        return CheckResult(
            "wrong",
            f"The cache folder {folder} cannot be used: {problem.strerror or problem}.",
            "Make it writable, or name another by FACEGEN_CACHE.",
            {"folder": str(folder)},
        )
    parts: dict[str, int] = {}
    for path, size in sizes.items():
        part = path.relative_to(folder).parts[0]
        parts[part] = parts.get(part, 0) + size
    told = ", ".join(f"{size / 1e6:,.1f} MB in {part}" for part, size in sorted(parts.items()))
    message = f"{folder} is writable and holds {told or 'nothing yet'}."
    details = {"folder": str(folder), "files": len(sizes), "bytes": sum(sizes.values()), "parts": parts}
    return CheckResult("ok", message, None, details)


def _existing(folder: Path) -> Path:
    """Return the folder, or the nearest folder above it that exists."""
    folder = folder.absolute()
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    return folder
