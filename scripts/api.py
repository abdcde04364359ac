#!/usr/bin/env python3
"""Writes docs/api.md: the public API, facegen.__all__, from its signatures and docstrings.

Run it after a change of either: scripts/api.py
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

import facegen

PAGE = Path(__file__).parents[1] / "docs" / "api.md"
INTRODUCTION = """\
# The API

What `import facegen` offers; each name is loaded when it is first used. Written by `scripts/api.py` from the signatures
and docstrings: change those, and run it again. Paths may be strings everywhere. An error that a user can cause is a
[`FacegenError`](#facegenerror) of one sentence.
"""
#: A docstring's sections, and what the page calls them.
SECTIONS = {"Args": "Arguments", "Attributes": "Attributes", "Returns": "Returns", "Raises": "Raises"}
_WIDTH = 100


def page() -> str:
    """The whole page, as Markdown."""
    exported = {name: getattr(facegen, name) for name in facegen._EXPORTS}
    parts = [INTRODUCTION]
    for title, kinds in (("Functions", False), ("Types", True)):
        entries = {name: value for name, value in exported.items() if inspect.isclass(value) is kinds}
        parts.append(f"## {title}\n\n" + " · ".join(f"[`{name}`](#{name.lower()})" for name in entries) + "\n")
        parts += [entry(name, value) for name, value in entries.items()]
    return "\n".join(parts)


def entry(name: str, value: Any) -> str:
    """A name's section: its signature, its docstring, and a class's fields and methods."""
    parts = [f"### {name}"]
    if inspect.isclass(value):
        if issubclass(value, Exception):
            parts.append(f"An exception, of the kind {_linked(value.__mro__[1].__name__)}.")
        elif not dataclasses.is_dataclass(value) and "__init__" in vars(value):
            parts.append(f"```python\n{signature(name, value)}\n```")
        declared = {field.name: _declared(field) for field in _fields(value)}
        parts += [markdown(_doc(value), declared), _undescribed(value)]
        members = [name for name in vars(value) if not name.startswith("_") and name not in declared]
        parts += [_member(value, member) for member in members]
    else:
        parts += [f"```python\n{signature(name, value)}\n```", markdown(_doc(value))]
    return "\n\n".join(part for part in parts if part) + "\n"


def signature(name: str, function: Any) -> str:
    """``name(parameters) -> type`` on one line, or a parameter a line where it would be long."""
    found = inspect.signature(function)
    words, starred = [], False
    for parameter in found.parameters.values():
        if parameter.name in ("self", "cls"):
            continue
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and not starred:
            words.append("*")
            starred = True
        word = parameter.name
        if parameter.annotation is not inspect.Parameter.empty:
            word += f": {parameter.annotation}"
        if parameter.default is not inspect.Parameter.empty:
            word += f" = {_written(parameter.default)}"
        words.append(word)
    result = "" if found.return_annotation is inspect.Signature.empty else f" -> {found.return_annotation}"
    line = f"{name}({', '.join(words)}){result}"
    return line if len(line) <= _WIDTH else f"{name}(\n" + "".join(f"    {word},\n" for word in words) + f"){result}"


def markdown(text: str, types: Mapping[str, str] | None = None) -> str:
    """A docstring of this project as Markdown: its sections as lists, its code and cross-references as code.

    ``types`` has the words for attributes that say their type, by name.
    """
    parts: list[str] = []
    for block in re.split(rf"\n(?=(?:{'|'.join(SECTIONS)}):\n)", text):
        title, _, body = block.partition(":\n")
        if title in SECTIONS:
            items = _items(body, (types or {}) if title == "Attributes" else {})
            parts += [f"**{SECTIONS[title]}**", "\n".join(f"- {_inline(item)}" for item in items)]
        else:
            parts.append(_inline(block.strip()))
    return "\n\n".join(part for part in parts if part)


def _items(body: str, types: Mapping[str, str]) -> list[str]:
    """The entries of a section, each on one line, its name as code."""
    items: list[str] = []
    for line in inspect.cleandoc(body).splitlines():
        named = re.match(r"(\w+(?:, \w+)*): (.*)", line)
        if named:
            names = ", ".join(f"``{types.get(name, name)}``" for name in named[1].split(", "))
            items.append(f"{names}: {named[2]}")
        elif items:
            items[-1] += f" {line.strip()}"
        else:
            items.append(line.strip())
    return items


def _inline(text: str) -> str:
    text = re.sub(r":\w+:`[~.]?([^`]+)`", lambda found: f"``{found[1]}``", text)
    return re.sub(r"``([^`]+)``", lambda found: _linked(found[1]), text)


def _linked(name: str) -> str:
    """A name as code, with a link where it is a part of the API; a function's only where it says ``facegen.``."""
    short = name.removeprefix("facegen.")
    if short in facegen.__all__ and (short != name or not short.islower()):
        return f"[`{short}`](#{short.lower()})"
    return f"`{name}`"


def _fields(kind: type) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(kind) if dataclasses.is_dataclass(kind) else ()


def _declared(field: dataclasses.Field[Any]) -> str:
    """A field as its class declares it: its name, its type and its default."""
    default = "" if field.default is dataclasses.MISSING else f" = {_written(field.default)}"
    return f"{field.name}: {field.type}{default}"


def _undescribed(kind: type) -> str:
    """The fields of a dataclass that its docstring does not list: what each means, where it says so, or its type."""
    lines = []
    for field in _fields(kind):
        if not re.search(rf"^    (\w+, )*{field.name}(, \w+)*: ", _doc(kind), re.MULTILINE):
            meaning = field.metadata.get("meaning")
            lines.append(f"- `{_declared(field)}`{'' if meaning is None else f': {meaning}'}")
    return "**Fields**\n\n" + "\n".join(lines) if lines else ""


def _member(kind: type, name: str) -> str:
    """A public method or property that says what it is; nothing for the rest."""
    member = inspect.getattr_static(kind, name)
    if isinstance(member, property) and member.fget is not None:
        annotation = inspect.signature(member.fget).return_annotation
        return f"`{name}: {annotation}`" + (f": {_inline(_doc(member))}" if _doc(member) else "")
    function = getattr(kind, name)
    if not (inspect.isfunction(function) or inspect.ismethod(function)) or not _doc(function):
        return ""
    title = f"{kind.__name__}.{name}" if isinstance(member, classmethod | staticmethod) else name
    return f"```python\n{signature(title, function)}\n```\n\n{markdown(_doc(function))}"


def _doc(value: Any) -> str:
    """Its own docstring: not an inherited one, nor the signature that a dataclass gets in place of one."""
    text = inspect.cleandoc(value.__doc__ or "")
    return "" if inspect.isclass(value) and text.startswith(f"{value.__name__}(") else text


def _written(value: Any) -> str:
    """A default as code: a function by its name, a path without the name of this system's kind of path."""
    if inspect.isfunction(value):
        return value.__name__
    return f'Path("{value.as_posix()}")' if isinstance(value, PurePath) else repr(value).replace("'", '"')


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8", newline="\n")
