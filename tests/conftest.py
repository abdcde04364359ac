"""Fixtures shared by the whole suite. Test data is made by code; real CelebA is used where it is at hand."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from click.testing import CliRunner, Result
from torch import Tensor, nn
from torch._prims_common import suggest_memory_format
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

from facegen import language
from facegen.cli import main
from facegen.cli.root import DEFECT
from facegen.data.origin import Origin
from facegen.data.synthetic import render_faces
from facegen.extractors.feature_extractor import FeatureExtractor
from facegen.metrics.frechet import FrechetStatistics
from facegen.scoring.image_checks import ImageProperties
from facegen.scoring.reference import Reference
from facegen.scoring.score import Score
from facegen.scoring.scorer import Measured

#: Set FACEGEN_CELEBA to a folder with img_align_celeba.zip to run the tests on real faces.
CELEBA = Path(os.environ.get("FACEGEN_CELEBA", Path(__file__).parents[2] / "shared" / "celeba"))

RUNNER = CliRunner()


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Bytes are called by their argument: what an archive holds may tell the time, and then no two processes agree."""
    return argname if isinstance(val, bytes) else None


@pytest.fixture
def facegen() -> Callable[..., Result]:
    """Runs the command line in this process: ``facegen("fid", images, "--json")``; results on ``.stdout``."""

    def run(*words: object) -> Result:
        outcome = RUNNER.invoke(main, [str(word) for word in words], prog_name="facegen")
        assert outcome.exit_code != DEFECT, outcome.stderr
        if outcome.exception is not None and not isinstance(outcome.exception, SystemExit):
            raise outcome.exception
        return outcome

    return run


@pytest.fixture(scope="module")
def bench() -> Iterator[Callable[[str], ModuleType]]:
    """Imports a script of scripts/bench by its name; the tests of the next file do not find it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[1] / "scripts" / "bench")
        names: list[str] = []

        def script(name: str) -> ModuleType:
            names.append(name)
            return importlib.import_module(name)

        yield script
        for name in names:
            sys.modules.pop(name)


@pytest.fixture(scope="session")
def celeba() -> Path:
    """The folder with real CelebA's ``img_align_celeba.zip``; the test is skipped where it is absent."""
    if not (CELEBA / "img_align_celeba.zip").is_file():
        pytest.skip("real CelebA is not at hand: set FACEGEN_CELEBA to a folder with img_align_celeba.zip")
    return CELEBA


@pytest.fixture(scope="session", autouse=True)
def _english_environment() -> Iterator[None]:
    """Keeps the language of whoever runs the tests out of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACEGEN_LANG", language.ENGLISH)
        yield


@pytest.fixture(autouse=True)
def _no_chosen_language() -> Iterator[None]:
    """Undoes the choice of a test that ran ``facegen --lang``."""
    yield
    language.choose(None)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps tests away from the user's cache of weights and reference statistics, and from the network."""
    monkeypatch.setenv("FACEGEN_OFFLINE", "1")
    monkeypatch.setenv("FACEGEN_CACHE", str(tmp_path_factory.mktemp("cache")))


class _AppleGpu(TorchFunctionMode):
    """Tensors moved to an Apple GPU say that they are there, as does what is made of them, and obey its rules.

    It is the CPU that computes. A tensor is there if its storage is.
    """

    def __init__(self) -> None:
        super().__init__()
        self._storages: dict[int, StorageWeakRef] = {}
        self._unknown = "cpu"

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function == Tensor.device.__get__:
            return torch.device(self._place(args[0]))
        if function in (torch._C._nn._parse_to, torch._has_compatible_shallow_copy_type):  # Module.to's questions
            return function(*args, **kwargs or {})
        if function == Tensor.numpy and self._place(args[0]) == "mps":
            raise TypeError("can't convert mps device type tensor to numpy")
        # A deep copy is given all that was copied before.
        words = [args[0]] if function == Tensor.__deepcopy__ else tree_flatten((args, kwargs or {}))[0]
        given = [word for word in words if isinstance(word, Tensor)]
        together = {self._place(tensor) for tensor in given if tensor.ndim}
        indexed = function in (Tensor.__getitem__, Tensor.__setitem__) and self._place(args[0]) == "mps"
        if len(together) > 1 and not indexed and function not in (Tensor.copy_, Tensor.data.__set__):
            raise RuntimeError(f"{function} of tensors on two devices")
        asked = ["cpu"] if function == Tensor.cpu else [word.type for word in words if isinstance(word, torch.device)]
        place = (asked or sorted(map(self._place, given), reverse=True) or ["cpu"])[0]
        if asked:
            args, kwargs = tree_map(
                lambda word: torch.device("cpu") if isinstance(word, torch.device) else word, (args, kwargs or {})
            )
        result = function(*args, **kwargs or {})
        if asked and given and self._place(result) != place:
            result = result.clone()
        for tensor in tree_flatten(result)[0]:
            if isinstance(tensor, Tensor) and place == "mps":
                if tensor.dtype == torch.float64:
                    raise TypeError(f"{function} makes float64, which an Apple GPU does not have")
                storage = StorageWeakRef(_storage_of(tensor))
                self._storages[storage.cdata] = storage
        return result

    def _place(self, tensor: Tensor) -> str:
        storage = self._storages.get(_storage_of(tensor)._cdata)
        return self._unknown if storage is None or storage.expired() else "mps"

    @contextmanager
    def backward(self) -> Iterator[None]:
        """While gradients are taken, what torch makes by itself is there, too."""
        with self:  # which torch left before
            self._unknown = "mps"
            try:
                yield
            finally:
                self._unknown = "cpu"


def _storage_of(tensor: Tensor) -> torch.UntypedStorage:
    while torch._C._functorch.is_functorch_wrapped_tensor(tensor):  # torch.func's
        tensor = torch._C._functorch.get_unwrapped(tensor)
    return tensor.untyped_storage()


class _NoChannelsLast(TorchDispatchMode):
    """Convolutions, BatchNorms and resizes, and their gradients, refuse channels_last."""

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if any(word in function.__name__ for word in ("conv", "batch_norm", "upsample")):
            for word in tree_flatten((args, kwargs or {}))[0]:
                if isinstance(word, Tensor) and word.ndim == 4:
                    assert suggest_memory_format(word) == torch.contiguous_format, f"{function} in channels_last"
        return function(*args, **kwargs or {})


@pytest.fixture
def apple_gpu(monkeypatch: pytest.MonkeyPatch) -> AbstractContextManager[None]:
    """In ``with apple_gpu:`` this machine has an Apple GPU, by the name of ``torch.device("mps")``.

    It stands in for one by the rules that are known: no float64, no two devices in one operation, no
    :meth:`~torch.Tensor.numpy`. It also refuses channels_last, which facegen does without there.
    """
    monkeypatch.setattr(torch.backends.mps, "is_available", cache(lambda: True))  # torch.compile wants it cached
    monkeypatch.setattr(torch.mps, "driver_allocated_memory", lambda: 0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    mode, run_backward = _AppleGpu(), torch.autograd._engine_run_backward

    def run_backward_there(*args: Any, **kwargs: Any) -> Any:
        with mode.backward():
            return run_backward(*args, **kwargs)

    @contextmanager
    def stand_in() -> Iterator[None]:
        with monkeypatch.context() as patch, mode, _NoChannelsLast():
            patch.setattr(torch.autograd, "_engine_run_backward", run_backward_there)
            yield

    return stand_in()


class TinyNetwork(nn.Module):
    """Means over the four quarters of each channel: 12 features, quick, and the same for any image size."""

    def resize(self, images: Tensor) -> Tensor:
        return nn.functional.interpolate(images.float() / 255, (8, 8), mode="bilinear", align_corners=False)

    def forward(self, resized: Tensor) -> Tensor:
        return nn.functional.adaptive_avg_pool2d(resized, 2).flatten(1)


@pytest.fixture
def tiny() -> FeatureExtractor:
    return FeatureExtractor("tiny", "0" * 64, 12, TinyNetwork(), torch.device("cpu"))


@pytest.fixture
def pixels() -> np.ndarray:
    """uint8 [20, 16, 16, 3]"""
    return np.random.default_rng(0).integers(0, 256, (20, 16, 16, 3), dtype=np.uint8)


@pytest.fixture(scope="session")
def drawn() -> tuple[np.ndarray, np.ndarray]:
    """50 drawn faces and 60 others, aligned and coloured as photographs of faces are: uint8 [N, 218, 178, 3]."""
    faces = render_faces(0, range(110))
    return faces[:50], faces[50:]


class MeanScorer:
    """Scores images by their mean value, and counts how often it was asked."""

    key, features_key, description, target = "mean", "mean", "mean against 9 images", 128.0
    reference = Reference(Path("reference"), FrechetStatistics(9, np.zeros(1), np.eye(1)), "1" * 64, "9 images")
    calls = scores = 0

    def margin_warning(self, n: int) -> str | None:
        return None

    def features_of(self, images: npt.NDArray[np.uint8], description: str) -> npt.NDArray[np.float32]:
        self.calls += 1
        return images.mean(axis=(1, 2, 3), dtype=np.float64)[:, None].astype(np.float32)

    def measure(
        self, features: npt.NDArray[np.float32], properties: ImageProperties, origin: Origin, *, judge: bool = True
    ) -> Measured:
        self.scores += 1
        score = Score("fd", float(features.mean()), len(features), 1, "mean", "0" * 64, 9, "1" * 64)
        return Measured(score.with_origin(origin), np.empty(0))

    def metrics_of(self, features: npt.NDArray[np.float32]) -> dict[str, Any]:
        return {}

    def judged(self, score: Score) -> Score:
        return replace(score, target=128.0, passed=score.value < 128.0)


@pytest.fixture
def scorer() -> MeanScorer:
    return MeanScorer()
