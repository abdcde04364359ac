"""What holds for every command."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import Result

from facegen import __version__
from facegen.cli.root import COMMANDS, main
from facegen.errors import InputError, Refused
from facegen.scoring.score import Score

Run = Callable[..., Result]


class Panic(BaseException):
    """As what PyO3 raises where a library in Rust panics: no Exception."""


def command(name: str) -> click.Command:
    found = main.get_command(click.Context(main), name)
    assert found is not None
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_explained(name: str) -> None:
    assert command(name).help
    for parameter in command(name).params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name} {parameter.opts[0]} has no help"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_readme(name: str) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    assert f"facegen {name}" in readme


@pytest.mark.parametrize("words", [["nope"], ["fid", "--nope"], []])
def test_wrong_usage_is_not_told_on_stdout_where_stderr_is_closed(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stdout = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stdout)
    monkeypatch.setattr(sys, "stderr", None)  # as Python has it after 2>&-
    with pytest.raises(SystemExit) as ended:
        main(words, prog_name="facegen")
    assert ended.value.code == 2 and stdout.getvalue() == ""


def test_help_does_not_load_torch() -> None:
    code = (
        "import sys\n"
        "from facegen.cli import main\n"
        "main(['--help'], standalone_mode=False)\n"
        "heavy = {'torch', 'numpy', 'scipy', 'PIL', 'rich'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)\n"
    )
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr


def test_a_misspelt_command_names_the_near_one(facegen: Run) -> None:
    outcome = facegen("prepair")
    assert outcome.exit_code == 2 and "prepare" in outcome.stderr


@pytest.mark.parametrize("words", [["sample", "", "images"], ["grade", "in", "--out="], ["grade", "in", "--out", ""]])
def test_an_empty_argument_is_not_the_working_folder(facegen: Run, words: list[str]) -> None:
    outcome = facegen(*words)
    assert outcome.exit_code == 2 and "An argument is empty" in outcome.stderr


@pytest.mark.parametrize(
    ("failure", "code", "says"),
    [
        (InputError("x.png is no image.", "Use another."), 2, "error: x.png is no image. Use another."),
        (Refused("No."), 1, "error: No."),
        (KeyboardInterrupt(), 130, "Interrupted."),
        (
            ImportError("libcudart.so.12: cannot open", name="torch"),
            2,
            "imported: libcudart.so.12: cannot open. Run 'facegen",
        ),
        (OSError(errno.ENOSPC, "No space left on device", "x.png"), 2, "error: Cannot write x.png: No space left"),
        (
            OSError(errno.EIO, "Input/output error", "x.png"),
            2,
            "error: Cannot read or write x.png: Input/output error.",
        ),
        (OSError(errno.EMFILE, "Too many open files", "x.png"), 2, "Raise the limit: ulimit -n"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "x" * 9999), 2, "File name too long. Name another file"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "x"), 2, "error: Cannot find x: No such file or"),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), 2, "error: Cannot read or write: Broken pipe. Mend that"),
        (OSError(errno.EBADF, "Bad file descriptor", b"x"), 2, "error: Cannot read or write x: Bad file descriptor."),
        (OSError(errno.EBADF, None, 7), 2, "error: Cannot read or write 7: OSError: [Errno 9]"),
        (ValueError("embedded null byte"), 2, "error: A path contains a NUL character."),
        (RuntimeError("Symlink loop from '/x'"), 2, "error: The links of /x form a circle. Name another"),
        (MemoryError(), 2, "error: There is not enough memory: MemoryError. Close other programs"),
        (MemoryError("Unable to allocate 9 TiB"), 2, "enough memory: MemoryError: Unable to allocate 9 TiB. Close"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 2, "There is not enough memory: RuntimeError"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), 2, "error: There is not enough memory: OSError: [Errno 12]"),
        (click.FileError("x\x1b[31m.png", "gone"), 2, "Could not open file 'x\\x1b[31m.png': gone"),
        (click.ClickException("a\x1b\u202e"), 2, r"a\u001b\u202e"),
        (click.Abort(), 130, "Interrupted."),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_failures_end_in_a_sentence_and_their_exit_code(
    facegen: Run, monkeypatch: pytest.MonkeyPatch, failure: BaseException, code: int, says: str, tmp_path: Path
) -> None:
    def fail(*words: object, **options: object) -> None:
        raise failure

    monkeypatch.setattr("facegen.stages.sample.sample", fail)
    outcome = facegen("sample", tmp_path, tmp_path / "images")
    assert outcome.exit_code == code and outcome.stdout == ""
    assert outcome.stderr.startswith(("error: ", "warning: ", "Error: ")) and says in outcome.stderr
    assert "Traceback" not in outcome.stderr and len(outcome.stderr) < 1000


@pytest.mark.parametrize(
    ("failure", "says"),
    [
        (ValueError("a\x1b[31m\nb"), r"ValueError: a\u001b[31m b"),
        (AssertionError(), "AssertionError"),
        (EOFError("Compressed file ended"), "EOFError: Compressed file ended"),
        (RecursionError("maximum recursion depth exceeded"), "RecursionError: maximum recursion depth exceeded"),
        (OSError("cannot identify image file"), "OSError: cannot identify image file"),
        (ImportError("cannot import name 'x'", name="facegen.x"), "ImportError: cannot import name 'x'"),
        (SystemExit(0), "SystemExit: 0"),
        (SystemExit("I quit."), "SystemExit: I quit"),
        (Panic("index out of bounds"), "Panic: index out of bounds"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_what_nobody_foresaw_is_called_a_defect_and_shown_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], failure: BaseException, says: str
) -> None:
    def fail(*words: object, **options: object) -> None:
        raise failure

    monkeypatch.setattr("facegen.stages.sample.sample", fail)
    with pytest.raises(SystemExit) as ended:
        main(["sample", "run", "images"], prog_name="facegen")
    captured = capsys.readouterr()
    first, *trace, last = captured.err.splitlines()
    assert ended.value.code == 70 and captured.out == ""
    assert first.startswith(f"error: This is a defect of facegen: {says}")
    assert trace[0] == "Traceback (most recent call last):" and any("in fail" in line for line in trace)
    assert last.startswith(f"facegen {__version__}, Python {sys.version.split()[0]}, ")
    assert captured.err.replace("\n", "").isprintable()


@pytest.mark.parametrize("words", [["sample", "a", "b"], ["--config", "x.toml", "doctor"]], ids=["command", "group"])
def test_interrupted_is_130_wherever_it_strikes(monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    def interrupted(*words: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(click.Path, "convert", interrupted)
    with pytest.raises(SystemExit) as ended:
        main(words, prog_name="facegen")
    assert ended.value.code == 130


def test_no_exit_code_is_an_answer_before_there_is_a_question(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as completing, pytest.raises(SystemExit) as ended:
        completing.setenv("_FACEGEN_COMPLETE", "nonsense")  # Click ends it with 1
        main([], prog_name="facegen")
    assert ended.value.code == 2

    def fail(*words: object, **options: object) -> None:
        raise Panic

    monkeypatch.setattr(click.Path, "convert", fail)
    with pytest.raises(SystemExit) as ended:
        main(["--config", "x.toml", "doctor"], prog_name="facegen")
    assert ended.value.code == 70 and capsys.readouterr().err.startswith("error: This is a defect of facegen: Panic")


class TestTerminals:
    @pytest.mark.parametrize("encoding", ["ascii", "cp1252", "cp437", "cp949"])
    @pytest.mark.parametrize("name", ["", *COMMANDS])
    def test_help_is_there_in_every_encoding(self, name: str, encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
        stdout = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        monkeypatch.setattr(sys, "stdout", stdout)
        with pytest.raises(SystemExit) as ended:
            main([*name.split(), "--help"], prog_name="facegen")
        stdout.flush()
        assert ended.value.code == 0 and sys.stdout is stdout
        assert stdout.buffer.getvalue().decode(encoding).startswith(f"Usage: facegen {name}")

    @pytest.mark.parametrize(
        "words",
        [["--help"], ["fid", "--help"], ["--version"], ["inspect", "--list"], ["inspect", "lenet5"]],
        ids=" ".join,
    )
    @pytest.mark.parametrize("is_full", [True, False], ids=["full", "closed"])
    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no disk that is always full")
    def test_a_result_without_a_place_is_2_and_without_a_reader_0(
        self, words: list[str], is_full: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        reader, writer = os.pipe()
        os.close(reader)
        with (
            os.fdopen(os.open("/dev/full", os.O_WRONLY) if is_full else writer, "w") as stdout,
            pytest.raises(SystemExit) as ended,
        ):
            monkeypatch.setattr(sys, "stdout", stdout)
            main(words, prog_name="facegen")
        assert ended.value.code == (2 if is_full else 0)
        told = "error: The result cannot be written to stdout: No space left on device."
        assert capsys.readouterr().err == (f"{told} Make room, or send stdout elsewhere.\n" if is_full else "")

    def test_the_answer_is_the_exit_code_though_nobody_reads_it(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        missed = Score("fid", 30.0, 9, 2048, "inception-2015-12-05", "0" * 64, 9, "1" * 64, 20.0, False)
        monkeypatch.setattr("facegen.stages.fid.fid", lambda *words, **options: missed)
        reader, writer = os.pipe()
        os.close(reader)
        with os.fdopen(writer, "w") as stdout, pytest.raises(SystemExit) as ended:
            monkeypatch.setattr(sys, "stdout", stdout)
            main(["fid", "images", "--reference", "real"], prog_name="facegen")
        assert ended.value.code == 1 and "not below the target" in capsys.readouterr().err

    @pytest.mark.parametrize(
        "words",
        [
            ["{}"],
            ["sample", "{}"],
            ["sample", "a", "b", "{}"],
            ["sample", "--{}"],
            ["sample", "a", "b", "-n", "{}"],
            ["sample", "a", "b", "--latents", "{}"],
            ["inspect", "lenet5", "--input", "{}"],
            ["fid", "{}", "--reference", "{}"],
            ["fid", "a", "--reference", "b", "--extractor", "{}"],
            ["--config", "{}", "doctor"],
        ],
        ids=" ".join,
    )
    def test_no_argument_is_echoed_as_it_is(self, facegen: Run, words: list[str]) -> None:
        wild = "x\x1b]0;t\x07\x9b31m\u202e\u2066\ufeff\nerror: y\udce9" + "z" * 10_000
        outcome = facegen(*(word.format(wild) for word in words))
        assert outcome.exit_code == 2 and outcome.stderr.replace("\n", "").isprintable()
        assert len(outcome.stderr) < 1500 and "\nerror: y" not in outcome.stderr


class TestConfiguration:
    def seen(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
        options: dict[str, object] = {}

        class Drawn:
            images = Path("images")

        def sample(*words: object, **given: object) -> Drawn:
            options.update(given)
            return Drawn()

        monkeypatch.setattr("facegen.stages.sample.sample", sample)
        return options

    def test_the_order_is_option_environment_file_default(
        self, facegen: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        options = self.seen(monkeypatch)
        monkeypatch.chdir(tmp_path)
        Path("facegen.toml").write_text("[sample]\nn = 3\nseed = 3\nbatch = 3\n")
        monkeypatch.setenv("FACEGEN_SAMPLE_SEED", "2")
        monkeypatch.setenv("FACEGEN_SAMPLE_BATCH", "2")
        assert facegen("sample", "run", "images", "--batch", "1").exit_code == 0
        assert (options["n"], options["seed"], options["batch"], options["truncation"]) == (3, 2, 1, 1.0)

    def test_a_file_can_be_named(self, facegen: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        options = self.seen(monkeypatch)
        (tmp_path / "mine.toml").write_text("[sample]\ntruncation = 0.5\n")
        assert facegen("--config", tmp_path / "mine.toml", "sample", "run", "images").exit_code == 0
        assert options["truncation"] == 0.5

    @pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
    def test_windows_may_mark_its_encoding(
        self, facegen: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, encoding: str
    ) -> None:
        options = self.seen(monkeypatch)
        (tmp_path / "mine.toml").write_text("[sample]\nseed = 9\n", encoding=encoding)
        assert facegen("--config", tmp_path / "mine.toml", "sample", "run", "images").exit_code == 0
        assert options["seed"] == 9

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("[sampel]\nn = 1\n", "'sampel'"),
            ("[sample]\ntruncatoin = 1\n", "Did you mean 'truncation'"),
            ("[sample\n", "not valid TOML"),
            ("[sample]\nn = 3.7\n", "sets 'n' for 'sample' to a number with a fraction. It takes a whole number."),
            ("[sample]\nn = [1]\n", "to an array."),
            ("[sample]\nlatents = 1979-05-27\n", "to a date or a time. It takes text in quotes."),
            ("[sample]\nrejection = 'no'\n", "to text. It takes true or false."),
            ("[sample]\nn = 'x'\n", "Invalid value for n under [sample] in "),
            ("[sample]\nn." + "a." * 2000 + "a = 1\n", "nested more than"),
            ("x = 'é'\n".encode("latin-1"), "not valid TOML"),
            ("x = " + "[" * 100_000, "not valid TOML"),
            ("<!DOCTYPE html><html>", "is an HTML page, not TOML. Google Drive"),
            (b"PK\3\4\x14" + bytes(40), "is a zip archive, not TOML"),
            ('{"sample": {"n": 1}}', "is a JSON file, not TOML"),
        ],
    )
    def test_a_wrong_file_is_one_sentence(self, facegen: Run, tmp_path: Path, text: str | bytes, says: str) -> None:
        (tmp_path / "mine.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
        outcome = facegen("--config", tmp_path / "mine.toml", "sample", "run", "images")
        assert outcome.exit_code == 2 and says in outcome.stderr and "mine.toml" in outcome.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_can_come_from_the_environment_by_its_own_word(name: str) -> None:
    for option in command(name).params:
        if isinstance(option, click.Option):
            word = max(option.opts, key=len).lstrip("-")
            assert isinstance(option.envvar, list)
            assert f"FACEGEN_{name}_{word}".replace("-", "_").upper() in option.envvar


def test_a_wrong_value_names_the_variable_it_is_from(facegen: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEGEN_SAMPLE_N", "x")
    assert "the environment variable FACEGEN_SAMPLE_N (option -n): 'x'" in facegen("sample", "a", "b").stderr


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_an_interruption_during_imports_is_130_without_a_traceback(name: str) -> None:
    code = (
        "import os, signal, sys\n"
        # nohup and a shell's & have it ignored, which facegen keeps to
        f"signal.signal(signal.{name}, {'signal.default_int_handler' if name == 'SIGINT' else 'signal.SIG_DFL'})\n"
        "from facegen.__main__ import start\n"
        "class Finder:\n"
        "    def find_spec(self, name, *words):\n"
        f"        if name == 'click': os.kill(os.getpid(), signal.{name})\n"
        "sys.meta_path.insert(0, Finder())\n"
        "start()\n"
    )
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (outcome.returncode, outcome.stderr) == (130, "")


def test_quiet_and_verbose_exclude_each_other(facegen: Run) -> None:
    assert facegen("-q", "-v", "weights").exit_code == 2


def test_starts_as_a_module() -> None:
    outcome = subprocess.run(
        [sys.executable, "-m", "facegen", "--version"], capture_output=True, text=True, check=False
    )
    assert outcome.returncode == 0 and outcome.stdout.startswith("facegen, version ")
