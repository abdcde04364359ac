"""The language of messages: English, or another that the user chose and facegen has a translation for.

A message is written in English, as a template with named placeholders, and passed to :func:`translate` where it is
used. The result is a :class:`Message`: text in the chosen language that remembers its template and values. Results are
stored as templates and values (:func:`stored`), so a later run shows them in its own language (:func:`restored`).

The translations are gettext catalogues in ``facegen/locale``. ``scripts/translations.py`` collects the messages and
compiles the catalogues.
"""

from __future__ import annotations

import gettext
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

#: The languages that messages can be shown in. English is the language of the source and needs no catalogue.
LANGUAGES = ("en", "ko")
ENGLISH = LANGUAGES[0]
#: The environment variables that choose a language: facegen's own, then gettext's, in gettext's order.
VARIABLES = ("FACEGEN_LANG", "LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")
LOCALE = Path(__file__).with_name("locale")
DOMAIN = "facegen"

_chosen: str | None = None


def choose(language: str | None) -> None:
    """Set the language of this process.

    Args:
        language: One of :data:`LANGUAGES`. ``None`` follows the environment.
    """
    global _chosen
    _chosen = language


def current() -> str:
    """Return the language that messages are shown in, one of :data:`LANGUAGES`."""
    return _chosen or from_environment(os.environ)


def from_environment(variables: Mapping[str, str]) -> str:
    """Return the language that environment variables ask for.

    The first variable of :data:`VARIABLES` that is set decides. It may list several locales, separated by colons, as
    ``LANGUAGE`` does: the first one that facegen knows is taken. The result is English where there is none.

    As in GNU gettext, ``LANGUAGE`` is ignored where the locale is ``C`` or ``POSIX``.

    >>> from_environment({"LANG": "ko_KR.UTF-8"})
    'ko'
    >>> from_environment({"LANGUAGE": "fr:en", "LANG": "ko_KR.UTF-8"})
    'en'
    """
    locale = next((variables[name] for name in VARIABLES[2:] if variables.get(name)), "")
    names = [name for name in VARIABLES if name != "LANGUAGE" or locale not in ("C", "POSIX")]
    wanted = next((variables[name] for name in names if variables.get(name)), "")
    languages = [name.partition(".")[0].partition("@")[0].partition("_")[0] for name in wanted.split(":")]
    return next((language for language in languages if language in LANGUAGES), ENGLISH)


class Message(str):
    """A text in the language of this process, which can be said again in another.

    Unpickling a message makes it anew, so one that a worker process sends is in the receiver's language.

    Attributes:
        template: The English text, with placeholders such as ``{name}`` or ``{count:,}``.
        fields: The values of the placeholders by name. A value that is a message itself is translated too.
        many: The English template for any ``count`` other than 1; ``None`` where the text has no number to agree with.
    """

    template: str
    fields: Mapping[str, Any]
    many: str | None

    def __new__(cls, template: str, fields: Mapping[str, Any], many: str | None = None) -> Message:
        said = template_in(current(), template, many, fields.get("count"))
        message = super().__new__(cls, said.format(**fields))
        message.template, message.fields, message.many = template, fields, many
        return message

    def __reduce__(self) -> tuple[Any, ...]:
        return Message, (self.template, self.fields, self.many)


def translate(template: str, /, **fields: Any) -> Message:
    """Return a message in the language of this process.

    ``scripts/translations.py`` finds the template in the source, so it must be written out here as a literal, or be
    passed to :func:`mark` where it is written.

    Args:
        template: The English text, with a named placeholder for every value.
        fields: The values of the placeholders: text, numbers, or other messages.
    """
    return Message(template, fields)


def translate_count(one: str, many: str, count: int, /, **fields: Any) -> Message:
    """Return a message whose words agree with a number.

    Args:
        one: The English template for a ``count`` of 1.
        many: The English template for every other ``count``.
        count: The number. It is the placeholder ``{count}`` of both templates.
        fields: The values of the other placeholders.
    """
    return Message(one, {"count": count, **fields}, many)


def template_in(language: str, template: str, many: str | None = None, count: int | None = None) -> str:
    """Return a template in another language, with the same placeholders.

    Args:
        language: One of :data:`LANGUAGES`.
        template: The English template; where ``many`` is given, that for a ``count`` of 1.
        many: The English template for any other ``count``.
        count: The number that the words agree with.
    """
    catalogue = _catalogue(language)
    return catalogue.gettext(template) if many is None or count is None else catalogue.ngettext(template, many, count)


def mark(template: str) -> str:
    """Return ``template`` unchanged.

    ``scripts/translations.py`` finds it, so a table can hold texts that are passed to :func:`translate` later.
    """
    return template


def in_sequence(*sentences: str) -> Message:
    """Join sentences by spaces to one message."""
    fields = {f"sentence_{number}": sentence for number, sentence in enumerate(sentences)}
    return Message(" ".join(f"{{{name}}}" for name in fields), fields)


def stored(text: str) -> Any:
    """Return a message as JSON of its template and values; a text that is no message stays as it is."""
    if not isinstance(text, Message):
        return text
    fields = {name: stored(value) if isinstance(value, str) else value for name, value in text.fields.items()}
    return {"template": text.template, "fields": fields, "many": text.many}


def restored(value: Any) -> str:
    """Return what :func:`stored` made JSON of, in the language of this process.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: The JSON is not what :func:`stored` returns.
    """
    if isinstance(value, str):
        return value
    fields = {name: restored(field) if isinstance(field, dict) else field for name, field in value["fields"].items()}
    return Message(value["template"], fields, value["many"])


@cache
def _catalogue(language: str) -> gettext.NullTranslations:
    """Return the translations of one language; English ones are the templates themselves."""
    if language == ENGLISH:
        return gettext.NullTranslations()
    return gettext.translation(DOMAIN, LOCALE, [language], fallback=True)
