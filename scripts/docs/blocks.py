"""Read the code blocks of a Markdown page, and compare the outputs that it shows with what was printed.

CONTRIBUTING.md, "Documentation", has the rules in words.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: Languages of the blocks that are run. Other blocks are files, outputs or for reading only.
LIVE = ("sh", "console", "python", "pycon", "setup")
#: Matches a fence with its marks, or a setup, which is a comment and therefore hidden.
_BLOCK = re.compile(
    r"^<!-- setup\n(?P<setup>.*?)^-->$"
    r"|(?P<marks>(?:^ *<!--[^\n]*-->\n)*)"
    r"^(?P<indent> *)(?P<fence>```+)(?P<language>\w*)[^\n]*\n(?P<text>.*?)^ *(?P=fence) *$",
    re.MULTILINE | re.DOTALL,
)
_NOT_RUN = re.compile(r"<!-- not run(?:, (?P<programs>[^:]+))?: (?P<reason>\S.*?) -->")
_ELSEWHERE = re.compile(r"^<!-- blocks run by (\S+) -->$", re.MULTILINE)
#: Matches the first line of a block that is a file.
_FILE = re.compile(r"# ([\w./-]+\.(?:py|toml|csv))\n")
#: Matches what could be a command in a block that names no language.
_COMMAND = re.compile(r"^(?:\$ |facegen \w)", re.MULTILINE)
_EXIT = re.compile(r"#.*\bexit (\d+)\b")
_NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?(?:e[-+]?\d+)?")


@dataclass(frozen=True)
class Command:
    """A command line and what a page says about it.

    Attributes:
        line: The line as the page has it, with continued lines joined.
        exit_code: The exit code that it must end with.
        output: What it prints, with ``…`` for any text; None if the page does not say.
        place: Position of the output in the page, as two indices of its text; None if there is no output.
    """

    line: str
    exit_code: int = 0
    output: str | None = None
    place: tuple[int, int] | None = None

    @property
    def words(self) -> list[str]:
        return shlex.split(self.line, comments=True)

    @property
    def program(self) -> str:
        """The first word that is not a variable: ``facegen`` in ``FACEGEN_SEED=1 facegen sample run images``."""
        return next((word for word in self.words if not re.match(r"\w+=", word)), "")


@dataclass(frozen=True)
class Block:
    """A block of code of a page.

    Attributes:
        language: Language of the fence; ``setup`` for a hidden block.
        text: Its content, without the indentation of the fence.
        line: Number of its first line in the page.
        start: Index in the page's text at which ``text`` begins.
        reason: Why it is not run; None if it is run.
        skipped: Programs whose lines are left out.
        is_output: Whether it is the output of the Python block before it.
        is_fresh: Whether it starts in a folder that earlier blocks of the page did not change.
    """

    language: str
    text: str
    line: int
    start: int
    reason: str | None = None
    skipped: tuple[str, ...] = ()
    is_output: bool = False
    is_fresh: bool = False

    @property
    def file(self) -> str | None:
        """The name of the file that the block is written to; None if it is no file."""
        found = _FILE.match(self.text) if self.language in ("python", "toml", "csv") else None
        return found[1] if found else None

    @property
    def file_text(self) -> str:
        return self.text.partition("\n")[2]

    def commands(self) -> list[Command]:
        """The commands of a shell block, without those of skipped programs."""
        found = _console(self) if self.language == "console" else _lines(self.text)
        return [command for command in found if command.program not in self.skipped]

    @property
    def key(self) -> object:
        """A value that is equal for two blocks that do the same. It ignores comments and the folding of lines."""
        if self.language in ("python", "setup"):
            return self.file, ast.dump(ast.parse(self.text))
        if self.language in ("sh", "console"):
            return [(command.words, command.exit_code, flat(command.output or "")) for command in self.commands()]
        return self.language, flat(self.text)


@dataclass(frozen=True)
class DocumentedPage:
    """A page and its blocks that are run.

    Attributes:
        path: The page, relative to the repository.
        text: Its text.
        blocks: The blocks to run, write or compare, in order.
        faults: Violations of the rules for pages, in words.
        elsewhere: The test that runs the blocks instead; None if there is none.
    """

    path: str
    text: str
    blocks: list[Block] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    elsewhere: str | None = None

    @property
    def key(self) -> str:
        """A value that is equal for two pages that do the same."""
        return repr([block.key for block in self.blocks])


def read_page(path: str, text: str | None = None) -> DocumentedPage:
    """Read a page of the repository, or ``text`` instead of its file."""
    text = (ROOT / path).read_text(encoding="utf-8") if text is None else text
    elsewhere = _ELSEWHERE.search(text)
    page = DocumentedPage(path, text, elsewhere=elsewhere[1] if elsewhere else None)
    for block in _blocks(text):
        place = f"{path}:{block.line}"
        if not block.language and _COMMAND.search(block.text):
            page.faults.append(f"{place}: A block with commands names no language: sh or console.")
        if block.reason == "":
            page.faults.append(f"{place}: The mark is <!-- not run: REASON -->, with a reason.")
        runs = block.language in LIVE or block.file or block.is_output
        if runs and block.reason is None and not page.elsewhere:
            try:
                block.key  # noqa: B018
            except (SyntaxError, ValueError) as problem:
                page.faults.append(f"{place}: The block cannot be read: {problem}.")
            else:
                page.blocks.append(block)
    return page


def pages() -> list[str]:
    """Return the paths of all pages whose blocks are run. Generated and historical pages have none."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "submissions" / "README.md"]
    names = sorted(path.relative_to(ROOT).as_posix() for path in found)
    return [name for name in names if name not in ("CHANGELOG.md", "docs/api.md", "docs/cli.md")]


def difference(said: str, printed: str, *, any_number: bool) -> str | None:
    """Return how a page's output differs from what was printed; None if it does not.

    ``…`` matches any text. Spaces and line breaks do not count.

    Args:
        said: The output that the page has.
        printed: The text that was printed.
        any_number: Whether any number matches any number.
    """

    def plain(text: str) -> str:
        return _NUMBER.sub("0", flat(text)) if any_number else flat(text)

    parts, found = re.split(" ?… ?", plain(said)), plain(printed)
    if re.fullmatch(".*?".join(map(re.escape, parts)), found, re.DOTALL):
        return None
    place = 0
    for part in parts:
        if part not in found[place:]:
            pairs = zip(part, found[place:], strict=False)
            shared = next((n for n, (one, other) in enumerate(pairs) if one != other), 0)
            said_here, printed_here = part[max(0, shared - 30) :], found[max(0, place + shared - 30) :]
            return f"The page says {said_here[:90]!r} where {printed_here[:90]!r} was printed."
        place = found.index(part, place) + len(part)
    return f"Printed, and not on the page: {found[place:]!r}" if found[place:] else "Something else was printed first."


def flat(text: str) -> str:
    return " ".join(text.split())


def _blocks(text: str) -> Iterator[Block]:
    for found in _BLOCK.finditer(text):
        if found["setup"] is not None:
            start = found.start("setup")
            yield Block("setup", found["setup"], text.count("\n", 0, start) + 1, start)
            continue
        marks = found["marks"] or ""
        mark = _NOT_RUN.search(marks)
        reason = ("" if "not run" in marks else None) if mark is None else mark["reason"]
        skipped: tuple[str, ...] = ()
        if mark is not None and mark["programs"]:
            skipped, reason = tuple(re.split(r", | and ", mark["programs"])), None
        start = found.start("text")
        inside = re.sub(rf"^ {{0,{len(found['indent'])}}}", "", found["text"], flags=re.MULTILINE)
        line = text.count("\n", 0, start) + 1
        is_output, is_fresh = "<!-- output -->" in marks, "<!-- fresh folder -->" in marks
        yield Block(found["language"], inside, line, start, reason, skipped, is_output, is_fresh)


def _command(line: str, output: str | None = None, place: tuple[int, int] | None = None) -> Command:
    ended = _EXIT.search(line)
    failed = output is not None and re.search("^error: ", output, re.MULTILINE)
    return Command(line, int(ended[1]) if ended else 2 if failed else 0, output, place)


def _lines(text: str) -> list[Command]:
    joined = re.sub(r"\\\n\s*", "", text)
    return [_command(line.strip()) for line in joined.splitlines() if line.strip() and not line.startswith("#")]


def _console(block: Block) -> list[Command]:
    """Return the commands of a console block. The place of an output is exact if the fence is not indented."""
    found = list(re.finditer(r"^\$ ((?:.*\\\n)*.*)\n?", block.text, re.MULTILINE))
    ends = [each.start() for each in found[1:]] + [len(block.text)]
    commands = []
    for each, end in zip(found, ends, strict=True):
        line = re.sub(r"\\\n\s*", "", each[1]).strip()
        place = (block.start + each.end(), block.start + end)
        commands.append(_command(line, block.text[each.end() : end], place))
    return commands
