"""Words and sentences: what the code calls things, and how its messages are written."""

from __future__ import annotations

import ast
import io
import keyword
import re
import tokenize
from itertools import product
from pathlib import Path

import pytest

from facegen.grading.flags import FLAGS, FlagRule

ROOT = Path(__file__).parents[1]
#: The source of each module by its path in facegen.
SOURCES = {
    str(path.relative_to(ROOT / "facegen")): path.read_text(encoding="utf-8")
    for path in sorted((ROOT / "facegen").rglob("*.py"))
}

#: Pictures of a house and of a game that stood for subpackages, stages, training and its updates. CONTRIBUTING.md says
#: what they are called.
OLD_WORDS = {"corridor", "room", "house", "workshop", "game"}
#: Verbs elsewhere ("it turns left to right"), so only in names.
OLD_NAMES = OLD_WORDS | {"turn", "play"}


def words_of(text: str) -> set[str]:
    """The words of a text or an identifier, in lower case and without a plural's s: open and room of ``openRooms``."""
    return {word.lower().removesuffix("s") for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", text)}


def old_names(source: str) -> set[str]:
    """The identifiers that are made of a word that went."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    names = {token.string for token in tokens if token.type == tokenize.NAME and not keyword.iskeyword(token.string)}
    return {name for name in names if words_of(name) & OLD_NAMES}


def old_words(source: str) -> set[str]:
    """The words that went, of its comments and docstrings."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    prose = [token.string for token in tokens if token.type == tokenize.COMMENT]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            prose.append(ast.get_docstring(node) or "")
    spoken = (re.sub(r"``.+?``", "", text) for text in prose)  # an old file's key is quoted as it is
    return set().union(*map(words_of, spoken)) & OLD_WORDS


class TestVocabulary:
    def test_no_name_is_a_picture_of_a_house_or_a_game(self) -> None:
        found = [f"{path}: {name}" for path, source in SOURCES.items() for name in sorted(old_names(source))]
        assert not found, "\n".join(found)

    def test_no_comment_or_docstring_has_such_a_word(self) -> None:
        found = [f"{path}: {word}" for path, source in SOURCES.items() for word in sorted(old_words(source))]
        assert not found, "\n".join(found)

    @pytest.mark.parametrize("name", ["open_game", "Game", "no_room", "ROOM", "rooms", "lastTurn", "_Corridor"])
    def test_a_name_is_taken_apart(self, name: str) -> None:
        assert old_names(f"{name} = 1") == {name}

    @pytest.mark.parametrize("source", ["returns = 1", "mushroom = display = 1", "# a turn", "'the room'"])
    def test_other_names_and_texts_are_not_names(self, source: str) -> None:
        assert old_names(source) == set()

    @pytest.mark.parametrize("source", ["# the room", '"""Rooms."""', 'def f():\n    """In a room."""'])
    def test_prose_is_read(self, source: str) -> None:
        assert old_words(source) == {"room"}

    @pytest.mark.parametrize("source", ["message = 'Make room.'", "# an old file has ``game``"])
    def test_messages_and_code_are_not_prose(self, source: str) -> None:
        assert old_words(source) == set()


def openings(source: str) -> list[str]:
    """The first words of its docstrings and of its comments that describe a name (``#: …``)."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    texts = [token.string.removeprefix("#:").strip() for token in tokens if token.string.startswith("#:")]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            texts.append(ast.get_docstring(node) or "")
    return [text.partition("\n")[0] for text in texts]


#: Openings of a sentence without its subject: the reader cannot know what the rest is about.
RIDDLE = re.compile(r"(Of|What|So|Such|That|Those|Where|As)\b")


class TestOpenings:
    def test_none_is_a_riddle(self) -> None:
        found = [(path, text) for path, source in SOURCES.items() for text in openings(source) if RIDDLE.match(text)]
        assert not found, "\n".join(f"{path}: {text}" for path, text in found)

    @pytest.mark.parametrize(
        "source", ['"""Of a set of images."""', "#: What is read.\nX = 1", "def f():\n    'So many.'"]
    )
    def test_one_is_seen(self, source: str) -> None:
        assert any(RIDDLE.match(text) for text in openings(source))

    def test_a_plain_one_passes(self) -> None:
        assert not any(RIDDLE.match(text) for text in openings('"""Return the offset."""\n#: Sizes in pixels.\nX = 1'))


#: What speaks to people, besides the kinds of error.
SPEAKERS = {"info", "detail", "warn"}
ERRORS = {"FacegenError", "InputError", "EnvironmentProblem", "Refused", "Rejection", "Diverged"}
#: What is found of images or of a machine: a message, and for the one of these a remedy.
FOUND, STATUSES = {"CheckResult", "Finding"}, {"ok", "warn", "wrong"}
#: Lists of sentences that become part of a result, and functions that return some.
LISTS, RETURNS = {"warnings", "sentences", "notes"}, re.compile("warning|flattery|sentence")
#: Functions of facegen.language that take the English text, with placeholders.
TRANSLATED = {"translate", "translate_count"}
#: Stands for what a message puts in at run time.
FILLED = "\0"


def messages(source: str) -> list[str]:
    """The messages and remedies that are written out: to console, in errors, in findings, and in lists of warnings."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef) and RETURNS.search(node.name):
            found += [text for value in values_of(node) for text in written(value)]
        if isinstance(node, ast.Call):
            function = node.func
            spoken = (
                isinstance(function, ast.Attribute)
                and function.attr in SPEAKERS
                and isinstance(function.value, ast.Name)
                and function.value.id == "console"
            )
            appended = (
                isinstance(function, ast.Attribute)
                and function.attr == "append"
                and isinstance(function.value, ast.Name)
                and function.value.id in LISTS
            )
            if spoken or appended or (isinstance(function, ast.Name) and function.id in ERRORS | FOUND):
                found += [text for argument in node.args for text in written(argument) if re.search("[a-z]", text)]
    return [text for text in found if text not in STATUSES]


def values_of(function: ast.FunctionDef) -> list[ast.expr]:
    """What a function returns or appends to a list, and the parts of lists in either."""
    values: list[ast.expr] = []
    for node in ast.walk(function):
        if isinstance(node, ast.Return) and node.value is not None:
            values += node.value.elts if isinstance(node.value, ast.List | ast.Tuple) else [node.value]
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "append":
            values += node.args
    return values


def written(node: ast.expr) -> list[str]:
    """What an expression can say, each placeholder as ``FILLED``; nothing for what is no text at hand."""
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) else []
    if isinstance(node, ast.JoinedStr):
        parts = [part.value if isinstance(part, ast.Constant) else FILLED for part in node.values]
        return ["".join(map(str, parts))]
    if isinstance(node, ast.IfExp):
        return [*written(node.body), *written(node.orelse)]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in TRANSLATED:
        templates = [text for argument in node.args for text in written(argument)]
        return [re.sub(r"\{\w+(:[^}]*)?\}", FILLED, template) for template in templates]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return [first + second for first, second in product(written(node.left), written(node.right))]
    return []


def is_sentence(text: str) -> bool:
    """Whether a message is a sentence: it begins with a capital, a number, an option, a quote or what is put in.

    It ends with a full stop or a question mark; or, after a colon, with what people copy: a command or what is put in.
    """
    begins = re.match(rf"[A-Z0-9'\"\[{FILLED}]|--[a-z]|(torch|torchrun|facegen)\b", text)
    copied = re.search(rf": (({FILLED}|(facegen|pip|torchrun) )[^:]*|[^:]*(--\S+|{FILLED}|…)|https://\S+)$", text)
    return bool(begins and (re.search(r"[.?][)'\"]?$", text) or copied or re.search(rf"\. ?{FILLED}$", text)))


class TestMessages:
    def test_each_is_a_sentence(self) -> None:
        spoken = [(path, text) for path, source in SOURCES.items() for text in messages(source)]
        found = [f"{path}: {text}".replace(FILLED, "{}") for path, text in spoken if not is_sentence(text)]
        assert not found, "\n".join(found)

    @pytest.mark.parametrize(
        "source",
        [
            "console.info('A line.')",
            "console.warn(f'{n} are gone.')",
            "console.detail(f'--out {path} is new.')",
            "raise InputError(f'Cannot read {path}: {problem}.', 'Make it: facegen prepare SOURCE DATASET')",
            "console.info(f'Report: {path}')",
            "console.info(text)",
            "console.info(f'[{step}/{steps}] {title}')",
            "print('a line')",
            "found.append('a word')",
            "CheckResult('ok', 'All is well.')",
        ],
    )
    def test_a_sentence_passes(self, source: str) -> None:
        assert all(map(is_sentence, messages(source)))

    @pytest.mark.parametrize(
        "source",
        [
            "console.info('a line.')",
            "console.warn('A line')",
            "console.detail(f'The {path}')",
            "raise InputError('No file')",
            "raise InputError('No file.', 'name another.')",
            "raise Rejection(Code.DAMAGED, 'damaged')",
            "console.info('A line.' if new else 'a line.')",
            "warnings.append('a warning.')",
            "def warnings_of(images):\n    found.append(f'The {images}')",
            "def margin_warning(n):\n    return f'real images score {n}.' if n else None",
            "def _warnings(n):\n    return [*warnings, 'No full stop']",
            "CheckResult('ok', 'all is well.')",
            "Finding('The images are grey', {})",
        ],
    )
    def test_what_is_none_fails(self, source: str) -> None:
        assert not all(map(is_sentence, messages(source)))

    @pytest.mark.parametrize("rule", FLAGS.values(), ids=lambda rule: rule.code)
    def test_what_a_flag_means_and_from_where_are_sentences(self, rule: FlagRule) -> None:
        assert is_sentence(rule.meaning) and is_sentence(rule.threshold)
