"""pack --seed and grade --from-generator, from a run to a leaderboard, with a scorer that needs no network."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import Result

from facegen.errors import InputError
from facegen.stages import grade as grade_stage
from facegen.stages.grade import grade
from facegen.stages.pack import pack
from facegen.submission.rules import Limits, Rejection
from facegen.training.networks import build_networks
from facegen.training.recipe import load_recipe
from facegen.training.saved_generator import LAST, save_generator
from facegen.weights.content import read_safetensors, write_safetensors

CommandLine = Callable[..., Result]


@pytest.fixture(autouse=True)
def _forty_images(monkeypatch: pytest.MonkeyPatch, scorer: Any) -> None:
    monkeypatch.setattr(grade_stage, "limits_for", lambda size: Limits(count=40, size=size))
    monkeypatch.setattr(grade_stage, "open_scorer", lambda *words, **options: scorer)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of a tiny network, without training."""
    recipe = load_recipe("dcgan").with_overrides({"generator_width": 2, "latent_dim": 4, "discriminator_width": 2})
    (tmp_path / "run").mkdir()
    network = build_networks(recipe, 32)[0]
    save_generator(tmp_path / "run" / LAST, network, recipe, size=32, dataset="ab", images_seen=0, score=None)
    return tmp_path / "run"


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    np.savez(tmp_path / "reference.npz", mu=np.zeros(1), sigma=np.eye(1))
    return tmp_path / "reference.npz"


def test_what_pack_writes_is_graded(run: Path, reference: Path, tmp_path: Path, facegen: CommandLine) -> None:
    out = tmp_path / "submissions"
    for student, seed in (("s1", 7), ("s2", 8)):
        packed = facegen("pack", run, student, "--seed", seed, "--size", 32, "--out", out)
        assert packed.stdout.strip() == str(out / f"{student}.safetensors")
    (out / "s3.tar.gz").write_bytes(b"\x1f\x8b\x08" + bytes(60))
    words = ("grade", out, "--reference", reference, "--size", 32, "--from-generator", "--out", tmp_path / "grades")
    rows = json.loads(facegen(*words, "--json").stdout)["submissions"]
    assert [(row["student_number"], row["reason"]) for row in rows] == [
        *((row["student_number"], None) for row in rows[:2]),
        ("s3", "not_generator"),
    ]
    by_number = {row["student_number"]: row for row in rows}
    assert by_number["s1"]["notes"] == ["Drawn here with seed 7."]
    assert by_number["s1"]["score"]["value"] != by_number["s2"]["score"]["value"]
    with (tmp_path / "grades" / "leaderboard.csv").open(newline="", encoding="utf-8") as file:
        assert [row["status"] for row in csv.DictReader(file)] == ["graded", "graded", "rejected"]


def test_times_by_student_number_are_those_of_generators_too(run: Path, reference: Path, tmp_path: Path) -> None:
    pack(run, "s1", seed=7, size=32, out=tmp_path / "submissions")
    (tmp_path / "times.csv").write_text("number,time\ns1,2026-11-20T23:59:00+09:00\n", encoding="utf-8")
    board = grade(
        tmp_path / "submissions",
        reference=reference,
        size=32,
        from_generator=True,
        submitted_at=tmp_path / "times.csv",
        out=tmp_path / "grades",
    ).leaderboard
    assert str(board.rows[0].outcome.submitted_at) == "2026-11-20 23:59:00+09:00"


def test_under_one_seed_the_same_generator_is_seen_to_be_shared(run: Path, reference: Path, tmp_path: Path) -> None:
    for student, seed in (("s1", 7), ("s2", 8)):
        pack(run, student, seed=seed, size=32, out=tmp_path / "submissions")
    board = grade(
        tmp_path / "submissions",
        reference=reference,
        size=32,
        from_generator=True,
        generator_seed=5,
        out=tmp_path / "grades",
    ).leaderboard
    flags = [{flag.name for flag in row.flags} for row in board.rows]
    assert "shared_with:s2" in flags[0] and "shared_with:s1" in flags[1]
    assert board.rows[0].score == board.rows[1].score


def test_a_seed_without_generators_is_an_error(reference: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="A generator seed has no effect on images"):
        grade(tmp_path, reference=reference, generator_seed=5, out=tmp_path / "grades")


def test_without_the_option_a_generator_is_rejected_and_not_read(run: Path, reference: Path, tmp_path: Path) -> None:
    path = pack(run, "s1", seed=7, size=32, out=tmp_path / "submissions").path
    (row,) = grade(path, reference=reference, size=32, out=tmp_path / "grades").leaderboard.rows
    assert row.outcome.rejection is not None and row.outcome.rejection.code.value == "bad_name"


class TestPack:
    def test_the_same_generator_and_seed_are_the_same_bytes(self, run: Path, tmp_path: Path) -> None:
        first, second = (pack(run, "s1", seed=7, size=32, out=tmp_path / name) for name in "ab")
        assert first.path.read_bytes() == second.path.read_bytes() and first.sha256 == second.sha256
        assert first.images == 0
        tensors, metadata = read_safetensors(first.path)
        wanted, said = read_safetensors(run / LAST)
        assert metadata["seed"] == "7" and metadata["recipe"] == said["recipe"]
        torch.testing.assert_close(tensors, wanted, rtol=0, atol=0)

    def test_a_packed_one_is_packed_anew_in_its_own_place(self, run: Path, tmp_path: Path) -> None:
        path = pack(run, "s1", seed=7, size=32, out=tmp_path / "out").path
        pack(path, "s1", seed=8, size=32, out=tmp_path / "out")
        assert read_safetensors(path)[1]["seed"] == "8"

    def test_what_grade_rejects_is_refused_and_nothing_is_written(
        self, run: Path, tmp_path: Path, facegen: CommandLine
    ) -> None:
        tensors, metadata = read_safetensors(run / LAST)
        write_safetensors(run / LAST, {name: torch.zeros_like(each) for name, each in tensors.items()}, metadata)
        result = facegen("pack", run, "s1", "--seed", 7, "--size", 32, "--out", tmp_path / "out")
        assert result.exit_code == 1 and "draws_no_images" in result.stderr
        assert list((tmp_path / "out").iterdir()) == []

    def test_another_size_is_refused(self, run: Path, tmp_path: Path) -> None:
        with pytest.raises(Rejection, match=r"wrong_size.*32x32 pixels, not 64x64"):
            pack(run, "s1", seed=7, out=tmp_path / "out")

    def test_a_run_is_no_folder_of_images(self, run: Path, tmp_path: Path) -> None:
        for source in (run, run / LAST):
            with pytest.raises(InputError, match=r"has a generator, and no images.*facegen sample"):
                pack(source, "s1", size=32, out=tmp_path / "out")

    def test_what_pack_has_not_made_stays(self, run: Path, tmp_path: Path) -> None:
        (tmp_path / "s1.safetensors").write_bytes((run / LAST).read_bytes())
        with pytest.raises(InputError, match="'facegen pack' has not made it"):
            pack(run, "s1", seed=7, size=32, out=tmp_path)
        assert (tmp_path / "s1.safetensors").read_bytes() == (run / LAST).read_bytes()

    def test_what_is_no_generator_is_called_what_it_is(self, tmp_path: Path) -> None:
        (tmp_path / "g.pkl").write_bytes(b"\x80\x04\x95" + bytes(60))
        with pytest.raises(InputError, match=r"g\.pkl is a Python pickle"):
            pack(tmp_path / "g.pkl", "s1", seed=7, out=tmp_path)


def test_a_run_without_a_generator_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no generator yet"):
        pack(tmp_path, "s1", seed=7, out=tmp_path)
