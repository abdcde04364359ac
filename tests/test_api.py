"""The public API: what ``import facegen`` offers, and that a path may be a string everywhere."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
import typing
from pathlib import Path
from typing import Any

import pytest

import facegen
from facegen.errors import InputError

FUNCTIONS = [name for name in facegen.__all__ if inspect.isfunction(getattr(facegen, name))]
#: Parameters that are a path or something else: a recipe's name, "synthetic".
PATH_OR_NAME = {"recipe", "source"}


def paths_of(function: str) -> list[str]:
    """The parameters of a function that are paths and nothing else."""
    parameters = inspect.signature(getattr(facegen, function)).parameters
    return [name for name, each in parameters.items() if "Path" in each.annotation and name not in PATH_OR_NAME]


STAGES = [name for name in FUNCTIONS if paths_of(name)]


class TestExports:
    def test_all_names_what_is_loaded_lazily(self) -> None:
        assert sorted(facegen.__all__) == sorted(facegen._EXPORTS)

    @pytest.mark.parametrize("name", facegen.__all__)
    def test_each_name_is_where_it_is_said_to_be(self, name: str) -> None:
        assert getattr(facegen, name).__module__ == facegen._EXPORTS[name]

    def test_type_checkers_find_each_where_it_is_found(self) -> None:
        tree = ast.parse(Path(facegen.__file__).read_text(encoding="utf-8"))
        (typing_only,) = (node for node in tree.body if ast.unparse(node).startswith("if TYPE_CHECKING"))
        imports = [node for node in ast.walk(typing_only) if isinstance(node, ast.ImportFrom)]
        seen = {alias.asname: (node.module, alias.name) for node in imports for alias in node.names}
        assert seen == {name: (module, name) for name, module in facegen._EXPORTS.items()}

    def test_another_name_is_an_attribute_error(self) -> None:
        with pytest.raises(AttributeError, match="module 'facegen' has no attribute 'fidd'"):
            facegen.fidd  # noqa: B018

    def test_the_import_alone_loads_no_torch(self) -> None:
        source = "import facegen, sys; sys.exit('torch' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", source], check=False).returncode == 0

    @pytest.mark.parametrize("name", facegen.__all__)
    def test_each_has_a_docstring(self, name: str) -> None:
        text = getattr(facegen, name).__doc__
        assert text and not text.startswith(f"{name}("), "a dataclass without a docstring gets its signature for one"

    @pytest.mark.parametrize("name", FUNCTIONS)
    def test_each_parameter_and_result_has_a_type(self, name: str) -> None:
        signature = inspect.signature(getattr(facegen, name))
        bare = [each.name for each in signature.parameters.values() if each.annotation is inspect.Parameter.empty]
        assert bare == [] and signature.return_annotation is not inspect.Signature.empty

    @pytest.mark.parametrize("name", FUNCTIONS)
    def test_the_type_of_a_result_is_exported(self, name: str) -> None:
        result = typing.get_type_hints(getattr(facegen, name))["return"]
        if isinstance(result, type) and result.__module__.startswith("facegen."):
            assert getattr(facegen, result.__name__) is result

    @pytest.mark.parametrize("name", [name for name in FUNCTIONS if not name.startswith("register_")])
    def test_each_parameter_is_described(self, name: str) -> None:
        described = re.findall(r"^    (\w+(?:, \w+)*): ", arguments_of(name), re.MULTILINE)
        assert set(", ".join(described).split(", ")) == set(inspect.signature(getattr(facegen, name)).parameters)


def arguments_of(function: str) -> str:
    """The section of its docstring that says what its parameters are."""
    text = inspect.getdoc(getattr(facegen, function)) or ""
    return text.partition("\nArgs:\n")[2].partition("\n\n")[0]


class TestPaths:
    @pytest.mark.parametrize("name", STAGES)
    def test_a_path_is_declared_to_take_a_string(self, name: str) -> None:
        parameters = inspect.signature(getattr(facegen, name)).parameters
        assert {parameters[path].annotation for path in paths_of(name)} <= {
            "StrPath",
            "StrPath | None",
            "StrPath | Sequence[StrPath]",
        }

    @pytest.mark.parametrize("name", STAGES)
    def test_a_string_means_what_the_path_means(self, name: str, tmp_path: Path) -> None:
        assert problem_of(name, tmp_path, str) == problem_of(name, tmp_path, Path)

    @pytest.mark.parametrize("name", STAGES)
    def test_a_path_that_names_nothing_is_bad_input(self, name: str, tmp_path: Path) -> None:
        kind, message = problem_of(name, tmp_path, Path)
        assert issubclass(kind, InputError) and str(tmp_path) in message


#: Enough of what each function requires besides its paths.
OTHERS: dict[str, dict[str, Any]] = {
    "pack": {"student_number": "s1"},
    "arithmetic": {"add": [[1]]},
    "inspect": {"architecture": "lenet5"},
}
#: What each path is called, where its ending matters.
NAMES = {"save_stats": "statistics.npz", "out": "picture.png"}


def problem_of(name: str, folder: Path, kind: type[str] | type[Path]) -> tuple[type, str]:
    """What a function raises where none of its required paths is there: the type of the error, and its sentences."""
    function = getattr(facegen, name)
    arguments: dict[str, Any] = dict(OTHERS.get(name, {}))
    for path in paths_of(name):
        arguments[path] = kind(folder / NAMES.get(path, path))
    if "source" in inspect.signature(function).parameters:
        arguments["source"] = kind(folder / "source")
    with pytest.raises(Exception) as caught:
        function(**arguments)
    return caught.type, str(caught.value)
