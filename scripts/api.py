#!/usr/bin/env python3
"""Write docs/api.md, the public API, from the signatures and docstrings of facegen.__all__.

Run it after you change either: scripts/api.py
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

`import facegen` offers these names. A name is loaded when it is first used. `scripts/api.py` writes this page from the
signatures and docstrings: change those, and run it again. Every path may be a string. An error that a user can cause
is a [`FacegenError`](#facegenerror) of one sentence.
"""
#: A docstring's sections, and their names on the page.
SECTIONS = {"Args": "Arguments", "Attributes": "Attributes", "Returns": "Returns", "Raises": "Raises"}
_WIDTH = 100


def page() -> str:
    """Return the whole page, as Markdown."""
    exported = {name: getattr(facegen, name) for name in facegen._EXPORTS}
    parts = [INTRODUCTION]
    for title, kinds in (("Functions", False), ("Types", True)):
        entries = {name: value for name, value in exported.items() if inspect.isclass(value) is kinds}
        parts.append(f"## {title}\n\n" + " · ".join(f"[`{name}`](#{name.lower()})" for name in entries) + "\n")
        parts += [entry(name, value) for name, value in entries.items()]
    return "\n".join(parts)


def entry(name: str, value: Any) -> str:
    """Return the section of a name: its signature, its docstring, and the fields and methods of a class."""
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
    """Return ``name(parameters) -> type`` on one line, or with one parameter per line if it is long."""
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
    """Return a docstring as Markdown, with its sections as lists and its cross-references as code.

    Args:
        types: The types of attributes by name, for a docstring's attributes that state their type.
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
    """Return the entries of a section, each on one line with its name as code."""
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
    """Return a name as code, with a link if it is in the API. A function gets one only as ``facegen.NAME``."""
    short = name.removeprefix("facegen.")
    if short in facegen.__all__ and (short != name or not short.islower()):
        return f"[`{short}`](#{short.lower()})"
    return f"`{name}`"


def _fields(kind: type) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(kind) if dataclasses.is_dataclass(kind) else ()


def _declared(field: dataclasses.Field[Any]) -> str:
    """Return a field as its class declares it: name, type and default."""
    default = "" if field.default is dataclasses.MISSING else f" = {_written(field.default)}"
    return f"{field.name}: {field.type}{default}"


def _undescribed(kind: type) -> str:
    """List the dataclass fields that the docstring omits, each with its meaning if the field's metadata has one."""
    lines = []
    for field in _fields(kind):
        if not re.search(rf"^    (\w+, )*{field.name}(, \w+)*: ", _doc(kind), re.MULTILINE):
            meaning = field.metadata.get("meaning")
            lines.append(f"- `{_declared(field)}`{'' if meaning is None else f': {meaning}'}")
    return "**Fields**\n\n" + "\n".join(lines) if lines else ""


def _member(kind: type, name: str) -> str:
    """Describe a public method or property that has a docstring; return nothing for others."""
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
    """Return an object's own docstring: neither an inherited one nor the signature that a dataclass generates."""
    text = inspect.cleandoc(value.__doc__ or "")
    return "" if inspect.isclass(value) and text.startswith(f"{value.__name__}(") else text


def _written(value: Any) -> str:
    """Return a default as code: a function by its name, a path without the name of the platform's path class."""
    if inspect.isfunction(value):
        return value.__name__
    return f'Path("{value.as_posix()}")' if isinstance(value, PurePath) else repr(value).replace("'", '"')


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8", newline="\n")
