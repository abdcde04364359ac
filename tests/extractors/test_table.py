"""The table of extractors is plain data, and one call adds to it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result
from safetensors.torch import save_file

from facegen.extractors import table
from facegen.extractors.labels import metric_label
from facegen.extractors.opening import open_extractor
from facegen.extractors.table import Extractor, extractors, register_extractor
from facegen.weights.published import Published

CODE = """
import torch
class Means(torch.nn.Module):
    def __init__(self, state_dict, dims):
        super().__init__()
        if state_dict.keys() != {"scale"}:
            raise ValueError("it has no scale")
        self.scale = torch.nn.Parameter(state_dict["scale"], requires_grad=False)
    def resize(self, images):
        return images.float() * self.scale
    def forward(self, resized):
        return resized.mean((2, 3))
"""


@pytest.fixture
def entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Extractor:
    """An extractor from outside the package: its file, and one call."""
    (tmp_path / "their_means.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(table, "_TABLE", dict(table._TABLE))
    return register_extractor(
        Extractor(
            name="means",
            title="Means",
            published_as="means-v1",
            dims=(3,),
            default_dims=3,
            pixels="as they are",
            weights=Published("means.safetensors", "https://example.org/means.safetensors", 80, "0" * 64),
            licence="MIT",
            network="their_means:Means",
            distance="FD_means",
        )
    )


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    save_file({"scale": torch.tensor([2.0])}, tmp_path / "means.safetensors")
    return tmp_path / "means.safetensors"


def test_a_registered_extractor_takes_images(entry: Extractor, weights: Path) -> None:
    extractor = open_extractor("means", weights=weights, device="cpu")
    assert (extractor.name, extractor.dims) == ("means-custom", 3)
    np.testing.assert_allclose(extractor([np.full((4, 5, 3), 9, np.uint8)]), [[18.0] * 3])


def test_the_command_line_knows_it(
    entry: Extractor, weights: Path, facegen: Callable[..., Result], tmp_path: Path
) -> None:
    np.savez(tmp_path / "stats.npz", mu=np.zeros(3), sigma=np.eye(3))
    outcome = facegen("fid", tmp_path, "--reference", tmp_path / "stats.npz", "--extractor", "means")
    assert outcome.exit_code == 2 and "example.org" not in outcome.stdout
    assert "|means|" in facegen("fid", "--help").stdout.replace("\n", "")


def test_its_distance_has_its_name_with_the_published_weights_alone(entry: Extractor) -> None:
    assert metric_label("means-v1", 3) == "FD_means"
    assert metric_label("means-custom", 3) == "means-custom FD"


def test_its_cache_keys_go_by_its_code(entry: Extractor, weights: Path) -> None:
    effnet = open_extractor("effnet-lite0", device="cpu")
    assert len({open_extractor("means", weights=weights, device="cpu").code, effnet.code, ""}) == 3


def test_weights_that_do_not_fit_are_named(entry: Extractor, tmp_path: Path) -> None:
    save_file({"shift": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(Exception, match=r"other\.safetensors does not hold the weights of Means: it has no scale"):
        open_extractor("means", weights=tmp_path / "other.safetensors", device="cpu")


def test_an_entry_that_is_registered_again_replaces_itself(entry: Extractor) -> None:
    changed = register_extractor(replace(entry, licence="BSD"))
    assert list(extractors().values())[-1] == changed


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"network": "elsewhere:Means"}, "already"),
        ({"name": "new", "published_as": "inception-custom"}, "already"),
        ({"name": "new", "published_as": "new", "distance": "FID"}, "FID is the distance of 'inception'"),
        ({"name": "a:b", "published_as": "new"}, "no colon"),
        ({"name": "new", "published_as": "new", "default_dims": 4}, "default of 4 dims"),
    ],
)
def test_an_entry_that_would_mislead_is_refused(entry: Extractor, changes: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        register_extractor(replace(entry, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("extractor", "dims", "label"),
    [
        ("inception-2015-12-05", 2048, "FID"),
        ("inception-2015-12-05", 768, "inception-2015-12-05 FD at 768 dims"),
        ("inception-custom", 2048, "inception-custom FD"),
        ("effnet-lite0", 1280, "effnet-lite0 FD"),
        ("custom:a.b:c", 7, "custom:a.b:c FD"),
    ],
)
def test_only_the_published_inception_at_2048_dims_is_called_fid(extractor: str, dims: int, label: str) -> None:
    assert metric_label(extractor, dims) == label


def test_every_entrys_network_can_be_imported() -> None:
    for entry in extractors().values():
        assert callable(getattr(__import__(entry.module, fromlist=["_"]), entry.network.partition(":")[2]))


def test_the_table_is_read_without_torch() -> None:
    code = "import sys, facegen.extractors.table, facegen.cli.options; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
