"""The ``facegen`` group: global options, configuration files, and the handling of failures."""

from __future__ import annotations

import errno
import os
import platform
import re
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any

import click

import facegen
from facegen import console, language
from facegen.errors import EnvironmentProblem, FacegenError, InputError, in_words
from facegen.extensions import load_extensions
from facegen.toml_file import read_toml

#: Commands in the order of the stages, as in ``facegen --help``.
COMMANDS = (
    "run",
    "prepare",
    "train",
    "watch",
    "timelapse",
    "sample",
    "interpolate",
    "arithmetic",
    "fid",
    "pack",
    "grade",
    "autograder",
    "inspect",
    "weights",
    "doctor",
)
#: Commands that need no extensions, and so do not load them. The doctor checks extensions itself.
WITHOUT_EXTENSIONS = frozenset({"prepare", "pack", "doctor", "watch", "timelapse"})
WRONG_USAGE, INTERRUPTED = 2, 130
#: Exit code of an unforeseen exception: EX_SOFTWARE of sysexits.h. Python's own 1 would be an answer here.
DEFECT = 70
#: The attempted action and a remedy, for an operation that the system refuses. That is not a defect of facegen.
_REFUSAL = ("read or write", "Mend that, or name another file or folder, and run it again.")
#: The same by error number, where a more specific remedy exists.
_REFUSALS = {
    **dict.fromkeys(
        (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG), ("write", "Make room, or name another place.")
    ),
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM),
        (
            "read or write",
            "Close the program that has it open, ask for the right to, or name another place."
            if os.name == "nt"
            else "Ask for the right to, or name another place.",
        ),
    ),
    **dict.fromkeys(
        (errno.EIO, errno.ESTALE, errno.ENODEV, errno.ENXIO, errno.ETIMEDOUT),
        ("read or write", "Check the disk or the network folder, and run it again."),
    ),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), ("open", "Raise the limit: ulimit -n 4096")),
    **dict.fromkeys(
        (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EBUSY, errno.EEXIST, errno.EINVAL),
        ("use", "Name another file or folder."),
    ),
    errno.ENOENT: ("find", "Check the name, and that nothing else moves or deletes files meanwhile."),
    errno.EAGAIN: ("start another process or thread", "End others, or raise the limit: ulimit -u"),
}
#: Python's message about a path that contains a NUL character, which no system accepts.
_NUL = re.compile("embedded null (byte|character)")
#: Message of Python before 3.13 about links that form a circle.
_CIRCLE = re.compile("Symlink loop from '(.+)'")
#: Phrases of torch's messages about too little memory.
_NO_MEMORY = ("out of memory", "allocate memory", "not enough memory")
#: Names of TOML's types other than text. To Python, a truth value is also a whole number.
_TOML_TYPES = (
    (str, "text"),
    (bool, "a truth value"),
    (int, "a whole number"),
    (float, "a number with a fraction"),
    (list, "an array"),
    (dict, "a table"),
)
#: Key of the configuration's path in the context of the command.
_CONFIG = "facegen.cli.config"
PROJECT_CONFIG = Path("facegen.toml")


class _Commands(click.Group):
    """Loads the module of a command on first use, and turns expected failures into one sentence and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"facegen.cli.{cmd_name}"), cmd_name)
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                # Under the name that a user types. The parameter can have another name, as for --json.
                words = _words(parameter)
                parameter.envvar = [f"FACEGEN_{cmd_name}_{word}".upper().replace("-", "_") for word in words]
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        for word in args[1:]:
            if not word or re.fullmatch("--[a-z-]+=", word):  # an empty path would mean the working folder
                raise click.UsageError("An argument is empty. Is a variable of your shell not set?", ctx)
        if args[0] in COMMANDS and args[0] not in WITHOUT_EXTENSIONS and not ctx.resilient_parsing:
            load_extensions()  # before the command's module, whose options may name what they add
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as problem:
            if "Did you mean" in problem.message:  # newer Click says it by itself
                raise
            near = get_close_matches(args[0], COMMANDS, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            raise click.UsageError(problem.message + hint, ctx) from None

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except KeyboardInterrupt:
            console.warn("Interrupted.")
            ctx.exit(INTERRUPTED)
        except BaseException as problem:  # noqa: BLE001
            # Every exception ends in words and an exit code. SystemExit is raised only by libraries, and a panic in a
            # Rust library is not an Exception.
            ctx.exit(_told(problem))

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command line with facegen's exit codes and with streams of any encoding."""
        # On Windows, Click would expand a name with [ or ?, or a regular expression, as a pattern of file names.
        extra.setdefault("windows_expand_args", False)
        args = words_of_home(sys.argv[1:]) if args is None and os.name == "nt" else args
        with console.forgiving_streams():
            if not standalone_mode:
                return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
            try:
                ended = super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
            except click.ClickException as problem:
                _say_usage(problem)
                ended = WRONG_USAGE
            except (click.Abort, KeyboardInterrupt):  # during parsing, or while a failure was reported
                console.warn("Interrupted.")
                ended = INTERRUPTED
            except SystemExit as problem:  # from Click's shell completion
                ended = WRONG_USAGE if problem.code else 0
            except BaseException as problem:  # noqa: BLE001
                ended = _told(problem)  # during parsing, or because the help could not be printed
        sys.exit(ended or 0)


def words_of_home(words: Sequence[str]) -> list[str]:
    """Expand ``~`` at the start of arguments to the home folder, which Windows' shells do not do."""
    return [os.path.expanduser(word) if re.match(r"~($|[\\/])", word) else word for word in words]  # noqa: PTH111


def _told(problem: BaseException) -> int:
    """Report a failure and return its exit code."""
    failure = _foreseen(problem)
    if failure is not None:
        console.error(failure)
        return failure.exit_code
    console.defect(
        problem,
        f"This is a defect of facegen: {in_words(problem)}. Report it with your command and the lines below.",
        f"facegen {facegen.__version__}, Python {platform.python_version()}, {platform.platform()}",
    )
    return DEFECT


def _foreseen(problem: BaseException) -> FacegenError | None:
    """Return the error to report if an exception is not a defect of facegen, else None."""
    if isinstance(problem, FacegenError):
        return problem
    if _is_of_memory(problem):
        return EnvironmentProblem(
            f"There is not enough memory: {in_words(problem)}.",
            "Close other programs, or give less at once: a smaller --batch, fewer --workers, fewer images.",
        )
    if isinstance(problem, ImportError) and (problem.name or "").partition(".")[0] != "facegen":  # else it is a defect
        return EnvironmentProblem(
            f"A package cannot be imported: {str(problem).rstrip('.')}.",
            "Run 'facegen doctor' to see what is wrong with this installation.",
        )
    if isinstance(problem, OSError) and problem.errno is not None:
        what, remedy = _REFUSALS.get(problem.errno, _REFUSAL)
        name = problem.filename
        where = f" {os.fsdecode(name) if isinstance(name, str | bytes) else name}" if name else ""
        return EnvironmentProblem(f"Cannot {what}{where}: {problem.strerror or in_words(problem)}.", remedy)
    if isinstance(problem, RuntimeError) and (circle := _CIRCLE.fullmatch(str(problem))):
        return InputError(f"The links of {circle[1]} form a circle.", "Name another file or folder.")
    if isinstance(problem, ValueError) and _NUL.search(str(problem)):
        return InputError("A path contains a NUL character.", "Name another file or folder.")
    if isinstance(problem, UnicodeEncodeError) and problem.encoding == sys.getfilesystemencoding():
        return InputError(
            f"The system cannot write the name {problem.object} in its encoding, {problem.encoding}.",
            "Set LC_ALL=C.UTF-8, or name another file or folder.",
        )
    return None


def _is_of_memory(problem: BaseException) -> bool:
    if isinstance(problem, RuntimeError):  # torch uses it for many kinds of failures
        return any(words in str(problem).lower() for words in _NO_MEMORY)
    return isinstance(problem, MemoryError) or (isinstance(problem, OSError) and problem.errno == errno.ENOMEM)


def _say_usage(problem: click.ClickException) -> None:
    """Report wrong usage in Click's words."""
    if sys.stderr is None:  # closed; Click would write to stdout, which is for results
        return
    if isinstance(problem, click.exceptions.NoArgsIsHelpError):
        problem.show()
        return
    if isinstance(problem, click.BadParameter):
        problem.param_hint = _place_of(problem) or problem.param_hint
    message = console.fit_message(problem.format_message().replace("\n\t", " "))  # Click lists choices by tabs
    shown = click.UsageError(message, problem.ctx) if isinstance(problem, click.UsageError) else None
    (shown or click.ClickException(message)).show()


def _place_of(problem: click.BadParameter) -> str | None:
    """Return the variable, or the configuration and its key, that a wrong value comes from.

    Click names the option, which the user has not written.
    """
    ctx, param = problem.ctx, problem.param
    if ctx is None or not isinstance(param, click.Option) or param.name is None:
        return None
    source, option = ctx.get_parameter_source(param.name), param.opts[-1]
    if source is click.core.ParameterSource.ENVIRONMENT:
        names = param.envvar or [f"{ctx.auto_envvar_prefix}_{param.name}".upper()]
        variable = next((name for name in names if os.environ.get(name)), None)
        return None if variable is None else f"the environment variable {variable} (option {option})"
    if source is click.core.ParameterSource.DEFAULT_MAP and _CONFIG in ctx.meta:
        return f"{_words(param)[0]} under [{ctx.info_name}] in {ctx.meta[_CONFIG]} (option {option})"
    return None


def _words(option: click.Option) -> list[str]:
    """Return the names of an option: ``score-every`` and ``fid-every`` for both spellings, ``n`` for ``-n``."""
    long = [spelling for spelling in option.opts if spelling.startswith("--")]
    return [spelling.lstrip("-") for spelling in long or option.opts]


def _load_config(path: Path) -> dict[str, dict[str, Any]]:
    """Read defaults from TOML: one table per command, with keys named like its options (``score-every = 10``)."""
    tables = read_toml(path, f"The configuration {path}")
    defaults: dict[str, dict[str, Any]] = {}
    for command_name, table in tables.items():
        if command_name not in COMMANDS or not isinstance(table, dict):
            raise InputError(
                f"The configuration {path} has {command_name!r}, which is not a command's table.",
                f"Its tables are named like commands: {', '.join(f'[{name}]' for name in COMMANDS)}.",
            )
        command = _Commands().get_command(click.Context(main), command_name)
        assert command is not None
        options = [option for option in command.params if isinstance(option, click.Option)]
        known = {word: option.name for option in options for word in _words(option)}
        defaults[command_name] = {}
        for key, value in table.items():
            name = known.get(key.replace("_", "-"))
            if name is None:
                near = get_close_matches(key, known, n=1)
                raise InputError(
                    f"The configuration {path} sets {key!r} for '{command_name}', which has no such option.",
                    f"Did you mean {near[0]!r}?" if near else None,
                )
            option = next(option for option in options if option.name == name)
            defaults[command_name][name] = _as_typed(
                option, value, f"The configuration {path} sets {key!r} for '{command_name}'"
            )
    return defaults


def _as_typed(option: click.Option, value: Any, sets: str) -> Any:
    """Convert a TOML value to the form that Click expects. InputError if the option has another type.

    Text is parsed as on the command line. Click alone would cut 3.7 to 3, take a whole number for an open file, and
    accept any text as true.
    """
    if isinstance(value, str) and not option.is_flag:
        return [value] if option.multiple else value
    is_number = isinstance(option.type, click.types.IntParamType | click.types.FloatParamType)
    if isinstance(value, list) and option.multiple and all(type(part) in (str, int) for part in value):
        return list(map(str, value))
    if isinstance(value, bool):
        fits = option.is_flag
    elif isinstance(value, int):
        fits = is_number or not (option.is_flag or isinstance(option.type, click.Path))
    else:
        fits = isinstance(value, float) and isinstance(option.type, click.types.FloatParamType)
    if not fits:
        takes = "true or false" if option.is_flag else "a number" if is_number else "text in quotes"
        if isinstance(option.type, click.types.IntParamType):
            takes = "a whole number"
        found = next((words for kind, words in _TOML_TYPES if isinstance(value, kind)), "a date or a time")
        raise InputError(f"{sets} to {found}.", f"It takes {takes}.")
    return value if is_number or option.is_flag else str(value)


@click.group(
    cls=_Commands,
    context_settings={
        "auto_envvar_prefix": "FACEGEN",
        "help_option_names": ["-h", "--help"],
        "show_default": True,
        "max_content_width": 100,
    },
)
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="TOML file with defaults, one table per command. facegen.toml in the working folder is read automatically.",
)
@click.option(
    "--lang",
    type=click.Choice(language.LANGUAGES),
    help="Language of pack's messages, rejections and feedback. By default that of the environment (LANG).",
)
@click.option("-v", "--verbose", is_flag=True, help="Print more details to stderr.")
@click.option("-q", "--quiet", is_flag=True, help="Print only results, warnings and errors.")
@click.version_option(facegen.__version__, prog_name="facegen")
@click.pass_context
def main(ctx: click.Context, config: Path | None, lang: str | None, verbose: bool, quiet: bool) -> None:
    """Generate faces with a GAN and measure them.

    The commands lead from photographs to a graded tarball: prepare, train, sample, fid, pack, grade. `facegen run`
    runs all of them. Every option can also be set in the environment as FACEGEN_<COMMAND>_<OPTION>.

    Results go to stdout, everything else to stderr. Exit codes: 0 success; 1 success, but the answer is no (target
    missed, submission refused, something wrong with this machine); 2 wrong usage, bad input or a missing requirement;
    70 a defect of facegen; 130 interrupted.
    """
    language.choose(lang)
    if verbose and quiet:
        raise click.UsageError("--verbose and --quiet cannot be combined.")
    console.set_verbosity(console.VERBOSE if verbose else console.QUIET if quiet else console.NORMAL)
    if config is None and PROJECT_CONFIG.is_file():
        config = PROJECT_CONFIG
    if config is not None:
        ctx.meta[_CONFIG] = config
        ctx.default_map = _load_config(config)
