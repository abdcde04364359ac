#!/usr/bin/env python3
"""Collects the messages that facegen translates, updates the catalogues in facegen/locale, and compiles them.

Run it after a change of a message, fill in the translations that it names, and run it again:

    scripts/translations.py
    ko: 212 messages, 0 without a translation.

It needs Babel, which ``pip install facegen[test]`` installs. It exits with 1 while a translation is missing or fuzzy: a
fuzzy one is the translation of a similar message, which gettext guesses. Correct it, then delete the line ``#, fuzzy``.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from facegen.cli.pack import pack
from facegen.cli.translated_help import texts
from facegen.file_kinds import JSON_ERROR, XML_ERROR
from facegen.language import DOMAIN, ENGLISH, LANGUAGES, LOCALE

PACKAGE = Path(__file__).parents[1] / "facegen"
#: The functions of facegen.language, and which of their arguments are texts.
KEYWORDS = {"translate": None, "mark": None, "translate_count": (1, 2)}
METHODS = [("**.py", "python"), ("**/templates/feedback.html", "jinja2"), ("**/templates/parts.html", "jinja2")]
HEADER = """\
# Korean messages of facegen. scripts/translations.py adds new messages and compiles this file.
#
# Style: polite 합니다 endings for statements, 하세요 for what to do. Put a placeholder where no particle follows it
# ("파일 {name}: ..."), because the right particle depends on what is put in.
# Terms: value 측정값, points 점수, generator 생성자, archive 압축 파일, recipe 레시피, run 학습 폴더.
#"""


def collected() -> Catalog:
    """Return all messages of the package, without translations."""
    catalogue = Catalog(project="facegen", domain=DOMAIN)
    found = extract_from_dir(PACKAGE, METHODS, keywords=KEYWORDS, strip_comment_tags=True)
    for file, _, message, _, _ in sorted(found, key=lambda each: (each[0], each[1])):
        catalogue.add(message, locations=[(f"facegen/{file}", 0)])
    for text in texts(pack):
        catalogue.add(text, locations=[("facegen/cli/pack.py", 0)])
    for name in _names_of_kinds():
        catalogue.add(name, locations=[("facegen/file_kinds.py", 0)])
    return catalogue


def _names_of_kinds() -> Iterator[str]:
    """Yield the names of kinds of file, such as ``"a zip archive"``, which messages put in."""
    tree = ast.parse((PACKAGE / "file_kinds.py").read_text(encoding="utf-8"))
    texts_in_it = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
    yield from (text for text in texts_in_it if isinstance(text, str) and re.fullmatch(r"an? .*[^ .]", text))
    yield from (JSON_ERROR.name, XML_ERROR.name)


def path_of(language: str) -> Path:
    """Return the path of a language's catalogue."""
    return LOCALE / language / "LC_MESSAGES" / f"{DOMAIN}.po"


def read(language: str) -> Catalog:
    """Return the translations of a language; an empty catalogue if there are none yet."""
    path = path_of(language)
    if not path.is_file():
        return Catalog(language, domain=DOMAIN, project="facegen", fuzzy=False)
    with path.open("rb") as file:
        return read_po(file, language, DOMAIN)


def updated(language: str) -> Catalog:
    """Return a language's translations, with new messages and without those that facegen no longer has."""
    catalogue, messages = read(language), collected()
    messages.creation_date = catalogue.creation_date  # otherwise every run would change the file
    catalogue.update(messages)
    catalogue.obsolete.clear()
    catalogue.header_comment = HEADER
    for message in catalogue:
        message.flags.discard("python-format")  # Babel takes the % of "95% interval" for a placeholder
    return catalogue


def missing(catalogue: Catalog) -> list[Message]:
    """Return the messages that have no translation, or only a guess."""
    return [message for message in catalogue if message.id and (message.fuzzy or not _translation(message))]


def _translation(message: Message) -> str:
    return message.string if isinstance(message.string, str) else "".join(message.string or ())


def main() -> int:
    """Update and compile every catalogue; return 1 if a translation is missing."""
    total = 0
    for language in LANGUAGES:
        if language == ENGLISH:
            continue
        catalogue, path = updated(language), path_of(language)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            write_po(file, catalogue, width=120, sort_by_file=True, include_lineno=False)
        with path.with_suffix(".mo").open("wb") as file:
            write_mo(file, catalogue)
        lacking = missing(catalogue)
        total += len(lacking)
        print(f"{language}: {len(catalogue):,} messages, {len(lacking):,} without a translation.")
        for message in lacking:
            print(f"  {message.id}")
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main())
