#!/usr/bin/env python3
"""Compare the outputs that pages have with real ones: scripts/docs/outputs.py [--write] [PAGE...]

Every page is run as its test runs it. Without --write the differences are printed. With it, the outputs of exact
commands are put into the pages; those of commands whose data is tiny here are left to you, because their numbers are
not those of real data.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from blocks import ROOT, pages, read_page
from execute import Output, Worlds, run_page


def rewritten(text: str, outputs: list[Output]) -> str:
    """Return a page's text with the exact outputs that differ replaced by what was printed."""
    differing = [each for each in outputs if each.is_exact and each.place is not None and each.difference is not None]
    for output in sorted(differing, key=lambda each: each.place or (0, 0), reverse=True):
        start, end = output.place or (0, 0)
        printed = "\n".join(line.rstrip() for line in output.printed.splitlines()).strip("\n")
        text = f"{text[:start]}{printed}\n{text[end:]}"
    return text


def main(words: list[str]) -> int:
    write, names = "--write" in words, [word for word in words if word != "--write"]
    differ = False
    with tempfile.TemporaryDirectory() as folder:
        worlds = Worlds(Path(folder))
        for name in names or pages():
            page = read_page(name)
            ran = run_page(page, worlds, go_on=True)
            text = rewritten(page.text, ran.outputs) if write else page.text
            if text != page.text:
                (ROOT / name).write_text(text, encoding="utf-8", newline="\n")
                print(f"{name}: outputs were written.")
            for fault in [*page.faults, *ran.faults]:
                differ = True
                print(fault)
    return 1 if differ and not write else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
