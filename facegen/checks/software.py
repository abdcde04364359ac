"""Checks of Python, facegen, the packages that it requires, and its extensions."""

from __future__ import annotations

import platform
import re
import sys
from importlib import metadata
from pathlib import Path

import facegen
from facegen.checks.check import CheckResult
from facegen.errors import EnvironmentProblem
from facegen.extensions import extensions, load_extension

PYTHON = (3, 10)

#: Matches ``click>=8.1`` in a distribution's requirements. Conditional ones (``; extra == 'dev'``) are ignored.
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)>=([0-9.]+)")


def check_python() -> CheckResult:
    """Report Python's version, its width in bits, and the system."""
    version, bits = platform.python_version(), 64 if sys.maxsize > 2**32 else 32
    system = platform.platform()
    details = {"version": version, "bits": bits, "system": system, "executable": sys.executable}
    message = f"{platform.python_implementation()} {version}, {bits} bits, on {system}."
    if sys.version_info < PYTHON:
        wanted = ".".join(map(str, PYTHON))
        return CheckResult("wrong", message, f"Use Python {wanted} or newer.", details)
    if bits < 64:
        return CheckResult("wrong", message, "Use a 64-bit Python: torch is not built for others.", details)
    return CheckResult("ok", message, None, details)


def check_facegen() -> CheckResult:
    """Report facegen's version and its folder."""
    folder = Path(facegen.__file__).parent
    details = {"version": facegen.__version__, "folder": str(folder)}
    try:
        installed = metadata.version("facegen")
    except metadata.PackageNotFoundError:
        return CheckResult(
            "warn",
            f"Version {facegen.__version__} in {folder}, which is used without being installed.",
            "Run: pip install . in the project's folder. It also installs what facegen needs.",
            details,
        )
    if installed != facegen.__version__:
        return CheckResult(
            "warn",
            f"Version {facegen.__version__} in {folder}, but pip knows of version {installed}.",
            "Install it again, so that its requirements are this version's.",
            details,
        )
    return CheckResult("ok", f"Version {facegen.__version__} in {folder}.", None, details)


def check_packages() -> CheckResult:
    """Check that each package that facegen requires is installed and new enough."""
    try:
        requirements = metadata.requires("facegen") or []
    except metadata.PackageNotFoundError:
        return CheckResult("warn", "What facegen requires is not known, for it is not installed.", "Run: pip install .")
    versions: dict[str, str | None] = {}
    unmet = []
    for requirement in requirements:
        if match := _REQUIREMENT.fullmatch(requirement.replace(" ", "")):
            name, least = match.groups()
            versions[name] = found = _version(name)
            if found is None or _release(found) < _release(least):
                unmet.append(f"{name}>={least}")
    told = ", ".join(f"{name} {version or 'is absent'}" for name, version in versions.items())
    if not unmet:
        return CheckResult("ok", f"{told}.", None, {"versions": versions})
    command = " ".join(f"'{requirement}'" for requirement in unmet)
    return CheckResult("wrong", f"{told}.", f"Run: pip install {command}", {"versions": versions, "unmet": unmet})


def check_extensions() -> CheckResult:
    """Check that each installed extension can be loaded. The following checks include what it adds."""
    loaded, broken = [], []
    for entry in extensions():
        try:
            load_extension(entry)
        except EnvironmentProblem as problem:
            broken.append(problem)
        else:
            loaded.append(entry.name)
    details = {"loaded": loaded, "broken": [problem.message for problem in broken]}
    if broken:
        remedies = dict.fromkeys(problem.remedy for problem in broken if problem.remedy is not None)
        return CheckResult("wrong", " ".join(details["broken"]), " ".join(remedies), details)
    message = f"{', '.join(loaded)} can be loaded." if loaded else "No installed package adds to facegen."
    return CheckResult("ok", message, None, details)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _release(version: str) -> tuple[int, ...]:
    """Return the numbers of a version without suffix and trailing zeros: ``2.4.0+cu121`` → (2, 4)."""
    match = re.match(r"[0-9]+(\.[0-9]+)*", version)
    numbers = [int(part) for part in match.group().split(".")] if match else []
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)
