"""A command whose ``--help`` is shown in the language of the user."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import click

from facegen import language
from facegen.language import translate

#: Characters per line in Korean. Most take two columns, and Click counts each as one.
_NARROW = 52


class TranslatedCommand(click.Command):
    """A command whose description and options are translated when its help is shown.

    ``facegen --lang`` is read after the command has been imported, so its texts stay English until then.
    """

    def get_help(self, ctx: click.Context) -> str:
        if language.current() == language.ENGLISH:
            return super().get_help(ctx)
        shown = copy.copy(self)
        shown.help = "\n\n".join(map(translate, paragraphs(self.help)))
        shown.params = [_translated(parameter) for parameter in self.params]
        ctx.max_content_width = _NARROW
        return super(TranslatedCommand, shown).get_help(ctx)


def texts(command: click.Command) -> Iterator[str]:
    """Yield the texts of a command's help that are translated: the paragraphs, and what each option does."""
    yield from paragraphs(command.help)
    yield from (option.help for option in command.params if isinstance(option, click.Option) and option.help)


def paragraphs(text: str | None) -> list[str]:
    """Return the paragraphs of a docstring, each on one line."""
    return [" ".join(paragraph.split()) for paragraph in (text or "").split("\n\n")]


def _translated(parameter: click.Parameter) -> click.Parameter:
    if not isinstance(parameter, click.Option) or not parameter.help:
        return parameter
    shown = copy.copy(parameter)
    shown.help = translate(parameter.help)
    return shown
