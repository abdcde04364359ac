"""The notebooks for Colab and Kaggle: one is executed, the other has its cells but for what a site has of its own."""

from __future__ import annotations

import ast
import os
import re
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

import facegen
from facegen.submission.reader import read_submission

nbformat = pytest.importorskip("nbformat")
FOLDER = Path(__file__).parents[2] / "docs" / "notebooks"
SITES = ("colab", "kaggle")

#: What the executed notebook has in place of its parameters: drawn faces, and a few steps of a network of nothing.
TINY = """
FACEGEN, SOURCE, KEEP, FAST = "unused", "synthetic:40", "keep", "fast"
STUDENT_NUMBER, RECIPE, MINUTES, EXTRACTOR = "s1234567", "quick", None, "tiles:means"
FIELDS = {"generator_width": 4, "discriminator_width": 2, "batch": 8, "kimg": 0.032, "tick_kimg": 0.008}
FIELDS |= {"score_every": 0.016, "score_images": 20, "checkpoint_every": 0.016, "precision": "fp32"}
FIELDS |= {"score_minutes": 0.0, "checkpoint_minutes": 0.0}
"""
#: Four features of an image, in place of a network's 2,048.
TILES = """
import numpy as np

def means(images):
    half = images.shape[1] // 2
    parts = (images[:, :half], images[:, half:], images[:, :, :half], images[:, :, half:])
    return np.stack([part.mean(axis=(1, 2, 3)) for part in parts], 1).astype(np.float32)
"""


def notebook_of(site: str) -> Any:
    return nbformat.read(FOLDER / f"{site}.ipynb", as_version=4)


def cells_of(site: str, *, of_site: bool) -> dict[str, str]:
    """The code of its cells by their ids, of those that need the site or of the others."""
    cells = (cell for cell in notebook_of(site).cells if cell.cell_type == "code")
    return {cell.id: cell.source for cell in cells if ("site" in cell.metadata.get("tags", [])) is of_site}


def python_of(source: str) -> str:
    """A cell's code without the lines that are IPython's own."""
    lines = re.sub(r"^( *)[%!].*$", r"\1pass", source, flags=re.MULTILINE)
    ast.parse(lines)
    return lines


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """Colab's notebook, executed in a kernel without the cells that need the site; and the folder that it ran in."""
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    folder = tmp_path_factory.mktemp("notebook")
    (folder / "tiles.py").write_text(TILES, encoding="utf-8")
    notebook = notebook_of("colab")
    notebook.cells = [cell for cell in notebook.cells if "site" not in cell.metadata.get("tags", [])]
    (parameters,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    parameters.source = TINY
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACEGEN_OFFLINE", "1")
        patch.setenv("FACEGEN_CACHE", str(folder / "cache"))
        patch.setenv("IPYTHONDIR", str(folder / "ipython"))
        patch.setenv("PYTHONPATH", str(FOLDER.parents[1]), prepend=os.pathsep)  # the facegen that is tested
        nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute(cwd=str(folder))
    return notebook, folder


def outputs_of(notebook: Any, name: str) -> list[Any]:
    (outputs,) = (cell.outputs for cell in notebook.cells if cell.id == name)
    return list(outputs)


class TestExecuted:
    def test_it_ends_with_a_valid_tarball(self, executed: tuple[Any, Path]) -> None:
        submission = read_submission(executed[1] / "keep" / "submissions" / "s1234567.tar.gz")
        assert len(submission.images) == 1000

    def test_no_cell_has_an_error_or_speaks_on_stderr(self, executed: tuple[Any, Path]) -> None:
        outputs = [output for cell in executed[0].cells for output in cell.get("outputs", [])]
        assert [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"] == []

    def test_training_shows_its_bar_its_curves_and_its_grid(self, executed: tuple[Any, Path]) -> None:
        live, grid = (
            output.data["text/html"]
            for output in outputs_of(executed[0], "train")
            if output.output_type == "display_data" and "score of" not in output.data["text/plain"]
        )
        assert "Training quick" in live and "0.032 of 0.032 kimg" in live and live.count("<polyline") == 3
        assert "after 0.032 kimg" in grid and 'src="data:image/' in grid

    @pytest.mark.parametrize(
        ("cell", "part"),
        [("prepare", "Dataset fast"), ("sample", "1,000 images in"), ("fid", "floor"), ("pack", "s1234567.tar.gz")],
    )
    def test_a_result_is_a_card(self, cell: str, part: str, executed: tuple[Any, Path]) -> None:
        (result,) = (each for each in outputs_of(executed[0], cell) if each.output_type == "execute_result")
        assert part in result.data["text/html"]

    def test_it_is_small_when_it_is_saved(self, executed: tuple[Any, Path]) -> None:
        assert len(nbformat.writes(executed[0])) < 2_000_000


class TestBoth:
    def test_they_have_the_same_cells_but_for_the_sites(self) -> None:
        colab, kaggle = (cells_of(site, of_site=False) for site in SITES)
        del colab["parameters"], kaggle["parameters"]
        assert colab == kaggle

    @pytest.mark.parametrize("site", SITES)
    def test_it_is_clean_and_valid(self, site: str) -> None:
        notebook = notebook_of(site)
        nbformat.validate(notebook)
        assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
        assert all(re.fullmatch(r"[a-z-]+", cell.id) for cell in notebook.cells)

    @pytest.mark.parametrize("site", SITES)
    def test_what_it_calls_is_there(self, site: str) -> None:
        for source in {**cells_of(site, of_site=True), **cells_of(site, of_site=False)}.values():
            for node in ast.walk(ast.parse(python_of(source))):
                if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "facegen":
                    assert hasattr(facegen, node.attr)

    @pytest.mark.parametrize("site", SITES)
    def test_its_parameters_are_those_that_the_test_replaces(self, site: str) -> None:
        def names(source: str) -> set[str]:
            return {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}

        assert names(cells_of(site, of_site=False)["parameters"]) == names(TINY)

    @pytest.mark.parametrize("site", SITES)
    def test_a_cell_that_imports_what_only_a_site_has_is_its_own(self, site: str) -> None:
        for source in cells_of(site, of_site=False).values():
            for node in ast.walk(ast.parse(python_of(source))):
                if isinstance(node, ast.Import | ast.ImportFrom):
                    import_module(node.names[0].name if isinstance(node, ast.Import) else node.module or "")

    @pytest.mark.parametrize("site", SITES)
    def test_without_an_address_of_facegen_it_ends_in_words(self, site: str, monkeypatch: pytest.MonkeyPatch) -> None:
        cells = {**cells_of(site, of_site=True), **cells_of(site, of_site=False)}
        names: dict[str, Any] = {}
        exec(python_of(cells["parameters"]), names)
        with pytest.raises(RuntimeError, match="fill in FACEGEN in the first cell"):
            exec(python_of(cells["install"]), names)

    @pytest.mark.parametrize("site", SITES)
    def test_a_torch_that_is_there_is_held(self, site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        names: dict[str, Any] = {"FACEGEN": "facegen.whl"}
        exec(python_of(cells_of(site, of_site=True)["install"]), names)
        held = (tmp_path / "constraints.txt").read_text(encoding="utf-8").split()
        assert [line.partition("==")[0] for line in held] == ["torch", "torchvision"]
        assert held[0] == f"torch=={version('torch')}"
