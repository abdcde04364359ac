"""A function of the user's own in place of a network."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

from facegen.code_hash import code_hash
from facegen.errors import InputError
from facegen.extractors.custom import open_function
from facegen.extractors.opening import open_extractor
from facegen.scoring.scorer import open_scorer

Write = Callable[[str], Path]

MEANS = """
import numpy as np
def means(images):
    return images.reshape(len(images), -1, 3).mean(axis=1)
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes ``script.py`` into the working folder, which is no part of ``sys.path`` yet."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def put(code: str) -> Path:
        sys.modules.pop("script", None)
        Path("script.py").write_text(code)
        return Path("script.py")

    yield put
    sys.modules.pop("script", None)


def test_it_is_named_by_its_callable_and_its_source(write: Write) -> None:
    path = write(MEANS)
    extractor = open_extractor("script:means", device="cpu")
    assert (extractor.name, extractor.dims) == ("custom:script:means", 3)
    assert extractor.weights_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_another_version_of_the_source_is_another_extractor(write: Write) -> None:
    write(MEANS)
    first = open_function("script:means").sha256
    write(MEANS.replace("axis=1", "1"))
    assert open_function("script:means").sha256 != first


def test_images_of_one_size_go_together_and_keep_their_order(write: Write) -> None:
    write("CALLS = []\n" + MEANS + "def counted(images):\n    CALLS.append(images.shape)\n    return means(images)\n")
    extractor = open_extractor("script:counted", device="cpu")
    images = [np.full((side, 9, 3), side, np.uint8) for side in (5, 7, 5, 7, 7)]
    features = extractor(images)
    assert features.dtype == np.float32 and features[:, 0].tolist() == [5, 7, 5, 7, 7]
    assert sys.modules["script"].CALLS[1:] == [(2, 5, 9, 3), (3, 7, 9, 3)]


def test_a_method_and_an_object_that_can_be_called_will_do(write: Write) -> None:
    write(MEANS + "class Net:\n    def __call__(self, x):\n        return means(x)\nnet = Net()\n")
    assert open_function("script:net").sha256 == open_function("script:net.__call__").sha256


def test_what_learns_is_not_asked_to(write: Write) -> None:
    write("import torch\nlayer = torch.nn.Linear(3, 2)\ndef f(x): return layer(torch.from_numpy(x[:, 0, 0]).float())\n")
    assert open_function("script:f").dims == 2


def test_what_it_prints_is_no_result(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    write("print('imported')\n" + MEANS + "def f(x):\n    print('called')\n    return means(x)\n")
    open_function("script:f")
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.split() == ["imported", "called"]


def test_features_of_half_precision_and_of_torch_will_do(write: Write) -> None:
    write(MEANS + "import torch\ndef half(x):\n    return torch.from_numpy(means(x)).half()\n")
    assert open_extractor("script:half", device="cpu")([np.zeros((8, 8, 3), np.uint8)]).dtype == np.float32


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nowhere:means", "no module nowhere"),
        ("script.inner:means", "no module script.inner"),
        ("script:absent", "has no callable 'absent'"),
        ("script:number", "has no callable 'number'"),
        ("script:", "does not have the form package.module:callable"),
        (":means", "does not have the form package.module:callable"),
        ("script.py:means", r"no module script\.py .*Leave out \.py"),
        ("script:rows", r"returns \[2, 3\] for images \[1, 64, 64, 3\]"),
        ("script:flat", r"returns \[3\] for images"),
        ("script:integers", "returns uint8 for images .* not floating-point"),
        ("script:nan", "returns NaN or infinity"),
        ("script:fails", r"fails on images .*: IndexError: no such face \(.*script\.py, line \d+\)\."),
        ("script:calls", r"fails on images .*: JSONDecodeError: .*script\.py, line \d+\)\."),
        ("script:takes_two", r"fails on images .*: TypeError: .*argument: 'y'\. It takes"),
        ("script:leaves", r"fails on images .*: SystemExit: 3 \(.*script\.py"),
        ("script:forgets", "returns NoneType for images"),
        ("script:vast", "returns 100,000 features per image.*at most 16,384"),
    ],
)
def test_what_is_no_extractor_is_said(write: Write, name: str, words: str) -> None:
    write(
        MEANS
        + """
number = 3
def rows(images): return np.ones((2, 3))
def flat(images): return means(images)[0]
def integers(images): return images[:, 0, 0]
def nan(images): return means(images) * np.nan
def fails(images): raise IndexError("no such\\nface")
import json, sys
def calls(images): return json.loads("{")
def takes_two(images, y): return means(images)
def leaves(images): sys.exit(3)
def forgets(images): means(images)
def vast(images): return np.zeros((len(images), 100_000))
"""
    )
    with pytest.raises(InputError, match=words):
        open_function(name)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import absent_library", r"No module named 'absent_library' \(.*script\.py, line 1\)"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("raise BaseException('panic')", "BaseException: panic"),
        ("1 / 0", r"ZeroDivisionError.*line 1"),
        ("def", r"SyntaxError: .*\(script\.py, line 1\)\."),
    ],
)
def test_a_module_that_cannot_be_imported_is_said(write: Write, code: str, words: str) -> None:
    write(code)
    with pytest.raises(InputError, match=rf"script of the extractor script:f cannot be imported: .*{words}"):
        open_function("script:f")


def test_dims_that_depend_on_the_size_are_said(write: Write) -> None:
    write("def f(images):\n    return images[:, 0, :, 0].astype(float)\n")
    with pytest.raises(InputError, match=r"returns 9 features .* and 64 for others"):
        open_extractor("script:f", device="cpu")([np.zeros((5, 9, 3), np.uint8)])


@pytest.mark.parametrize(
    ("options", "words"),
    [({"dims": 4}, "gives 3 features per image, not 4"), ({"weights": Path("x.pth")}, "has no effect")],
)
def test_other_options_do_not_go_with_it(write: Write, options: dict[str, object], words: str) -> None:
    write(MEANS)
    with pytest.raises(InputError, match=words):
        open_extractor("script:means", device="cpu", **options)  # type: ignore[arg-type]


def test_its_module_counts_in_caches_with_what_it_imports(write: Write) -> None:
    write(MEANS)
    assert open_extractor("script:means", device="cpu").code == code_hash("script")


def test_it_scores_and_is_named_in_the_result(write: Write, facegen: Callable[..., Result], pixels: np.ndarray) -> None:
    path = write(MEANS)
    for folder, images in (("images", pixels[:8]), ("real", pixels)):
        Path(folder).mkdir()
        for index, image in enumerate(images):
            Image.fromarray(image).save(Path(folder) / f"{index}.png")
    words = ("fid", "images", "--reference", "real", "--extractor", "script:means", "--device", "cpu")
    assert facegen(*words).stdout.startswith("custom:script:means FD ")
    answer = json.loads(facegen(*words, "--json").stdout)
    assert (answer["metric"], answer["extractor"], answer["dims"]) == ("fd", "custom:script:means", 3)
    assert answer["weights_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest() and answer["target"] is None


def test_its_distance_is_named_after_it(write: Write, tmp_path: Path) -> None:
    write(MEANS)
    np.savez(tmp_path / "stats.npz", mu=np.zeros(3), sigma=np.eye(3))
    assert open_scorer(tmp_path / "stats.npz", extractor="script:means", device="cpu").label == "custom:script:means FD"


def test_a_file_that_changed_since_its_import_is_refused(write: Write) -> None:
    """What runs is the module of before, and its features would be stored under the file's present hash."""
    path = write(MEANS)
    open_function("script:means")
    path.write_text(MEANS.replace("mean(", "max("))
    with pytest.raises(InputError, match=r"script\.py changed since the extractor script:means was imported"):
        open_function("script:means")
