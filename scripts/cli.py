#!/usr/bin/env python3
"""Write docs/cli.md: every command, from its help text and options.

Run it after you change either: scripts/cli.py
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import click

from facegen.cli import main
from facegen.cli.root import COMMANDS

PAGE = Path(__file__).parents[1] / "docs" / "cli.md"
#: A limit above this number is no limit in practice.
_NO_BOUND = 1_000_000
INTRODUCTION = """\
# The command line

`facegen COMMAND --help` prints the same as this page. `scripts/cli.py` writes the page from the commands' help
texts: to change it, change those and run the script.

**Where values come from.** If an option is not given, its value comes from its environment variable, then from
`facegen.toml` in the working folder (or from the file that `--config` names), then from the default:

```toml
# facegen.toml
[train]
recipe = "laptop"
minutes = 60.0
```

An `extractor = "module:callable"` in such a file [runs that code](score.md#which-network-is-used), so run facegen
in folders that you trust.

**Output.** Results go to stdout, everything else to stderr. `NO_COLOR=1` turns colours off.

| exit code | meaning |
|--:|---|
| 0 | The work is done. |
| 1 | The work is done, and the answer is no: target missed, submission refused, or something wrong in `doctor`. |
| 2 | The command was used wrongly, the input is bad, or something is missing. |
| 70 | facegen has a defect. Please report it. |
| 130 | The command was interrupted. Everything finished so far is kept. |

**Completion.** `eval "$(_FACEGEN_COMPLETE=bash_source facegen)"` completes commands and options in bash. zsh and
fish have `zsh_source` and `fish_source`.
"""


def page() -> str:
    """Return the whole page, as Markdown."""
    context = click.Context(main, info_name="facegen", **main.context_settings)
    commands = {name: main.get_command(context, name) for name in COMMANDS}
    contents = " · ".join(f"[`{name}`](#facegen-{name})" for name in commands)
    parts = [INTRODUCTION, contents + "\n", entry("facegen", main, context)]
    for name, command in commands.items():
        assert command is not None
        parts.append(
            entry(f"facegen {name}", command, click.Context(command, context, info_name=name, **main.context_settings))
        )
    return "\n".join(parts)


def entry(title: str, command: click.Command, context: click.Context) -> str:
    """Return a command's section: usage, description, options."""
    usage = " ".join(command.collect_usage_pieces(context))
    parts = [f"## {title}", f"```text\n{title} {usage}\n```", *paragraphs(command.help or "")]
    options = [option for option in command.params if isinstance(option, click.Option)]
    if options:
        parts.append("**Options**")
        parts.append("\n".join(f"- {described(option, context)}" for option in options))
    parts += paragraphs(command.epilog or "")
    return "\n\n".join(parts) + "\n"


def described(option: click.Option, context: click.Context) -> str:
    """Return an option as an item of a list: how it is written, what it does, its default, its variable."""
    names = ", ".join([*option.opts, *option.secondary_opts])
    if not (option.is_flag or option.count):
        metavar = option.make_metavar(context)
        names += f" {'N' if metavar.startswith(('INTEGER', 'FLOAT')) else metavar}"
    said, _, default = (option.help or "").partition("  [default: ")  # written in the help where Click knows no default
    parts = [f"`{names}`: {_prose(said)}", *_notes(option), *([f"Default: {default[:-1]}."] if default else [])]
    if option.envvar:
        variables = [option.envvar] if isinstance(option.envvar, str) else option.envvar
        parts.append(" or ".join(f"`{name}`" for name in variables))
    return " ".join(parts)


def paragraphs(text: str) -> list[str]:
    """Return a help text as Markdown. A paragraph that Click does not rewrap becomes a code block."""
    parts = re.split(r"\n\s*\n", inspect.cleandoc(text).replace("\f", ""))
    return [
        f"```text\n{part.removeprefix(chr(8)).strip(chr(10))}\n```" if part.startswith("\b") else _prose(part)
        for part in parts
        if part.strip()
    ]


def _prose(text: str) -> str:
    """Return words as Markdown, with Markdown's special characters escaped outside code."""
    parts = re.split("(`[^`]+`)", re.sub(r"\s+", " ", text).strip())
    return "".join(
        part if part.startswith("`") else part.replace("*", r"\*").replace("<", "&lt;").replace("[", r"\[")
        for part in parts
    )


def _notes(option: click.Option) -> list[str]:
    """Return the range of a number, and the default unless the help text ends with it."""
    notes = []
    kind = option.type
    if isinstance(kind, click.IntRange | click.FloatRange):
        low = None if kind.min is None else f"{'above' if kind.min_open else 'from'} {kind.min:,}"
        is_bounded = kind.max is not None and kind.max <= _NO_BOUND
        high = f"{'below' if kind.max_open else 'to'} {kind.max:,}" if is_bounded else None
        notes.append(f"A number {' '.join(filter(None, (low, high)))}.")
    if option.required:
        notes.append("Required.")
    default = option.show_default if isinstance(option.show_default, str) else option.default
    if isinstance(option.default, tuple | list):
        default = ", ".join(map(str, option.default))
    is_said = isinstance(option.show_default, str)
    if is_said or (isinstance(default, str | int | float | Path) and not isinstance(default, bool) and default != ""):
        notes.append(f"Default: {default}." if is_said else f"Default: `{default}`.")
    elif default is True and option.secondary_opts:
        notes.append(f"Default: `{option.opts[0]}`.")
    return notes


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8", newline="\n")
