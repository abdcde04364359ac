"""The wheel, installed where there is no checkout; and what a package index shows of it.

It is built and installed as a user's tools do it, but without a network: the new environment sees the libraries of this
one by a ``.pth`` file. Within a folder that one names others do not count, an editable facegen's among them.
"""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys
import sysconfig
import venv
from email import message_from_string
from functools import cache
from pathlib import Path
from zipfile import ZipFile

import pytest

from facegen import __version__
from facegen.training.recipe import recipe_names

pytest.importorskip("hatchling.build")
ROOT = Path(__file__).parents[1]
LIBRARIES = sysconfig.get_path("purelib")

#: Uses all the data that the package has, and tells which files of the checkout were opened meanwhile, and where
#: facegen's modules are.
IN_A_NEW_FOLDER = """
import json, sys

checkout, libraries, opened = sys.argv[1], sys.argv[2], set()

def hear(event, arguments):
    path = str(arguments[0]) if event == "open" else ""
    if path.startswith(checkout) and not path.startswith(libraries):
        opened.add(path)

sys.addaudithook(hear)
from jinja2 import PackageLoader
from facegen import pretrained
from facegen.cli import main
from facegen.training.recipe import load_recipe, recipe_names

main(["sample", "--pretrained", "images", "-n", "2", "--device", "cpu"], standalone_mode=False)
recipes = [load_recipe(name).name for name in recipe_names()]
templates = []
for package in ("facegen.grading", "facegen.scoring.report"):
    loader = PackageLoader(package)
    templates += [name for name in loader.list_templates() if loader.get_source(None, name)]
modules = [module.__file__ for name, module in sys.modules.items() if name.partition(".")[0] == "facegen"]
told = {"opened": sorted(opened), "modules": modules, "recipes": recipes, "templates": templates}
print(json.dumps(told | {"card": pretrained.card(), "fingerprints": len(pretrained.fingerprints())}))
"""


def run(*command: object, folder: Path) -> str:
    """Its stdout, in an environment that names neither the checkout nor another environment."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environment |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "FACEGEN_OFFLINE": "1"}
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, encoding="utf-8", timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built once for these tests, which one process runs."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder, folder=ROOT)
    (built,) = folder.iterdir()
    return built


@pytest.mark.xdist_group("wheel")
class TestWheel:
    def test_it_runs_where_there_is_no_checkout(self, wheel: Path, tmp_path: Path) -> None:
        pytest.importorskip("pip")
        environment, elsewhere = tmp_path / "environment", tmp_path / "elsewhere"
        elsewhere.mkdir()
        venv.create(environment)
        scripts = environment / ("Scripts" if os.name == "nt" else "bin")
        install = (sys.executable, "-m", "pip", "--python", scripts / "python", "install", "--quiet", "--no-compile")
        run(*install, "--no-deps", "--no-index", wheel, folder=elsewhere)
        (place,) = (path.parent for path in environment.rglob("facegen") if path.is_dir())
        (place / "libraries.pth").write_text(f"{LIBRARIES}\n", encoding="utf-8")

        assert run(scripts / "facegen", "--version", folder=elsewhere) == f"facegen, version {__version__}\n"
        *_, told = run(
            scripts / "python", "-c", IN_A_NEW_FOLDER, f"{ROOT}{os.sep}", LIBRARIES, folder=elsewhere
        ).splitlines()
        found = json.loads(told)
        assert found["opened"] == []
        assert [file for file in found["modules"] if not Path(file).is_relative_to(place)] == []
        assert found["recipes"] == recipe_names() and found["fingerprints"] > 0 and found["card"]
        assert {"leaderboard.html", "feedback.html", "report.html"} <= {*found["templates"]}
        assert {path.name for path in elsewhere.iterdir()} == {"images", "grid.png"}

    def test_what_it_says_of_itself(self, wheel: Path) -> None:
        with ZipFile(wheel) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
            metadata = message_from_string(archive.read(name).decode("utf-8"))
            assert [name for name in archive.namelist() if name.endswith(".dist-info/licenses/LICENSE")]
        assert metadata["License-Expression"] == "MIT" and metadata["Requires-Python"] == ">=3.10"
        assert metadata["Description-Content-Type"] == "text/markdown"
        assert "Typing :: Typed" in metadata.get_all("Classifier", [])

    def test_it_asks_for_torch_and_nothing_of_cuda(self, wheel: Path) -> None:
        """Which torch that is, of a CPU or of a GPU, is for whoever installs it to choose."""
        with ZipFile(wheel) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
            metadata = message_from_string(archive.read(name).decode("utf-8"))
        wanted = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
        assert [line for line in wanted if re.match("torch(?!vision)", line)] == ["torch>=2.6"]
        assert [line for line in wanted if re.search("nvidia|cuda|triton|@|https?:", line, re.IGNORECASE)] == []
        (zones,) = (line for line in wanted if line.startswith("tzdata"))
        assert zones.endswith("sys_platform == 'win32'"), "Windows has no time zones of its own"


@cache
def index_page(text: str, repository: str | None) -> str:
    page: str = runpy.run_path(str(ROOT / "scripts" / "index_page.py"))["index_page"](text, repository)
    return page


class TestIndexPage:
    README = (ROOT / "README.md").read_text(encoding="utf-8")

    def test_without_an_address_of_the_repository_nothing_leads_nowhere(self) -> None:
        page = index_page(self.README, None)
        assert re.findall(r"\]\((?!https?:|#)[^)\s]*\)", page) == [] and "![" not in page
        assert "Grading a course" in page  # as words

    @pytest.mark.parametrize(
        ("text", "without", "with_address"),
        [
            ("[a page](docs/a.md#b)", "a page", "[a page](https://host/x/blob/HEAD/docs/a.md#b)"),
            ("![faces](docs/a.png)", "", "![faces](https://host/x/raw/HEAD/docs/a.png)"),
            ("[there](https://pytorch.org/a)", "[there](https://pytorch.org/a)", "[there](https://pytorch.org/a)"),
            ("[below](#licence)", "[below](#licence)", "[below](#licence)"),
            ("`a[0](b)` and list[int]", "`a[0](b)` and list[int]", "`a[0](b)` and list[int]"),
        ],
    )
    def test_a_link(self, text: str, without: str, with_address: str) -> None:
        assert (index_page(text, None), index_page(text, "https://host/x/")) == (without, with_address)

    def test_the_index_can_render_it(self) -> None:
        renderer = pytest.importorskip("readme_renderer.markdown")
        pytest.importorskip("comrak")  # without it the renderer warns and gives nothing
        page = renderer.render(index_page(self.README, None))
        assert page is not None and "<table>" in page and ">facegen<" in page
