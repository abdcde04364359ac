#!/usr/bin/env python3
"""Build the documentation as a site in build/site, and treat every warning as an error: scripts/docs/build.py [FOLDER].

It needs the extra docs: pip install '.[docs]'. Then open build/site/index.html.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from mkdocs.commands.build import build
from mkdocs.config import load_config

CONFIG = Path(__file__).parent / "mkdocs.yml"


def build_site(folder: Path | None = None) -> list[str]:
    """Build the site and return the warnings.

    Args:
        folder: Folder to write the site to; it is replaced. The default is build/site.
    """
    warnings: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: warnings.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("mkdocs")
    logger.addHandler(handler)
    try:
        config = load_config(str(CONFIG), **({} if folder is None else {"site_dir": str(folder)}))
        config.plugins.on_startup(command="build", dirty=False)
        build(config)
        config.plugins.on_shutdown()
    finally:
        logger.removeHandler(handler)
    return warnings


def main() -> int:
    found = build_site(*map(Path, sys.argv[1:2]))
    for warning in found:
        print(warning, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
