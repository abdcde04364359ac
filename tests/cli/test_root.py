"""What holds for every command."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import Result

from facegen.cli.root import COMMANDS, main
from facegen.errors import InputError, Refused

Run = Callable[..., Result]


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


@pytest.mark.parametrize(
    ("failure", "code", "says"),
    [
        (InputError("x.png is no image.", "Use another."), 2, "error: x.png is no image. Use another."),
        (Refused("No."), 1, "error: No."),
        (KeyboardInterrupt(), 130, "Interrupted."),
        (
            ImportError("libcudart.so.12: cannot open", name="torch"),
            2,
            "imported: libcudart.so.12: cannot open. 'facegen",
        ),
        (OSError(errno.ENOSPC, "No space left on device", "x.png"), 2, "error: Cannot write x.png: No space left"),
    ],
)
def test_failures_end_in_a_sentence_and_their_exit_code(
    facegen: Run, monkeypatch: pytest.MonkeyPatch, failure: BaseException, code: int, says: str, tmp_path: Path
) -> None:
    def fail(*words: object, **options: object) -> None:
        raise failure

    monkeypatch.setattr("facegen.stages.sample.sample", fail)
    outcome = facegen("sample", tmp_path, tmp_path / "images")
    assert outcome.exit_code == code and outcome.stdout == ""
    assert outcome.stderr.startswith(("error: ", "warning: ")) and says in outcome.stderr


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

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("[sampel]\nn = 1\n", "'sampel'"),
            ("[sample]\ntruncatoin = 1\n", "Did you mean 'truncation'"),
            ("[sample\n", "not valid TOML"),
        ],
    )
    def test_a_wrong_file_is_one_sentence(self, facegen: Run, tmp_path: Path, text: str, says: str) -> None:
        (tmp_path / "mine.toml").write_text(text)
        outcome = facegen("--config", tmp_path / "mine.toml", "sample", "run", "images")
        assert outcome.exit_code == 2 and says in outcome.stderr and "mine.toml" in outcome.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_can_come_from_the_environment_by_its_own_word(name: str) -> None:
    for option in command(name).params:
        if isinstance(option, click.Option):
            word = max(option.opts, key=len).lstrip("-")
            assert isinstance(option.envvar, list)
            assert f"FACEGEN_{name}_{word}".replace("-", "_").upper() in option.envvar


def test_quiet_and_verbose_exclude_each_other(facegen: Run) -> None:
    assert facegen("-q", "-v", "weights").exit_code == 2


def test_starts_as_a_module() -> None:
    outcome = subprocess.run(
        [sys.executable, "-m", "facegen", "--version"], capture_output=True, text=True, check=False
    )
    assert outcome.returncode == 0 and outcome.stdout.startswith("facegen, version ")
