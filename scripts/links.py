#!/usr/bin/env python3
"""Ask every address that the pages link to whether it is still there. It needs a network: scripts/links.py

Prints the addresses that do not answer, with the pages that have them, and ends with exit code 1 if there are any.
"""

from __future__ import annotations

import re
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[1]
_TIMEOUT = 20.0
#: A link, or a bare address in angle brackets.
_ADDRESS = re.compile(r"\]\((\w+://[^()\s]+(?:\([^()\s]*\)[^()\s]*)?)\)|<(\w+://[^<>\s]+)>")


def addresses() -> dict[str, list[str]]:
    """Return the addresses of other sites that the pages link to, each with the pages that have it."""
    found: dict[str, list[str]] = {}
    paths = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "submissions/README.md"]
    for path in [*paths, ROOT / "facegen/pretrained/card.md"]:
        text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        for link, bare in _ADDRESS.findall(text):
            found.setdefault((link or bare).partition("#")[0], []).append(path.relative_to(ROOT).as_posix())
    return found


def fault_of(address: str) -> str | None:
    """Return why an address does not answer; None where it does. A site that refuses programs counts as there."""
    request = urllib.request.Request(address, headers={"User-Agent": "Mozilla/5.0 (facegen scripts/links.py)"})
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT):
            return None
    except urllib.error.HTTPError as problem:
        return None if problem.code in (401, 403, 405, 429) else f"HTTP {problem.code}"
    except (OSError, ValueError) as problem:
        return str(problem)


def main() -> int:
    found = addresses()
    with ThreadPoolExecutor(8) as pool:
        faults = dict(zip(found, pool.map(fault_of, found), strict=True))
    for address, fault in faults.items():
        if fault is not None:
            print(f"{address} ({', '.join(sorted(set(found[address])))}): {fault}")
    return 1 if any(faults.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
